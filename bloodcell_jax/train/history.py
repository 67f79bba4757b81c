"""The history of a run, one record an epoch: the best epoch, early stopping, lower rates on a plateau."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

MONITORS = ('val_loss', 'val_accuracy', 'loss', 'accuracy')


@dataclasses.dataclass(frozen=True)
class Record:
  """One epoch; a line of `history.jsonl`."""

  epoch: int  # from 1, over all stages
  step: int  # updates made since the run began
  stage: str
  loss: float  # mean over the epoch's training examples, dropout on, nats
  accuracy: float
  val_loss: float
  val_accuracy: float
  learning_rate: float  # of the epoch's last update
  seconds: float  # training, evaluation not included
  images_per_second: float  # of training
  # In [0, 1]: of that time the device waited for a batch; None in early versions' runs.
  wait_share: float | None


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which epoch is better, when to lower the learning rate and when to stop; a patience of 0 switches either off."""

  monitor: str  # one of MONITORS
  min_delta: float  # >= 0: a smaller gain does not end the wait of either patience
  early_stopping_patience: int  # epochs
  reduce_on_plateau_patience: int  # epochs
  reduce_on_plateau_factor: float  # in (0, 1)
  reduce_on_plateau_min_scale: float  # in [0, 1]: lower limit of the share of the rate that remains

  def __post_init__(self):
    if self.monitor not in MONITORS:
      raise types.UserError(f'train.monitor is {self.monitor!r}; choose one of {", ".join(MONITORS)}')
    for name in ('min_delta', 'early_stopping_patience', 'reduce_on_plateau_patience'):
      if getattr(self, name) < 0:
        raise types.UserError(f'train.{name} is {getattr(self, name)}; it must be 0 or more')
    if not 0 < self.reduce_on_plateau_factor < 1:
      raise types.UserError(
        f'train.reduce_on_plateau_factor is {self.reduce_on_plateau_factor}; it must lie in (0, 1)'
      )
    if not 0 <= self.reduce_on_plateau_min_scale <= 1:
      raise types.UserError(
        f'train.reduce_on_plateau_min_scale is {self.reduce_on_plateau_min_scale}; it must lie in [0, 1]'
      )


def badness(record: Record, monitor: str) -> float:
  """The monitored figure, negated where higher is better."""
  value = getattr(record, monitor)
  return -value if monitor.endswith('accuracy') else value


def best(records: Sequence[Record], monitor: str) -> Record:
  """The best record; the earliest among equals."""
  return min(records, key=lambda record: badness(record, monitor))


def should_stop(records: Sequence[Record], spec: Spec) -> bool:
  """Whether `early_stopping_patience` epochs have passed without a gain. Source: Keras `EarlyStopping`."""
  patience = spec.early_stopping_patience
  return bool(patience) and _waits(records, spec)[-1] >= patience if records else False


def learning_rate_scale(records: Sequence[Record], spec: Spec) -> float:
  """The share of the learning rate that remains after the plateaus so far.

  Source: Keras `ReduceLROnPlateau` with cooldown 0: the count of epochs without a gain starts anew after each
  reduction. The scale multiplies the whole step, momentum included; Keras' velocity keeps steps of the earlier rate.

  Example:
    >>> spec = Spec('val_loss', 0.0, 0, 2, 0.5, 0.0)
    >>> flat = [Record(i, i, 'train', 1., .5, 1., .5, .1, 1., 1., 0.) for i in range(1, 6)]
    >>> [learning_rate_scale(flat[:n], spec) for n in range(1, 6)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
  """
  scale, best_so_far, wait = 1.0, float('inf'), 0
  for record in records:
    if badness(record, spec.monitor) < best_so_far - spec.min_delta:
      best_so_far, wait = badness(record, spec.monitor), 0
      continue
    wait += 1
    if spec.reduce_on_plateau_patience and wait >= spec.reduce_on_plateau_patience:
      scale, wait = max(scale * spec.reduce_on_plateau_factor, spec.reduce_on_plateau_min_scale), 0
  return scale


def _waits(records: Sequence[Record], spec: Spec) -> list[int]:
  waits, best_so_far, wait = [], float('inf'), 0
  for record in records:
    gained = badness(record, spec.monitor) < best_so_far - spec.min_delta
    best_so_far, wait = (badness(record, spec.monitor), 0) if gained else (best_so_far, wait + 1)
    waits.append(wait)
  return waits


def write(path: str | os.PathLike[str], records: Sequence[Record]) -> None:
  """Writes the records as lines of JSON."""
  atomic.write_text(path, ''.join(json.dumps(dataclasses.asdict(record)) + '\n' for record in records))


def read(path: str | os.PathLike[str]) -> list[Record]:
  """The records of a `history.jsonl`.

  Raises:
    UserError: a line that is no record, by its number.
  """
  records = []
  try:
    lines = atomic.read_text(path).splitlines()
  except ValueError:
    raise types.UserError(
      f'{path}: changed since it was written; train the run again, which writes it anew'
    ) from None
  for number, line in enumerate(lines, 1):
    try:
      # Early versions did not measure it.
      records.append(Record(**{'wait_share': None, **json.loads(line)}))
    except (ValueError, TypeError):
      raise types.UserError(
        f'{path}: line {number} is not a record of an epoch; remove the file and train the run again, which writes it '
        'anew'
      ) from None
  return records
