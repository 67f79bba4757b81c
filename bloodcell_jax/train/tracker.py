"""One run on its way through a stage: epoch clock, records, checkpoints.

`TRANSITIONS` says which method may be called in which phase; `loop.fit` shows the usual order:

    BETWEEN_EPOCHS -begin_epoch-> TRAINING -(next_batch, record_update) per step, end_training-> TRAINED
    -evaluate-> EVALUATED -end_epoch-> BETWEEN_EPOCHS, or FINISHED after the stage's last epoch
"""

from __future__ import annotations

import enum
import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.train import checkpoint, history, pending_update, plan
from bloodcell_jax.train import state as state_lib
from bloodcell_jax.train import step as step_lib

P = ParamSpec('P')
T = TypeVar('T')

# How to continue after a key of training has been changed.
_ANEW = 'and train in another --workdir. Checkpoints saved before are kept'


class Phase(enum.Enum):
  """Where a run stands in its stage."""

  BETWEEN_EPOCHS = enum.auto()  # also before the first epoch, and before continuing an interrupted one
  TRAINING = enum.auto()  # the epoch's clock runs
  UPDATING = enum.auto()  # a batch was taken whose update is not recorded yet
  TRAINED = enum.auto()  # all updates of the epoch are made and checked; the clock stands still
  EVALUATED = enum.auto()  # the epoch has its record; the state still holds its sums
  FINISHED = enum.auto()  # no epoch is left
  CLOSED = enum.auto()


def _transitions() -> dict[str, Mapping[Phase, Phase]]:
  between, training, updating, trained, evaluated, _, closed = Phase
  return {
    # method: {phase before: phase after}
    'begin_epoch': {between: training},
    'next_batch': {training: updating},
    'next_inputs': {training: updating},
    'record_update': {updating: training},
    'check_update': {training: training},
    'is_checkpoint_due': {training: training},
    'is_epoch_trained': {training: training},
    'exclude_pause': {training: training},
    'end_training': {training: trained},
    'evaluate': {trained: evaluated},
    'end_epoch': {evaluated: between},  # FINISHED instead where no epoch is left
    'save': {phase: phase for phase in (between, training, trained, evaluated)},
    'close': dict.fromkeys(Phase, closed),
  }


TRANSITIONS = _transitions()


def _checked(
  method: Callable[Concatenate[RunTracker, P], T],
) -> Callable[Concatenate[RunTracker, P], T]:
  """The method, refused in a phase where `TRANSITIONS` lacks it; the phase changes when it has succeeded."""
  name = method.__name__

  @functools.wraps(method)
  def checked(self: RunTracker, *args: P.args, **kwargs: P.kwargs) -> T:
    assert self.phase in TRANSITIONS[name], f'{name} called in phase {self.phase.name}'
    after = TRANSITIONS[name][self.phase]
    result = method(self, *args, **kwargs)
    is_last = after is Phase.BETWEEN_EPOCHS and self.is_finished
    self.phase = Phase.FINISHED if is_last else after
    return result

  return checked


class RunTracker:
  """Counts the steps of one run in a stage, keeps its records and writes its checkpoints; it holds no state.

  **Guarantees**: methods in another order than that of `TRANSITIONS` raise AssertionError with the method and the
  phase; no checkpoint and no record is made of an update that was not checked for being finite.

  Args:
    saved: the start of the stage, or a checkpoint within it. Only its numbers are kept, not its state.
    stage: what to train.
    spec: how long an epoch is, how often to save.
    parts: everything to call; `step` is not used here.
  """

  def __init__(self, saved: checkpoint.Saved, stage: plan.Stage, spec: plan.Spec, parts: plan.Parts):
    self.records, self.step = list(saved.records), int(saved.state.step)
    self.parts, self._stage, self._spec, self._stage_info = parts, stage, spec, saved.stage_info
    self._seconds = saved.seconds  # spent in this epoch, while its clock stands still
    self._stream: plan.Batches | None = None
    self._pending: pending_update.PendingUpdate | None = None
    self._last_save = time.monotonic()
    self.is_finished = stage.is_finished(self.records)
    self.phase = Phase.FINISHED if self.is_finished else Phase.BETWEEN_EPOCHS
    first = len(self.records) - len(stage.own_records(self.records))  # epochs before the stage
    if self.step > first * spec.steps_per_epoch:
      parts.on_epoch(self.records)
      done, total = self.step - first * spec.steps_per_epoch, stage.epochs * spec.steps_per_epoch
      if not self.is_finished:
        parts.progress.line(f'continuing after step {done} of {total}')

  @_checked
  def begin_epoch(self) -> None:
    """Starts the clock of the next epoch, or of the interrupted one."""
    own, steps = self._stage.own_records(self.records), self._spec.steps_per_epoch
    if self._stream is None:
      self._stream = self.parts.batches(self.step)
    self.scale = np.float32(history.learning_rate_scale(own, self._stage.monitoring))
    self._clock_started = time.monotonic()
    self._epoch_began, self._waited = self._clock_started - self._seconds, 0.0
    done = self.step - len(self.records) * steps
    self.parts.progress.start_epoch(self._stage.name, len(own) + 1, self._stage.epochs, steps, done)

  @_checked
  def next_batch(self) -> tuple[types.Batch, float]:
    """The batch of the next update, and the seconds for which the device waited for it."""
    (batch,), waited = self._take(1)
    return batch, waited

  @_checked
  def next_inputs(self, most: int) -> tuple[Any, int, float]:
    """The inputs of the next updates, how many these are, and the seconds for which the device waited for them.

    They end with the epoch, or where a checkpoint is due. The inputs are stacked and always `most`, those that are not
    to be used repeat the last.
    """
    steps, spec = self._spec.steps_per_epoch, self._spec
    num = min(most, (len(self.records) + 1) * steps - self.step)
    if spec.checkpoint_unit == plan.STEPS:
      num = next((k for k in range(1, num) if (self.step + k) % spec.checkpoint_every == 0), num)
    inputs, waited = self._take(num)
    inputs += inputs[-1:] * (most - num)
    return jax.tree.map(lambda *leaf_U: np.stack(leaf_U), *inputs), num, waited

  def _take(self, num: int) -> tuple[list[Any], float]:
    assert self._stream is not None
    asked = time.monotonic()
    taken = [next(self._stream) for _ in range(num)]
    # If the device is still busy with the last update, the batch was ready in time.
    is_idle = self._pending is None or self._pending.is_ready()
    return taken, time.monotonic() - asked if is_idle else 0.0

  @_checked
  def record_update(
    self, report: step_lib.Report, num_images: int, waited: float, entries: range = range(1)
  ) -> None:
    """Counts an update, or several of one call, that has been started, and checks the one before it.

    Checking one step late keeps the device from waiting for the host.

    Args:
      report: of the update.
      num_images: in its batch.
      waited: seconds for which the device waited for the batch.
      entries: the run's entries in the report: its member's, where several runs share a program; one for each update,
        where a call makes several.

    Raises:
      types.RunError: the update before it was not finite.
    """
    self.step += len(entries)
    self._waited += waited
    self._check_pending()
    self._pending = pending_update.PendingUpdate(report, entries, self.step, num_images)

  @_checked
  def check_update(self) -> None:
    """Waits for the last update. Raises RunError where its loss or a gradient was not finite."""
    self._check_pending()

  def _check_pending(self) -> None:
    if (pending := self._pending) is None:
      return
    self._pending = None
    for number, loss, accuracy, is_finite in pending.values():
      if not is_finite:
        raise types.RunError(
          f'{self.parts.progress.name}step {number}: the loss, a gradient or an update is not finite '
          f'(loss {loss}); lower optimizer.learning_rate or set optimizer.global_clipnorm, {_ANEW}'
        )
      self.parts.progress.step(loss, accuracy, pending.num_images)

  @_checked
  def is_checkpoint_due(self) -> bool:
    """Whether to save after this step; the end of an epoch is `end_epoch`'s business."""
    every = self._spec.checkpoint_every
    if self._spec.checkpoint_unit == plan.MINUTES:
      return time.monotonic() - self._last_save >= 60 * every
    return self._spec.checkpoint_unit == plan.STEPS and self.step % every == 0

  @_checked
  def is_epoch_trained(self) -> bool:
    """Whether all updates of the epoch have been started."""
    return self.step == (len(self.records) + 1) * self._spec.steps_per_epoch

  @_checked
  def exclude_pause(self, seconds: float) -> None:
    """Takes time in which the run stood still out of its epoch's clock."""
    self._epoch_began, self._clock_started = self._epoch_began + seconds, self._clock_started + seconds

  @_checked
  def end_training(self) -> None:
    """Checks the epoch's last update and stops the clock: neither evaluation nor saving counts."""
    self._check_pending()
    ended = time.monotonic()
    self._seconds = ended - self._epoch_began
    # Only over the part of the epoch that this process trained.
    self._wait_share = self._waited / max(ended - self._clock_started, 1e-9)

  @_checked
  def evaluate(self, state: state_lib.State) -> None:
    """Evaluates the epoch and adds its record.

    Raises:
      signals.Stopped: a stop was asked for; nothing has changed.
      types.RunError: a figure is not finite.
    """
    parts, steps = self.parts, self._spec.steps_per_epoch
    figures = parts.evaluate(state_lib.inference_params(state))
    for name, value in figures.items():
      if not math.isfinite(value):
        # Before the record is made: no later epoch would compare as better than NaN.
        raise types.RunError(
          f'{parts.progress.name}epoch {len(self.records) + 1}: {name} is {value}; lower optimizer.learning_rate, '
          f'{_ANEW}'
        )
    own, weight = self._stage.own_records(self.records), float(state.sums.weight)
    first_step = (len(self.records) - len(own)) * steps
    scale = history.learning_rate_scale(own, self._stage.monitoring)
    record = history.Record(
      epoch=len(self.records) + 1,
      step=self.step,
      stage=self._stage.name,
      loss=float(state.sums.loss) / weight,
      accuracy=float(state.sums.correct) / weight,
      learning_rate=float(parts.learning_rate(self.step - 1 - first_step)) * scale,
      seconds=round(self._seconds, 3),
      images_per_second=round(steps * parts.batch_size / self._seconds, 2),
      wait_share=round(self._wait_share, 4),
      **figures,
    )
    parts.progress.end_epoch(record)
    self.records, self._seconds = [*self.records, record], 0.0
    self.is_finished = self._stage.is_finished(self.records)

  @_checked
  def end_epoch(self, state: state_lib.State) -> None:
    """Saves if this epoch is to be saved, then calls `on_epoch`; the state already has its sums cleared."""
    own = self._stage.own_records(self.records)
    # The best epoch of the run is among the best ones of its stages, whichever of them are candidates.
    is_best = history.best(own, self._stage.monitoring.monitor) is self.records[-1]
    every, unit = self._spec.checkpoint_every, self._spec.checkpoint_unit
    if is_best or self.is_finished or unit != plan.EPOCHS or len(self.records) % every == 0:
      self.save(state)
    self.parts.on_epoch(self.records)
    if self.is_finished:
      self._close_stream()

  @_checked
  def save(self, state: state_lib.State) -> None:
    """Checks the last update, then starts to write a checkpoint."""
    self._check_pending()
    is_clock_running = self.phase is Phase.TRAINING
    seconds = time.monotonic() - self._epoch_began if is_clock_running else self._seconds
    saved = checkpoint.Saved(state, list(self.records), seconds, self._stage_info)
    self.parts.store.save(saved, self._stage.is_candidate)
    self._last_save = time.monotonic()

  @_checked
  def close(self) -> None:
    """Ends the stream of batches, whose pipeline may hold threads."""
    self._close_stream()

  def _close_stream(self) -> None:
    if self._stream is not None:
      self._stream.close()
