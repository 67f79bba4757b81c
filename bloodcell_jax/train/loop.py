"""The training loop: arrays in, a finished state out. It knows neither files of images nor TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
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
  """How long to train and how often to save."""

  epochs: int  # > 0
  steps_per_epoch: int  # > 0
  checkpoint_every: float  # > 0, in checkpoint_unit; the end of the last epoch is always saved
  checkpoint_unit: str  # one of UNITS

  def __post_init__(self):
    for name in ('epochs', 'steps_per_epoch', 'checkpoint_every'):
      if not getattr(self, name) > 0:
        raise types.UserError(f'train.{name} is {getattr(self, name)}; it must be above 0')
    if self.checkpoint_unit not in UNITS:
      raise types.UserError(
        f'train.checkpoint_unit is {self.checkpoint_unit!r}; choose one of {", ".join(UNITS)}'
      )


@dataclasses.dataclass(frozen=True)
class Parts:
  """What the loop calls: it is given every one of them and makes none."""

  step: Callable[..., Any]  # (state, batch, key, scale) -> (state, report)
  batches: Callable[[int], Batches]  # the endless stream from this step on
  evaluate: Callable[[Any], dict[str, float]]  # params -> val_loss, val_accuracy; may raise Stopped
  learning_rate: optax.Schedule
  batch_size: int
  key: jax.Array  # of dropout
  store: checkpoint.Store
  stop: signals.Stop
  progress: progress.Progress
  on_epoch: Callable[[list[history.Record]], None]  # after each epoch, with all records so far


def fit(
  state: state_lib.State, spec: Spec, plan: history.Spec, parts: Parts, stage: str
) -> tuple[state_lib.State, list[history.Record]]:
  """Trains to the last epoch, from the newest checkpoint if there is one.

  **Guarantees**: interrupted at any moment and called again with the same arguments, the final parameters are
  bitwise those of an uninterrupted run on the same devices; a step whose loss or gradients are not finite
  ends the run before anything of it is saved.

  Args:
    state: as created; it is donated.
    spec: how long, how often to save.
    plan: when to slow down and when to stop early.
    parts: what is called.
    stage: the name written into the history.

  Raises:
    signals.Stopped: a stop was asked for; the state is saved.
    types.RunError: a loss or gradient was not finite.
  """
  records: list[history.Record] = []
  seconds = 0.0  # spent in the epoch under way
  saved = parts.store.latest(state)
  if saved:
    state, records, seconds = saved.state, saved.records, saved.seconds
    parts.on_epoch(records)
    parts.progress.line(f'continuing after step {int(state.step)} of {spec.epochs * spec.steps_per_epoch}')
  if is_finished(records, spec, plan):
    return state, records
  saver = _Saver(spec, parts.store)
  stream = parts.batches(int(state.step))
  # Closed at the end whatever happens, because a pipeline may hold threads.
  with contextlib.closing(stream):
    while not is_finished(records, spec, plan):
      state, seconds = _train_epoch(state, stream, spec, plan, parts, saver, records, seconds)
      records = [*records, _evaluate(state, spec, plan, parts, saver, records, seconds, stage)]
      state, seconds = dataclasses.replace(state, sums=state_lib.zero_sums()), 0.0
      is_best = history.best(records, plan.monitor) is records[-1]
      if is_best or is_finished(records, spec, plan) or saver.due_after_epoch(len(records)):
        saver.save(state, records, seconds)
      parts.on_epoch(records)
  parts.store.wait()
  return state, records


def is_finished(records: Sequence[history.Record], spec: Spec, plan: history.Spec) -> bool:
  """Whether the epochs are done or early stopping has ended them."""
  return len(records) >= spec.epochs or history.should_stop(records, plan)


class _Saver:
  """Knows when a checkpoint is due."""

  def __init__(self, spec: Spec, store: checkpoint.Store):
    self._spec, self._store, self._last = spec, store, time.monotonic()

  def due_after_step(self, step: int) -> bool:
    every = self._spec.checkpoint_every
    if self._spec.checkpoint_unit == 'minutes':
      return time.monotonic() - self._last >= 60 * every
    return self._spec.checkpoint_unit == 'steps' and step % every == 0

  def due_after_epoch(self, epoch: int) -> bool:
    return self._spec.checkpoint_unit != 'epochs' or epoch % self._spec.checkpoint_every == 0

  def save(self, state: state_lib.State, records: Sequence[history.Record], seconds: float) -> None:
    self._store.save(state, records, seconds)
    self._last = time.monotonic()

  def save_and_leave(self, state: state_lib.State, records: Sequence[history.Record], seconds: float) -> None:
    self._store.save(state, records, seconds)
    self._store.wait()
    raise signals.Stopped


def _train_epoch(
  state: state_lib.State,
  stream: Batches,
  spec: Spec,
  plan: history.Spec,
  parts: Parts,
  saver: _Saver,
  records: Sequence[history.Record],
  seconds: float,
) -> tuple[state_lib.State, float]:
  """The rest of the epoch under way, and the seconds it has taken in all."""
  start, end = len(records) * spec.steps_per_epoch, (len(records) + 1) * spec.steps_per_epoch
  scale = np.float32(history.learning_rate_scale(records, plan))
  step, began = int(state.step), time.monotonic() - seconds
  parts.progress.start_epoch(len(records) + 1, spec.epochs, spec.steps_per_epoch, step - start)
  unseen: tuple[int, Any, int] | None = None
  while step < end:
    batch = next(stream)
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
  return state, time.monotonic() - began


def _look(unseen: tuple[int, Any, int] | None, shown: progress.Progress) -> None:
  if unseen is None:
    return
  step, report, num_images = unseen
  if not bool(report.finite):
    raise types.RunError(
      f'step {step}: the loss or a gradient is not finite (loss {float(report.loss)}); '
      'lower optimizer.learning_rate or set optimizer.global_clipnorm. The last checkpoint is kept'
    )
  shown.step(float(report.loss), float(report.accuracy), num_images)


def _evaluate(
  state: state_lib.State,
  spec: Spec,
  plan: history.Spec,
  parts: Parts,
  saver: _Saver,
  records: Sequence[history.Record],
  seconds: float,
  stage: str,
) -> history.Record:
  """The record of the epoch that has just been trained."""
  try:
    figures = parts.evaluate(state_lib.inference_params(state))
  except signals.Stopped:
    saver.save_and_leave(state, records, seconds)
  step, weight = int(state.step), float(state.sums.weight)
  scale = history.learning_rate_scale(records, plan)
  record = history.Record(
    epoch=len(records) + 1,
    step=step,
    stage=stage,
    loss=float(state.sums.loss) / weight,
    accuracy=float(state.sums.correct) / weight,
    learning_rate=float(parts.learning_rate(step - 1)) * scale,
    seconds=round(seconds, 3),
    images_per_second=round(spec.steps_per_epoch * parts.batch_size / seconds, 2),
    **figures,
  )
  parts.progress.end_epoch(record)
  return record
