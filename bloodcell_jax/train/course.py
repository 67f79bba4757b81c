"""One run on its way through a stage: its clock, its records, its checkpoints, and what is due next."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bloodcell_jax import types
from bloodcell_jax.train import checkpoint, history, signals
from bloodcell_jax.train import state as state_lib

if TYPE_CHECKING:
  # For the annotations alone: the loop is built on this file.
  from bloodcell_jax.train import loop


class Course:
  """Where a run stands in a stage, and what is due next.

  Args:
    saved: where the run stands: at the stage's start, or within it. Only its numbers are kept, not its state.
    stage: what to train.
    spec: how long an epoch is, how often to save.
    parts: what is called; but not its `step`.
  """

  def __init__(self, saved: checkpoint.Saved, stage: loop.Stage, spec: loop.Spec, parts: loop.Parts):
    self.records, self.step = list(saved.records), int(saved.state.step)
    self.parts, self._stage, self._spec, self._stamp = parts, stage, spec, saved.stamp
    self._seconds = saved.seconds  # of the epoch under way, while its clock stands
    self._stream: Generator[types.Batch, None, None] | None = None
    self._is_under_way = False
    self._last_save = time.monotonic()
    self.is_finished = stage.is_finished(self.records)
    first = len(self.records) - len(stage.own(self.records))  # epochs before the stage
    if self.step > first * spec.steps_per_epoch:
      parts.on_epoch(self.records)
      done, total = self.step - first * spec.steps_per_epoch, stage.epochs * spec.steps_per_epoch
      if not self.is_finished:
        parts.progress.line(f'continuing after step {done} of {total}')

  def begin(self) -> None:
    """Starts the clock of the epoch, unless it goes already."""
    if self._is_under_way:
      return
    own, steps = self._stage.own(self.records), self._spec.steps_per_epoch
    if self._stream is None:
      self._stream = self.parts.batches(self.step)
    self.scale = np.float32(history.learning_rate_scale(own, self._stage.plan))
    self._is_under_way, self._continued = True, time.monotonic()
    self._began, self._waited = self._continued - self._seconds, 0.0
    done = self.step - len(self.records) * steps
    self.parts.progress.start_epoch(self._stage.name, len(own) + 1, self._stage.epochs, steps, done)

  def next_batch(self) -> types.Batch:
    """What the next update sees."""
    assert self._stream is not None, 'an epoch has begun'
    return next(self._stream)

  def count(self, waited: float) -> None:
    """One update more was asked for, and so many seconds did the device wait for its batch."""
    self.step += 1
    self._waited += waited

  def look(self, step: int, loss: float, accuracy: float, is_finite: bool, num_images: int) -> None:
    """Shows an update, or raises RunError where its loss or a gradient was not finite."""
    if not is_finite:
      raise types.RunError(
        f'{self.parts.progress.name}step {step}: the loss, a gradient or an update is not finite (loss {loss}); '
        'lower optimizer.learning_rate or set optimizer.global_clipnorm. The last checkpoint is kept'
      )
    self.parts.progress.step(loss, accuracy, num_images)

  def is_due(self) -> bool:
    """Whether a checkpoint is, after this step."""
    every = self._spec.checkpoint_every
    if self._spec.checkpoint_unit == 'minutes':
      return time.monotonic() - self._last_save >= 60 * every
    return self._spec.checkpoint_unit == 'steps' and self.step % every == 0

  def has_ended_epoch(self) -> bool:
    """Whether its updates are made; its figures are not there yet."""
    return self.step == (len(self.records) + 1) * self._spec.steps_per_epoch

  def stop_clock(self) -> None:
    """The epoch's updates are made: what follows does not count."""
    ended = time.monotonic()
    self._seconds, self._is_under_way = ended - self._began, False
    # Of what this process did of the epoch.
    self._wait_share = self._waited / max(ended - self._continued, 1e-9)

  def put_off(self, seconds: float) -> None:
    """So long was something else done in the midst of the epoch."""
    if self._is_under_way:
      self._began, self._continued = self._began + seconds, self._continued + seconds

  def save(self, state: state_lib.State) -> None:
    """Starts to write a checkpoint."""
    seconds = time.monotonic() - self._began if self._is_under_way else self._seconds
    saved = checkpoint.Saved(state, list(self.records), seconds, self._stamp)
    self.parts.store.save(saved, self._stage.is_candidate)
    self._last_save = time.monotonic()

  def evaluate(self, state: state_lib.State) -> None:
    """Adds the record of the epoch that has just been trained.

    Raises:
      signals.Stopped: a stop was asked for; nothing is changed.
      RunError: a figure is not finite.
    """
    parts, steps = self.parts, self._spec.steps_per_epoch
    figures = parts.evaluate(state_lib.inference_params(state))
    for name, value in figures.items():
      if not math.isfinite(value):
        # Before the record: NaN is better than nothing else, and would stay the best epoch for ever.
        raise types.RunError(
          f'{parts.progress.name}epoch {len(self.records) + 1}: {name} is {value}; lower optimizer.learning_rate. '
          'The last checkpoint is kept'
        )
    own, weight = self._stage.own(self.records), float(state.sums.weight)
    first_step = (len(self.records) - len(own)) * steps
    scale = history.learning_rate_scale(own, self._stage.plan)
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

  def conclude(self, state: state_lib.State) -> None:
    """Saves where the epoch's end asks for it, and tells of the epoch; the state is that of the next one's start."""
    own = self._stage.own(self.records)
    # The best of the run is one of those, whichever stages are candidates.
    is_best = history.best(own, self._stage.plan.monitor) is self.records[-1]
    every, unit = self._spec.checkpoint_every, self._spec.checkpoint_unit
    if is_best or self.is_finished or unit != 'epochs' or len(self.records) % every == 0:
      self.save(state)
    self.parts.on_epoch(self.records)

  def close(self) -> None:
    """Gives the stream back, whose pipeline may hold threads."""
    if self._stream is not None:
      self._stream.close()


def save_and_leave(courses: Sequence[Course], states: Sequence[state_lib.State]) -> None:
  """Writes a checkpoint of each, waits until all are there, and raises `signals.Stopped`."""
  for course, state in zip(courses, states, strict=True):
    course.save(state)
  for course in courses:
    course.parts.store.wait()
  raise signals.Stopped
