"""Which checkpoints of a folder a run can go on from: the newest sound one whose best one is sound too."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.train import checksums


@dataclasses.dataclass(frozen=True)
class Stamp:
  """What a checkpoint says of the stage it belongs to."""

  stage: str  # its name
  frozen: str  # fingerprint of the weights that the stage does not train; empty where it trains all
  pixels: Mapping[str, Any]  # how an image's grey levels become the network's input, for those who load it


class Shelf:
  """What lies in the `checkpoints/` folder of a run. Reads, names what is damaged, and changes nothing.

  `used` is the number of the checkpoint to go on from, None where there is none yet; `unusable` are those that are
  damaged or came after it.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.used: int | None = None
    self.unusable: list[int] = []
    self._sound: list[int] = []
    self._told: set[int] = set()
    # What is wrong with each, looked at once: empty where it is sound.
    self._complaints: dict[int, str] = {}

  def look(self) -> None:
    """Looks again at what there is.

    Raises:
      UserError: there are checkpoints, but the run cannot go on from any.
    """
    numbers = self._numbers()
    for number in numbers:
      if number not in self._complaints:
        self._complaints[number] = checksums.complaint(self.path(number))
    complaints = self._complaints
    self._sound = [number for number in numbers if not complaints[number]]
    for number in list(self._sound):
      # Of a run of before there were checksums.
      if not checksums.are_known(self.path(number)) and self._is_unreadable(number):
        self._sound.remove(number)
        complaints[number] = f'{self.path(number)}: cannot be read'
    self.used = next((number for number in reversed(self._sound) if self._is_complete(number)), None)
    self.unusable = [n for n in numbers if complaints[n] or self.used is None or n > self.used]
    for number in self.unusable:
      if complaints[number] and number not in self._told:
        self._told.add(number)
        print(f'{complaints[number]}; the checkpoint is passed over', file=sys.stderr, flush=True)
    if numbers and self.used is None:
      named = next((complaints[n] for n in reversed(numbers) if complaints[n]), self.folder)
      raise types.UserError(
        f'{named}; the run cannot go on from the checkpoints that are left: restore it from a copy, or '
        'train anew in another --workdir'
      )

  def path(self, number: int) -> pathlib.Path:
    """The folder of one checkpoint."""
    return self.folder / str(number)

  def progress(self, number: int) -> dict[str, Any]:
    """What a checkpoint says beside the state: its records, its stamp and the best before it."""
    return json.loads((self.path(number) / 'progress' / 'metadata').read_bytes())

  def stamp(self, number: int) -> Stamp:
    """The stage that a checkpoint belongs to."""
    return Stamp(**self.progress(number)['stamp'])

  def epoch(self, number: int) -> int:
    """The last epoch that is finished in a checkpoint."""
    return self.progress(number)['records'][-1]['epoch']

  def best(self, last: int) -> int | None:
    """The number of the best of the sound ones up to `last`; None where no epoch is finished.

    Among equals that is the one whose epoch `last` names; runs of earlier versions kept the latest.
    """
    ranked = [(badness, n) for n in self._sound if n <= last and (badness := self.badness(n)) is not None]
    if not ranked:
      return None
    least, named = min(ranked)[0], self.progress(last).get('best')
    equal = [n for badness, n in ranked if badness == least]
    return next((n for n in equal if named and self.epoch(n) == named[0]), equal[-1])

  def badness(self, number: int) -> float | None:
    """How bad the epoch of a checkpoint was; None where it is no candidate."""
    path = self.path(number) / 'metrics' / 'metrics'
    return json.loads(path.read_bytes())['badness'] if path.exists() else None

  def _numbers(self) -> list[int]:
    if not self.folder.is_dir():
      return []
    return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdecimal() and p.is_dir())

  def _is_complete(self, number: int) -> bool:
    """Whether the best checkpoint up to this one is sound."""
    if 'best' not in (progress := self.progress(number)):
      return True
    best, found = progress['best'], self.best(number)
    return best is None if found is None else best is not None and best[0] == self.epoch(found)

  def _is_unreadable(self, number: int) -> bool:
    try:
      self.badness(number)
      self.stamp(number)
    except (OSError, ValueError, KeyError, TypeError):
      return True
    return False
