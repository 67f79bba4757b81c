"""What `--budget`, `--seeds` and `--rows` say, and the length that a budget gives a row."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import method

# A row that has less than its own length still gets so many epochs a stage, if it has the updates: one point is no
# curve, and leaves no epoch to choose.
LEAST_EPOCHS = 3
# The least that a training takes, however short: of a budget in minutes, a bound that needs no measurement.
LEAST_SECONDS = 1.0
_UNITS = {'s': 1.0, 'm': 60.0, 'h': 3600.0}


@dataclasses.dataclass(frozen=True)
class Budget:
  """A share of every row's own length, or a time for all that is still to be trained."""

  share: float  # in (0, 1]; 0 where the budget is a time
  seconds: float  # 0 where the budget is a share

  def __str__(self) -> str:
    if self.share:
      return f'{self.share:g}'
    return f'{self.seconds / 60:g}m' if self.seconds >= 60 else f'{self.seconds:g}s'


@dataclasses.dataclass(frozen=True)
class Length:
  """How long one training is."""

  steps: int  # updates an epoch
  epochs: tuple[int, ...]  # of each stage

  @property
  def updates(self) -> int:
    """Updates in all."""
    return self.steps * sum(self.epochs)

  def __str__(self) -> str:
    return f'{" + ".join(map(str, self.epochs))} x {self.steps}'


def parse(text: str) -> Budget:
  """The budget of `--budget`.

  Args:
    text: a share such as 0.05; minutes such as 30 or 30m; hours such as 6h.

  Raises:
    UserError: it is none of these.

  Example:
    >>> parse('0.05').share, parse('30m').seconds, parse('8').seconds, parse('6h').seconds
    (0.05, 1800.0, 480.0, 21600.0)
  """
  match = re.fullmatch(r'(\d+\.?\d*|\.\d+)([smh]?)', text.strip())
  number = float(match[1]) if match else 0.0
  if match is None or not number:
    raise types.UserError(
      f'budget is {text!r}; give a share of the length of each row such as 0.05, or a time such as 30m or 6h'
    )
  if match[2] or number > 1:
    return Budget(0.0, number * _UNITS[match[2] or 'm'])
  return Budget(number, 0.0)


def seeds(text: str) -> tuple[int, ...]:
  """The seeds of `--seeds`: a count, or a list with commas.

  Raises:
    UserError: it is neither.

  Example:
    >>> seeds('2'), seeds('0,5'), seeds('7,')
    ((0, 1), (0, 5), (7,))
  """
  parts = [part.strip() for part in text.split(',') if part.strip()]
  if not parts or not all(part.isascii() and part.isdigit() for part in parts):
    raise types.UserError(f'seeds is {text!r}; give a count such as 2, or seeds such as 0,1')
  numbers = tuple(dict.fromkeys(map(int, parts)))
  if ',' not in text:
    if not 1 <= numbers[0] <= 1000:
      raise types.UserError(
        f'seeds is {text!r}; a count lies in 1 to 1000; for the seed {numbers[0]} write {text},'
      )
    return tuple(range(numbers[0]))
  if max(numbers) >= 2**32:
    raise types.UserError(f'seeds is {text!r}; a seed must lie in [0, 2**32)')
  return numbers


def select(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
  """The names that match one of the patterns, in order; all without patterns.

  Raises:
    UserError: a pattern that matches none, with the nearest name.
  """
  for pattern in patterns:
    if not fnmatch.filter(names, pattern):
      near = difflib.get_close_matches(pattern, names, 1, cutoff=0)
      hint = f'; did you mean {near[0]}?' if near else ''
      raise types.UserError(
        f'rows has {pattern!r}, which is not a row of the study{hint} The rows are {", ".join(names)}'
      )
  return [name for name in names if not patterns or any(fnmatch.fnmatchcase(name, each) for each in patterns)]


def read_length(flat: Mapping[str, Any]) -> Length:
  """The length of a flat config."""
  return Length(flat['train.steps_per_epoch'], tuple(flat[key] for key in _epoch_keys(flat)))


def with_length(flat: Mapping[str, Any], length: Length) -> dict[str, Any]:
  """The flat config with another length."""
  epochs = dict(zip(_epoch_keys(flat), length.epochs, strict=True))
  return {**flat, 'train.steps_per_epoch': length.steps, **epochs}


def _epoch_keys(flat: Mapping[str, Any]) -> list[str]:
  return [f'stages.{name}.epochs' for name in flat['stages.order']] or ['train.epochs']


def scaled(own: Length, share: float) -> Length:
  """A share of a length, at least one update a stage: fewer epochs, and shorter ones where few would be left.

  Args:
    own: the whole length.
    share: in (0, 1].

  Example:
    >>> [str(scaled(Length(200, (30,)), share)) for share in (1, 0.5, 0.05, 0.001)]
    ['30 x 200', '15 x 200', '3 x 100', '3 x 2']
    >>> str(scaled(Length(199, (6, 6)), 0.01))
    '3 + 3 x 4'
  """
  wanted = max(1, round(share * own.updates))
  # A stage keeps LEAST_EPOCHS, or what it has of its own if that is less.
  epochs = tuple(max(round(share * each), min(each, LEAST_EPOCHS)) for each in own.epochs)
  if wanted < sum(epochs):
    epochs = tuple(max(1, min(each, wanted * each // sum(epochs))) for each in epochs)
  return Length(min(own.steps, max(1, round(wanted / sum(epochs)))), epochs)


def shortest(own: Length) -> float:
  """The share with which each stage has an update in each of LEAST_EPOCHS epochs, or its own length if that is less."""
  return min(1.0, LEAST_EPOCHS * len(own.epochs) / own.updates)


def check(budget: Budget, own: Mapping[str, Length], trainings: int) -> None:
  """Refuses a budget that leaves a row without an update a stage.

  Args:
    budget: of the study.
    own: by row, its own length.
    trainings: networks that are still to be trained.

  Raises:
    UserError: naming the row and the least share, or the number of networks and the least time.
  """
  if budget.seconds and budget.seconds < LEAST_SECONDS * trainings:
    networks = '1 network' if trainings == 1 else f'{trainings} networks'
    raise types.UserError(
      f'budget is {budget} for {networks}, less than {LEAST_SECONDS:g} s each; give more, or fewer --rows'
    )
  # One update of the shortest stage; the row that needs most, so that the advice holds for all of them.
  least = {name: 1 / (length.steps * min(length.epochs)) for name, length in own.items()}
  name = max(least, key=lambda each: least[each], default='')
  if name and 0 < budget.share < least[name]:
    raise types.UserError(
      f'budget is {budget}, which is less than one update of row {name} ({own[name]}); the least is '
      f'{_rounded_up(least[name])}'
    )


def _rounded_up(share: float) -> str:
  """A share with two digits, not below it, as `parse` reads it.

  Example:
    >>> _rounded_up(1 / 12600), _rounded_up(0.1), _rounded_up(1)
    ('0.00008', '0.1', '1')
  """
  digits = 1 - math.floor(math.log10(share))
  return f'{math.ceil(share * 10**digits - 1e-9) / 10**digits:.{digits}f}'.rstrip('0').rstrip('.')


def num_trainings(flat: Mapping[str, Any]) -> int:
  """The number of networks that a run of this flat config trains."""
  keys = ('method', 'members', 'combine', 'folds')
  return method.num_trainings(*(flat[f'ensemble.{key}'] for key in keys))
