"""What one person has uploaded: photographs, predictions and labels, in a folder of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from bloodcell_jax.base import cell, types, wording
from bloodcell_jax.inference import differential_count, field_overlaps
from bloodcell_jax.serving import analysis as analysis_lib
from bloodcell_jax.serving import label as label_lib
from bloodcell_jax.serving import limits as limits_lib
from bloodcell_jax.serving import photograph_file, shown_cell
from bloodcell_jax.stats import unlike
from bloodcell_jax.storage import journal as journal_lib
from bloodcell_jax.train import signals

# Most sentences about files that could not be used; later ones replace the first.
_MOST_PROBLEMS = 200
DELETED = 'the photographs have been deleted meanwhile'


class Refused(Exception):
  """A file or a label that is not taken; the message is a sentence for the page."""


class Session:
  """The state of one browser's page. Every public method may be called by any thread.

  Args:
    folder: its own, which exists; removed by `close`.
    token: what each change must bring along.
    analysis: the classifier.
    limits: how much may be uploaded.
  """

  def __init__(
    self, folder: pathlib.Path, token: str, analysis: analysis_lib.Analysis, limits: limits_lib.Limits
  ):
    self.folder, self.token, self.limits = folder, token, limits
    self.last_used = time.monotonic()
    self.is_closed = False
    self._analysis = analysis
    self._journal = journal_lib.Journal(folder / 'journal.jsonl', analysis.network, analysis.class_names)
    self._lock = threading.RLock()
    self._photographs: dict[str, photograph_file.PhotographFile] = {}  # by id, in order of arrival
    self._labels: dict[str, label_lib.Label] = {}  # by key of a cell
    self._problems: list[str] = []
    self._version = 0
    self._reserved: dict[str, int] = {}  # bytes by id of the files that are arriving
    self._classified: differential_count.ClassifiedCells | None = None
    self._compared = field_overlaps.Compared({}, {}, {})
    self._repeats: dict[str, str] = {}  # of `Analysis.repeated`

  @contextlib.contextmanager
  def reserve(self, name: str, identity: str, size: int) -> Iterator[None]:
    """Keeps room for a file while it arrives.

    Raises:
      Refused: it is too large, one too many, or does not fit.
    """
    with self._lock:
      present = self._photographs.values()
      reason = self.limits.refusal(
        size,
        len(present) + len(self._reserved),
        sum(one.num_bytes for one in present) + sum(self._reserved.values()),
      )
      if self.is_closed:
        reason = 'came after everything was deleted'
      if reason:
        raise Refused(f'{name}: {reason}')
      self._reserved[identity] = size
    try:
      yield
    finally:
      with self._lock:
        self._reserved.pop(identity, None)

  def add(self, photograph: photograph_file.PhotographFile) -> bool:
    """Takes up a decoded photograph; False if the same one is there already.

    Raises:
      Refused: another photograph has its name, or the session has been closed.
    """
    with self._lock:
      if self.is_closed:
        raise Refused(f'{photograph.shown}: came after everything was deleted')
      same = [one for one in self._photographs.values() if one.shown == photograph.shown]
      if any(one.digest == photograph.digest for one in same):
        return False
      if same:
        raise Refused(
          f'{photograph.shown}: another photograph of this name is here; rename one, or drop their folders'
        )
      self._photographs[photograph.id] = photograph
      self._touch([photograph])
      return True

  def remember(self, problem: str) -> None:
    """Keeps a sentence about a file that could not be used, for when the page is loaded again."""
    with self._lock:
      self._problems = [*self._problems, problem][-_MOST_PROBLEMS:]

  def forget_problems(self) -> None:
    """Drops the sentences that `remember` kept."""
    with self._lock:
      self._problems = []

  def waiting(self, most: int) -> list[photograph_file.PhotographFile]:
    """At most so many photographs that have not been analysed, the first ones."""
    with self._lock:
      found = [one for one in self._photographs.values() if one.state == photograph_file.WAITING]
      return found[:most]

  def analyse(self, photographs: Sequence[photograph_file.PhotographFile]) -> None:
    """Finds and classifies the cells of these photographs; called by the worker's thread alone."""
    try:
      found = self._analysis.find(photographs, self._journal)
      with self._lock:
        for one, result in zip(photographs, found, strict=True):
          one.cells, one.frames, one.reason = result.cells, result.frames, result.reason
      # Reads photographs again: nobody waits for the lock meanwhile.
      repeats = self._analysis.repeated(self.photographs(), self._compared)
      with self._lock:
        for one in photographs:
          one.state = photograph_file.FAILED if one.reason else photograph_file.DONE
        self._repeats = repeats
        self._touch(photographs)
        self._classify()
    except Exception as error:
      if not self.is_closed:
        self._fail(photographs, error)

  def label(self, identities: Sequence[str], name: str | None) -> None:
    """Labels cells, each `PHOTOGRAPH/NUMBER`, with a class; None takes the labels back.

    Raises:
      Refused: there is no such cell or class.
    """
    with self._lock:
      if name is not None and name not in self._analysis.class_names:
        raise Refused(f'{name}: not a class of this model')
      keys = {self._cell(identity).key for identity in identities}
      for key in keys:
        if name is None:
          self._labels.pop(key, None)
        else:
          self._labels[key] = label_lib.now(name)
      # Two files with the same bytes show the same cells.
      self._touch([p for p in self._photographs.values() if any(one.key in keys for one in p.cells)])

  def photograph(self, identity: str) -> photograph_file.PhotographFile | None:
    """The photograph of this id; None if this session has none."""
    with self._lock:
      return self._photographs.get(identity)

  def state(self, since: int) -> dict[str, Any]:
    """What the page shows, as JSON values; of photographs only those that have changed since that version."""
    with self._lock:
      rows = {one.key: row for row, one in enumerate(self._classified.cells)} if self._classified else {}
      photographs = list(self._photographs.values())
      return {
        'version': self._version,
        'photographs': [self._describe(one, rows) for one in photographs if one.version > since],
        'num': len(photographs),
        'num_waiting': sum(one.state == photograph_file.WAITING for one in photographs),
        'problems': self._problems,
        'count': self.count(),
        'labels': {
          name: sum(one.name == name for one in self._labels.values()) for name in self._analysis.class_names
        },
      }

  def count(self) -> dict[str, Any] | None:
    """The differential count, with the labels in place of what was predicted; None without cells."""
    with self._lock:
      corrected = self.corrected()
      if corrected is None:
        return None
      counted = differential_count.count(corrected, self._analysis.confidence)
      # Those that a person has labelled are withheld no more.
      num = counted['num_unlike']
      first = unlike.line({**counted['unlike'], unlike.NUM_WITHHELD: num}) if num else ''
      lines = [wording.capital(first), *differential_count.warnings(counted)]
      lines += [differential_count.duplicates(counted), differential_count.not_counted(counted)]
      return {**counted, 'warnings': [line for line in lines if line]}

  def classified(self) -> differential_count.ClassifiedCells | None:
    """The cells as the network names them; None without cells."""
    with self._lock:
      return self._classified

  def corrected(self) -> differential_count.ClassifiedCells | None:
    """The cells with the labels in place of what was predicted; None without cells."""
    with self._lock:
      if self._classified is None:
        return None
      predicted = tuple(
        self._labels[one.key].name if one.key in self._labels else name
        for one, name in zip(self._classified.cells, self._classified.predicted, strict=True)
      )
      return dataclasses.replace(self._classified, predicted=predicted)

  def labels(self) -> dict[str, label_lib.Label]:
    """The labels by key of the cell."""
    with self._lock:
      return dict(self._labels)

  def photographs(self) -> list[photograph_file.PhotographFile]:
    """Those that are here, in order of arrival."""
    with self._lock:
      return list(self._photographs.values())

  def close(self) -> None:
    """Deletes everything."""
    with self._lock:
      self.is_closed = True
      self._photographs, self._labels, self._classified, self._problems = {}, {}, None, []
    shutil.rmtree(self.folder, ignore_errors=True)

  def _fail(self, photographs: Sequence[photograph_file.PhotographFile], error: Exception) -> None:
    # The page shows one sentence; what a fault of the program needs to be found goes to the run's log.
    if not isinstance(error, types.UserError | types.RunError | signals.Stopped):
      print(''.join(traceback.format_exception(error)), end='', file=sys.stderr, flush=True)
    reason = ' '.join(str(error).split()) or type(error).__name__
    with self._lock:
      for one in photographs:
        one.state, one.reason = photograph_file.FAILED, f'could not be analysed ({reason})'
        one.cells, one.frames = (), ()
      self._touch(photographs)

  def _cell(self, identity: str) -> cell.Cell:
    name, _, number = identity.partition('/')
    photograph = self._photographs.get(name)
    if photograph is None or not number.isdecimal() or not 1 <= int(number) <= len(photograph.cells):
      raise Refused('this cell is no longer here; load the page again')
    return photograph.cells[int(number) - 1]

  def _classify(self) -> None:
    cells = [one for photograph in self._photographs.values() for one in photograph.cells]
    before = self._classified
    self._classified = self._analysis.classify(cells, self._journal, self._repeats) if cells else None
    if self._classified is None:
      return
    changed = shown_cell.changed(before, self._classified)
    self._touch([one for one in self._photographs.values() if one.shown in changed])

  def _touch(self, photographs: Sequence[photograph_file.PhotographFile]) -> None:
    self._version += 1
    for one in photographs:
      one.version = self._version

  def _describe(self, photograph: photograph_file.PhotographFile, rows: dict[str, int]) -> dict[str, Any]:
    return {
      'id': photograph.id,
      'file': photograph.shown,
      'size': photograph.size,
      'state': photograph.state,
      'reason': photograph.reason,
      'cells': [
        shown_cell.describe(
          f'{photograph.id}/{one.number}', frame, self._classified, rows[one.key], self._labels.get(one.key)
        )
        for one, frame in zip(photograph.cells, photograph.frames, strict=True)
        if self._classified and one.key in rows
      ],
    }
