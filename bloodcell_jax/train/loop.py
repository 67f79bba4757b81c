"""The training loop: arrays in, trained state out. It knows neither image files nor TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses

from bloodcell_jax.train import checkpoint, history, plan, signals, tracker
from bloodcell_jax.train import state as state_lib


def fit(
  saved: checkpoint.Saved, stage: plan.Stage, spec: plan.Spec, parts: plan.Parts
) -> tuple[state_lib.State, list[history.Record]]:
  """Trains a stage to its last epoch; returns the state there and the records of all epochs so far.

  **Guarantees**: interrupted at any moment and called again with the newest checkpoint, the final parameters are
  bitwise those of an uninterrupted run on the same devices; a step whose loss or gradients are not finite
  ends the run before anything of it is saved.

  Args:
    saved: the start of the stage, or a checkpoint within it; its state is donated.
    stage: what to train.
    spec: how long an epoch is, how often to save.
    parts: everything to call.

  Raises:
    signals.Stopped: a stop was asked for; the state is saved.
    types.RunError: a loss or gradient was not finite.
  """
  run, state = tracker.RunTracker(saved, stage, spec, parts), saved.state
  with contextlib.closing(run):
    try:
      while not run.is_finished:
        run.begin_epoch()
        # No update is left where the checkpoint lay between the epoch's last one and its evaluation.
        while not run.is_epoch_trained():
          state = _update_many(run, state, parts.many, parts) if parts.many else _update(run, state, parts)
          is_due = run.is_checkpoint_due()
          parts.stop.poll()
          if is_due:
            run.save(state)
        run.end_training()
        run.evaluate(state)
        state = dataclasses.replace(state, sums=state_lib.zero_sums())
        run.end_epoch(state)
    except signals.Stopped:
      run.save(state)
      parts.store.wait()
      raise
  parts.store.wait()
  return state, run.records


def _update(run: tracker.RunTracker, state: state_lib.State, parts: plan.Parts) -> state_lib.State:
  batch, waited = run.next_batch()
  state, report = parts.step(state, batch, parts.key, run.scale)
  run.record_update(report, parts.batch_size, waited)
  return state


def _update_many(
  run: tracker.RunTracker, state: state_lib.State, many: plan.Many, parts: plan.Parts
) -> state_lib.State:
  """Updates up to the end of the epoch, the next checkpoint or the most that a call takes."""
  input_U, num, waited = run.next_inputs(many.size)
  state, report_U = many.step(state, input_U, num, parts.key, run.scale)
  run.record_update(report_U, parts.batch_size, waited, range(num))
  return state
