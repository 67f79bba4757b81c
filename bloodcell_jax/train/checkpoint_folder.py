"""The `checkpoints/` folder of a run: which checkpoint to continue from, and which are damaged."""

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
class StageInfo:
  """The training stage that a checkpoint belongs to."""

  stage: str  # its name
  frozen: str  # fingerprint of the weights that the stage does not train; empty where it trains all
  pixels: Mapping[str, Any]  # the fields of `standardize.Spec`: from grey levels to the network's input


class CheckpointFolder:
  """The checkpoints of a run, read only.

  `used` is the number of the checkpoint to continue from: the newest undamaged one up to which the best one is
  undamaged too; None where there is no checkpoint yet. `unusable` are those that are damaged or newer than `used`.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.used: int | None = None
    self.unusable: list[int] = []
    self._undamaged: list[int] = []
    self._reported: set[int] = set()
    # The damage of each, looked for once; empty where there is none.
    self._damage: dict[int, str] = {}

  def look(self) -> None:
    """Reads the folder again, and reports damaged checkpoints on standard error, each once.

    Raises:
      UserError: there are checkpoints, but the run can continue from none.
    """
    numbers = self._numbers()
    for number in numbers:
      if number not in self._damage:
        self._damage[number] = checksums.damage(self.path(number))
    damage = self._damage
    self._undamaged = [number for number in numbers if not damage[number]]
    for number in list(self._undamaged):
      # Early versions wrote no checksums.
      if not checksums.are_known(self.path(number)) and self._is_unreadable(number):
        self._undamaged.remove(number)
        damage[number] = f'{self.path(number)}: cannot be read'
    self.used = next((number for number in reversed(self._undamaged) if self._is_complete(number)), None)
    self.unusable = [n for n in numbers if damage[n] or self.used is None or n > self.used]
    for number in self.unusable:
      if damage[number] and number not in self._reported:
        self._reported.add(number)
        print(f'{damage[number]}; the checkpoint is passed over', file=sys.stderr, flush=True)
    if numbers and self.used is None:
      first = next((damage[n] for n in reversed(numbers) if damage[n]), self.folder)
      raise types.UserError(
        f'{first}; the run cannot continue from the checkpoints that are left: restore it from a copy, or '
        'train anew in another --workdir'
      )

  def path(self, number: int) -> pathlib.Path:
    """The folder of one checkpoint."""
    return self.folder / str(number)

  def progress(self, number: int) -> dict[str, Any]:
    """What a checkpoint holds beside the state: `records`, `seconds`, `stamp` (a `StageInfo`) and `best`."""
    return json.loads((self.path(number) / 'progress' / 'metadata').read_bytes())

  def stage_info(self, number: int) -> StageInfo:
    """The stage that a checkpoint belongs to."""
    return StageInfo(**self.progress(number)['stamp'])

  def epoch(self, number: int) -> int:
    """The last epoch that is finished in a checkpoint."""
    return self.progress(number)['records'][-1]['epoch']

  def best(self, last: int) -> int | None:
    """The number of the best undamaged checkpoint up to `last`; None where no epoch is finished.

    Of equally good ones it is the one that `last` names as the best.
    """
    ranked = [(badness, n) for n in self._undamaged if n <= last and (badness := self.badness(n)) is not None]
    if not ranked:
      return None
    least, recorded = min(ranked)[0], self.progress(last).get('best')
    equal = [n for badness, n in ranked if badness == least]
    return next((n for n in equal if recorded and self.epoch(n) == recorded[0]), equal[-1])

  def badness(self, number: int) -> float | None:
    """The monitored figure of a checkpoint's epoch, lower is better; None where it was no gain."""
    path = self.path(number) / 'metrics' / 'metrics'
    return json.loads(path.read_bytes())['badness'] if path.exists() else None

  def _numbers(self) -> list[int]:
    if not self.folder.is_dir():
      return []
    return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdecimal() and p.is_dir())

  def _is_complete(self, number: int) -> bool:
    """Whether the best checkpoint up to this one is undamaged."""
    if 'best' not in (progress := self.progress(number)):
      return True
    recorded, best = progress['best'], self.best(number)
    return recorded is None if best is None else recorded is not None and recorded[0] == self.epoch(best)

  def _is_unreadable(self, number: int) -> bool:
    try:
      self.badness(number)
      self.stage_info(number)
    except (OSError, ValueError, KeyError, TypeError):
      return True
    return False
