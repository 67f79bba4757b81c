"""Work that hosts divide: each takes the next piece that is left, does it alone, and host 0 has all of it in the end.

A piece is a folder, at the same path below the run's on every host. Where a host does not see the disk of host 0, it
sends what it has finished there and removes its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.system import host_store
from bloodcell_jax.train import hosts, signals
from bloodcell_jax.train import progress as progress_lib

# How far a piece is on one host: nothing, begun, evaluated once but not as it is wanted now, finished.
NEW, BEGUN, EVALUATED, DONE = range(4)
_PAUSE = 0.2


@dataclasses.dataclass(frozen=True)
class Piece:
  """A part of the work."""

  name: str  # for people, such as 'member 2'
  folder: pathlib.Path
  state: int  # on this host: NEW, BEGUN, EVALUATED or DONE


def order(states: Sequence[Sequence[int]], index: int, sees_first: bool) -> list[int]:
  """The pieces that a host may take, in the order in which it should take them.

  First come those that the host has finished without host 0 knowing, or has begun; then those that nobody has begun;
  last those that are begun on another host only, which may be slow there or never end.

  Args:
    states: by host and piece.
    index: of the host.
    sees_first: whether it sees the disk of host 0. Otherwise it leaves to host 0 what is evaluated there: its
      checkpoints are there alone.

  Example:
    >>> order([[DONE, BEGUN, NEW, NEW], [NEW, NEW, NEW, BEGUN]], 1, False)
    [3, 2, 1]
  """
  first, own = states[0], states[index]
  some = [i for i, state in enumerate(first) if state != DONE and (sees_first or state != EVALUATED)]
  return sorted(some, key=lambda i: (own[i] == NEW, any(each[i] != NEW for each in states)))


class Queue:
  """The pieces of a run that hosts divide.

  **Guarantees**: a piece is taken by one host, and is in its place on host 0 as a whole or not at all.
  """

  def __init__(self, group: hosts.Hosts, root: pathlib.Path, adopt: Callable[[pathlib.Path], None]):
    """The queue of a run; all hosts call it at once, after host 0 has locked its folder.

    Args:
      group: the hosts.
      root: the run's folder, which is there on host 0.
      adopt: called on host 0 with each folder that was sent, before it is put into its place.
    """
    self.group, self.root, self._adopt = group, root, adopt
    with contextlib.ExitStack() as stack:
      mark = ''
      if group.is_first:
        # A name that the next lock on the folder removes, should this process be killed here.
        file = stack.enter_context(tempfile.NamedTemporaryFile(dir=root, prefix='.hosts.', suffix='.tmp'))
        mark = pathlib.Path(file.name).name
      mark = group.from_first('file in the folder', lambda: mark)
      # By host, whether it sees the disk of host 0.
      self._sees_first = group.everyone('sees the file', (root / mark).exists())

  def run(
    self,
    pieces: Sequence[Piece],
    work: Callable[[int], None],
    stop: signals.Stop,
    progress: progress_lib.Progress,
  ) -> None:
    """Does the pieces that this host takes; on host 0 it returns once all of them are there.

    Args:
      pieces: the same on all hosts, but for their states.
      work: does the piece of an index, in its folder.
      stop: polled between pieces.
      progress: where the pieces of other hosts are reported.

    Raises:
      RunError: a host is gone, or a folder could not be sent or kept.
      signals.Stopped: a stop was requested.
    """
    group, store = self.group, self._store
    store.places = {str(i): (piece.folder, self._adopt) for i, piece in enumerate(pieces)}
    states = group.everyone('pieces', [piece.state for piece in pieces])
    left = {i for i, state in enumerate(states[0]) if state != DONE}
    sees_first = self._sees_first[group.index]
    for i in order(states, group.index, sees_first):
      stop.poll()
      if not self._take(i):
        continue
      work(i)
      if not sees_first:
        self._send(str(i), pieces[i])
      self._note_done(i)
      left = self._report(left, pieces, progress)
    while group.is_first and left:
      stop.poll()
      time.sleep(_PAUSE)
      left = self._report(left, pieces, progress)

  @property
  def _store(self) -> host_store.Store:
    assert self.group.store is not None, 'hosts of one JAX train one network'
    return self.group.store

  def _take(self, i: int) -> bool:
    """Whether the piece is this host's from now on."""
    own = str(self.group.index)
    return self.group.ask(lambda: self._store.setdefault(f'taken/{i}', own)) == own

  def _note_done(self, i: int) -> None:
    own = str(self.group.index)
    self.group.ask(lambda: self._store.key_value_set(f'done/{i}', own))

  def _send(self, key: str, piece: Piece) -> None:
    store = self._store
    assert isinstance(store, host_store.Remote), 'host 0 sees its own disk'
    try:
      complaint = store.send(key, piece.folder)
    except OSError as error:
      complaint = str(error) or type(error).__name__
    if complaint:
      raise types.RunError(
        f'{piece.name} could not be sent to host 0 ({complaint}); it stays in {piece.folder}, and the same commands '
        'send it again'
      )
    shutil.rmtree(piece.folder, ignore_errors=True)
    for parent in (piece.folder.parent, self.root):
      with contextlib.suppress(OSError):
        parent.rmdir()

  def _report(self, left: set[int], pieces: Sequence[Piece], progress: progress_lib.Progress) -> set[int]:
    """Reports on host 0 what others have finished since; the pieces that are still to be done."""
    if not self.group.is_first:
      return left
    done = {int(key.split('/')[1]): int(by) for key, by in self._store.key_value_dir_get('done/')}
    for i in sorted(left & set(done)):
      if done[i]:
        progress.line(f'{pieces[i].name}: done on host {done[i]}')
    return left - set(done)
