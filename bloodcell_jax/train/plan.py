"""What a training stage needs: its length, when to save, and the functions that the loop calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import jax
import optax

from bloodcell_jax.base import types
from bloodcell_jax.train import checkpoint, history, progress, signals

# Batches, or what `Many` makes them from.
Batches = Generator[Any, None, None]
EPOCHS, STEPS, MINUTES = UNITS = ('epochs', 'steps', 'minutes')


@dataclasses.dataclass(frozen=True)
class Spec:
  """How long an epoch is and how often to save."""

  steps_per_epoch: int  # 0 means one pass over the data; the caller replaces it before `loop.fit`
  # > 0, in checkpoint_unit, whole unless these are minutes; the end of the last epoch is always saved
  checkpoint_every: float
  checkpoint_unit: str  # one of UNITS

  def __post_init__(self):
    if self.steps_per_epoch < 0:
      raise types.UserError(f'train.steps_per_epoch is {self.steps_per_epoch}; it must be 0 or more')
    if not self.checkpoint_every > 0:
      raise types.UserError(f'train.checkpoint_every is {self.checkpoint_every}; it must be above 0')
    if self.checkpoint_unit not in UNITS:
      raise types.UserError(
        f'train.checkpoint_unit is {self.checkpoint_unit!r}; choose one of {", ".join(UNITS)}'
      )
    # The loop looks at whole steps and whole epochs alone: a fraction would divide almost none of them.
    if self.checkpoint_unit != MINUTES and self.checkpoint_every % 1 > 0:
      raise types.UserError(
        f'train.checkpoint_every is {self.checkpoint_every}; it must be a whole number of {self.checkpoint_unit}'
      )


@dataclasses.dataclass(frozen=True)
class Stage:
  """A part of a run. `Parts` decides which weights it trains, and how."""

  name: str
  epochs: int  # > 0
  monitoring: history.Spec
  is_candidate: bool  # whether one of its epochs may be the best of the run

  def __post_init__(self):
    if self.epochs < 1:
      raise types.UserError(f'epochs of stage {self.name} is {self.epochs}; it must be 1 or more')

  def own_records(self, records: Sequence[history.Record]) -> list[history.Record]:
    """The records of this stage's epochs."""
    return [record for record in records if record.stage == self.name]

  def is_finished(self, records: Sequence[history.Record]) -> bool:
    """Whether all epochs are done or early stopping has ended the stage."""
    own = self.own_records(records)
    return len(own) >= self.epochs or history.should_stop(own, self.monitoring)


@dataclasses.dataclass(frozen=True)
class Many:
  """Several updates in one call."""

  size: int  # most updates a call
  # (state, what `batches` yields for `size` updates, stacked, how many of them to make, key, scale) ->
  # (state, report_U)
  step: Callable[..., Any]


class Store(Protocol):
  """Where checkpoints go, such as `checkpoint.Store`."""

  def save(self, saved: checkpoint.Saved, is_candidate: bool) -> None:
    """Starts to write a checkpoint; `is_candidate` is whether it may be the best."""

  def wait(self) -> None:
    """Waits until everything is on the disk."""


@dataclasses.dataclass(frozen=True)
class Parts:
  """Everything the loop calls. It is passed in; the loop builds none of it."""

  step: Callable[..., Any]  # (state, batch, key, scale) -> (state, report)
  many: Many | None  # in place of `step` where updates are made several at a time
  batches: Callable[[int], Batches]  # first step -> endless stream of batches from there on
  evaluate: Callable[[Any], dict[str, float]]  # params -> val_loss, val_accuracy; may raise Stopped
  learning_rate: optax.Schedule  # of the number of updates within the stage
  batch_size: int
  key: jax.Array  # for dropout
  store: Store
  stop: signals.Stop
  progress: progress.Progress
  on_epoch: Callable[[list[history.Record]], None]  # called after each epoch with all records so far
