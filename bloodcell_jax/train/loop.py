"""The training loop: arrays in, a finished state out. It knows neither files of images nor TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax
import numpy as np
import optax

from bloodcell_jax import types
from bloodcell_jax.train import checkpoint, history, progress, signals
from bloodcell_jax.train import state as state_lib

Batches = Generator[types.Batch, None, None]
UNITS = ('epochs', 'steps', 'minutes')


@dataclasses.dataclass(frozen=True)
class Spec:
  """How long an epoch is and how often to save."""

  steps_per_epoch: int  # 0 for one pass over the data, which the caller puts in before `fit`
  checkpoint_every: float  # > 0, in checkpoint_unit; the end of the last epoch is always saved
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


@dataclasses.dataclass(frozen=True)
class Stage:
  """A part of a run: which weights are trained in it, and how, is in the parts."""

  name: str
  epochs: int  # > 0
  plan: history.Spec
  is_candidate: bool  # whether one of its epochs may be the best of the run

  def __post_init__(self):
    if self.epochs < 1:
      raise types.UserError(f'epochs of stage {self.name} is {self.epochs}; it must be 1 or more')

  def own(self, records: Sequence[history.Record]) -> list[history.Record]:
    """Those of this stage."""
    return [record for record in records if record.stage == self.name]

  def is_finished(self, records: Sequence[history.Record]) -> bool:
    """Whether its epochs are done or early stopping has ended them."""
    own = self.own(records)
    return len(own) >= self.epochs or history.should_stop(own, self.plan)


@dataclasses.dataclass(frozen=True)
class Parts:
  """What the loop calls: it is given every one of them and makes none."""

  step: Callable[..., Any]  # (state, batch, key, scale) -> (state, report)
  batches: Callable[[int], Batches]  # the endless stream from this step on
  evaluate: Callable[[Any], dict[str, float]]  # params -> val_loss, val_accuracy; may raise Stopped
  learning_rate: optax.Schedule  # by updates of this stage
  batch_size: int
  key: jax.Array  # of dropout
  store: checkpoint.Store
  stop: signals.Stop
  progress: progress.Progress
  on_epoch: Callable[[list[history.Record]], None]  # after each epoch, with all records so far


def fit(
  saved: checkpoint.Saved, stage: Stage, spec: Spec, parts: Parts
) -> tuple[state_lib.State, list[history.Record]]:
  """The state and the records at the stage's last epoch.

  **Guarantees**: interrupted at any moment and called again with the newest checkpoint, the final parameters are
  bitwise those of an uninterrupted run on the same devices; a step whose loss or gradients are not finite
  ends the run before anything of it is saved.

  Args:
    saved: where the run stands: at the stage's start, or within it; its state is donated.
    stage: what to train.
    spec: how long an epoch is, how often to save.
    parts: what is called.

  Raises:
    signals.Stopped: a stop was asked for; the state is saved.
    types.RunError: a loss or gradient was not finite.
  """
  state, records, seconds = saved.state, saved.records, saved.seconds
  first = len(records) - len(stage.own(records))  # epochs before the stage
  if int(state.step) > first * spec.steps_per_epoch:
    done = int(state.step) - first * spec.steps_per_epoch
    parts.on_epoch(records)
    parts.progress.line(f'continuing after step {done} of {stage.epochs * spec.steps_per_epoch}')
  if stage.is_finished(records):
    return state, records
  saver = _Saver(spec, parts.store, saved.stamp, stage.is_candidate)
  stream = parts.batches(int(state.step))
  # Closed at the end whatever happens, because a pipeline may hold threads.
  with contextlib.closing(stream):
    while not stage.is_finished(records):
      state, seconds, waited = _train_epoch(state, stream, stage, spec, parts, saver, records, seconds)
      records = [*records, _evaluate(state, stage, spec, parts, saver, records, seconds, waited)]
      state, seconds = dataclasses.replace(state, sums=state_lib.zero_sums()), 0.0
      # The best of the run is one of those, whichever stages are candidates.
      is_best = history.best(stage.own(records), stage.plan.monitor) is records[-1]
      if is_best or stage.is_finished(records) or saver.due_after_epoch(len(records)):
        saver.save(state, records, seconds)
      parts.on_epoch(records)
  parts.store.wait()
  return state, records


class _Saver:
  """Knows when a checkpoint is due."""

  def __init__(self, spec: Spec, store: checkpoint.Store, stamp: checkpoint.Stamp, is_candidate: bool):
    self._spec, self._store, self._stamp, self._is_candidate = spec, store, stamp, is_candidate
    self._last = time.monotonic()

  def due_after_step(self, step: int) -> bool:
    every = self._spec.checkpoint_every
    if self._spec.checkpoint_unit == 'minutes':
      return time.monotonic() - self._last >= 60 * every
    return self._spec.checkpoint_unit == 'steps' and step % every == 0

  def due_after_epoch(self, epoch: int) -> bool:
    return self._spec.checkpoint_unit != 'epochs' or epoch % self._spec.checkpoint_every == 0

  def save(self, state: state_lib.State, records: Sequence[history.Record], seconds: float) -> None:
    self._store.save(checkpoint.Saved(state, list(records), seconds, self._stamp), self._is_candidate)
    self._last = time.monotonic()

  def save_and_leave(self, state: state_lib.State, records: Sequence[history.Record], seconds: float) -> None:
    self.save(state, records, seconds)
    self._store.wait()
    raise signals.Stopped


def _train_epoch(
  state: state_lib.State,
  stream: Batches,
  stage: Stage,
  spec: Spec,
  parts: Parts,
  saver: _Saver,
  records: Sequence[history.Record],
  seconds: float,
) -> tuple[state_lib.State, float, float]:
  """The rest of the epoch under way, the seconds it has taken in all, and the share of them spent waiting for input.

  The share is of what this process did of the epoch.
  """
  start, end = len(records) * spec.steps_per_epoch, (len(records) + 1) * spec.steps_per_epoch
  own = stage.own(records)
  scale = np.float32(history.learning_rate_scale(own, stage.plan))
  step, continued = int(state.step), time.monotonic()
  began, waited = continued - seconds, 0.0
  parts.progress.start_epoch(stage.name, len(own) + 1, stage.epochs, spec.steps_per_epoch, step - start)
  unseen: tuple[int, Any, int] | None = None
  while step < end:
    asked = time.monotonic()
    batch = next(stream)
    # Only where the device ended its step meanwhile: else the batch was ready in time.
    if unseen is None or unseen[1].loss.is_ready():
      waited += time.monotonic() - asked
    state, report = parts.step(state, batch, parts.key, scale)
    step += 1
    # Looked at one step late, so that the device never waits for the host.
    _look(unseen, parts.progress)
    unseen = (step, report, len(batch.weight_B))
    if parts.stop.requested or saver.due_after_step(step):
      _look(unseen, parts.progress)
      unseen = None
      write = saver.save_and_leave if parts.stop.requested else saver.save
      write(state, records, time.monotonic() - began)
  _look(unseen, parts.progress)
  ended = time.monotonic()
  return state, ended - began, waited / max(ended - continued, 1e-9)


def _look(unseen: tuple[int, Any, int] | None, shown: progress.Progress) -> None:
  if unseen is None:
    return
  step, report, num_images = unseen
  if not bool(report.finite):
    raise types.RunError(
      f'step {step}: the loss, a gradient or an update is not finite (loss {float(report.loss)}); '
      'lower optimizer.learning_rate or set optimizer.global_clipnorm. The last checkpoint is kept'
    )
  shown.step(float(report.loss), float(report.accuracy), num_images)


def _evaluate(
  state: state_lib.State,
  stage: Stage,
  spec: Spec,
  parts: Parts,
  saver: _Saver,
  records: Sequence[history.Record],
  seconds: float,
  waited: float,
) -> history.Record:
  """The record of the epoch that has just been trained."""
  try:
    figures = parts.evaluate(state_lib.inference_params(state))
  except signals.Stopped:
    saver.save_and_leave(state, records, seconds)
  step, weight = int(state.step), float(state.sums.weight)
  for name, value in figures.items():
    if not math.isfinite(value):
      # Before the record: NaN is better than nothing else, and would stay the best epoch for ever.
      raise types.RunError(
        f'epoch {len(records) + 1}: {name} is {value}; lower optimizer.learning_rate. The last checkpoint is kept'
      )
  own = stage.own(records)
  scale = history.learning_rate_scale(own, stage.plan)
  first_step = (len(records) - len(own)) * spec.steps_per_epoch
  record = history.Record(
    epoch=len(records) + 1,
    step=step,
    stage=stage.name,
    loss=float(state.sums.loss) / weight,
    accuracy=float(state.sums.correct) / weight,
    learning_rate=float(parts.learning_rate(step - 1 - first_step)) * scale,
    seconds=round(seconds, 3),
    images_per_second=round(spec.steps_per_epoch * parts.batch_size / seconds, 2),
    wait_share=round(waited, 4),
    **figures,
  )
  parts.progress.end_epoch(record)
  return record
