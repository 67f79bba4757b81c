"""The training loop: arrays in, finished states out. It knows neither files of images nor TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
import optax

from bloodcell_jax import types
from bloodcell_jax.train import checkpoint, course, history, progress, signals, step
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
  run = course.Course(saved, stage, spec, parts)
  (state,) = drive([run], _One(saved.state, parts))
  return state, run.records


class Updates(Protocol):
  """Who makes the updates of some runs, and holds their states; a run is named by its number."""

  def make(self, batches: Mapping[int, types.Batch], scales: Mapping[int, np.float32]) -> step.Report:
    """Starts an update of each of these runs, and gives what is to be seen of it: an entry a run, or one alone."""

  def state(self, i: int) -> state_lib.State:
    """Where the run stands."""

  def clear_sums(self, i: int) -> None:
    """Begins the run's next epoch."""


class _One:
  """A single run."""

  def __init__(self, state: state_lib.State, parts: Parts):
    self._state, self._parts = state, parts

  def make(self, batches: Mapping[int, types.Batch], scales: Mapping[int, np.float32]) -> step.Report:
    self._state, report = self._parts.step(self._state, batches[0], self._parts.key, scales[0])
    return report

  def state(self, i: int) -> state_lib.State:
    return self._state

  def clear_sums(self, i: int) -> None:
    self._state = dataclasses.replace(self._state, sums=state_lib.zero_sums())


@dataclasses.dataclass(frozen=True)
class _Seen:
  """An update that is under way, to be looked at when the next one is."""

  report: step.Report
  steps: Mapping[int, int]  # of each run: which of its updates it is
  sizes: Mapping[int, int]  # images of it

  def is_ready(self) -> bool:
    loss: Any = self.report.loss
    return loss.is_ready()

  def show(self, runs: Sequence[course.Course]) -> None:
    """Waits for it and shows it to each run."""
    report = jax.tree.map(np.atleast_1d, self.report)
    for i, number in self.steps.items():
      values = float(report.loss[i]), float(report.accuracy[i]), bool(report.finite[i])
      runs[i].look(number, *values, self.sizes[i])


def drive(runs: Sequence[course.Course], updates: Updates) -> list[state_lib.State]:
  """The state of each run at its stage's last epoch; the runs hold the records.

  Each run keeps its own time: it ends its epochs, is saved and ends by its own step, whatever the others do. So they
  may begin at different steps, and what is on the disk of each is what it would be alone.

  Raises:
    signals.Stopped: a stop was asked for; every run is saved.
    types.RunError: a loss or gradient was not finite.
  """
  ends = {i: updates.state(i) for i, run in enumerate(runs) if run.is_finished}
  seen: _Seen | None = None
  # Closed at the end whatever happens.
  with contextlib.ExitStack() as stack:
    for run in runs:
      stack.enter_context(contextlib.closing(run))
    while running := [i for i, run in enumerate(runs) if not run.is_finished]:
      for i in running:
        runs[i].begin()
      # Looked for before the update: a run may have been saved between its epoch's last one and the evaluation.
      if ended := [i for i in running if runs[i].has_ended_epoch()]:
        _end_epochs(runs, running, ended, updates)
        for i in ended:
          if runs[i].is_finished:
            ends[i] = updates.state(i)
            runs[i].close()
        continue
      asked = time.monotonic()
      batches = {i: runs[i].next_batch() for i in running}
      # Only where the device ended its step meanwhile: else the batch was ready in time.
      waited = time.monotonic() - asked if seen is None or seen.is_ready() else 0.0
      report = updates.make(batches, {i: runs[i].scale for i in running})
      for i in running:
        runs[i].count(waited)
      # Looked at one step late, so that the device never waits for the host.
      if seen is not None:
        seen.show(runs)
      sizes = {i: len(batch.weight_B) for i, batch in batches.items()}
      seen = _Seen(report, {i: runs[i].step for i in running}, sizes)
      due = [i for i in running if runs[i].is_due()]
      is_asked = any(runs[i].parts.stop.requested for i in running)
      if due or is_asked or any(runs[i].has_ended_epoch() for i in running):
        seen.show(runs)
        seen = None
      if is_asked:
        course.save_and_leave([runs[i] for i in running], [updates.state(i) for i in running])
      for i in due:
        runs[i].save(updates.state(i))
  for run in runs:
    run.parts.store.wait()
  return [ends[i] for i in range(len(runs))]


def _end_epochs(
  runs: Sequence[course.Course], running: Sequence[int], ended: Sequence[int], updates: Updates
) -> None:
  """Evaluates the runs whose epoch has ended; the clocks of all stand still meanwhile."""
  for i in ended:
    runs[i].stop_clock()
  paused = time.monotonic()
  for i in ended:
    try:
      runs[i].evaluate(updates.state(i))
    except signals.Stopped:
      left = [i for i in running if not runs[i].is_finished]
      course.save_and_leave([runs[i] for i in left], [updates.state(i) for i in left])
    updates.clear_sums(i)
    runs[i].conclude(updates.state(i))
  for i in running:
    runs[i].put_off(time.monotonic() - paused)
