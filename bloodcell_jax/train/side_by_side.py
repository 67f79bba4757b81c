"""Several runs trained in one program: the members of an ensemble, each as it would be trained alone."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.train import checkpoint, history, plan, signals, tracker
from bloodcell_jax.train import state as state_lib
from bloodcell_jax.train import step as step_lib


def fit(
  saved_M: Sequence[checkpoint.Saved],
  stage: plan.Stage,
  spec: plan.Spec,
  parts_M: Sequence[plan.Parts],
  step: Callable[..., Any],
) -> list[tuple[state_lib.State, list[history.Record]]]:
  """Trains every member to its last epoch of the stage; returns the state there and the records of each.

  **Guarantees**: those of `loop.fit` for each member, to float tolerance of the step: it has its own batches, key,
  records, checkpoints, plateaus and early stopping, and all of them depend on its own step count alone. So members may
  start at different steps: after a kill between the saves of two members each continues from its own newest
  checkpoint. A finished member is no longer evaluated, displayed or saved; its slot in the program stays, and the
  result is thrown away.

  Args:
    saved_M: each member's start of the stage, or a checkpoint within it.
    stage: what to train, the same for all.
    spec: how long an epoch is, how often to save.
    parts_M: everything to call for each member except its `step`; error messages use the name of its progress.
    step: for all members at once, made by `devices.make_train_members`.

  Raises:
    signals.Stopped: a stop was asked for; every member is saved.
    types.RunError: a loss or gradient of a member was not finite.
  """
  runs = [
    tracker.RunTracker(saved, stage, spec, parts) for saved, parts in zip(saved_M, parts_M, strict=True)
  ]
  members = _Members([saved.state for saved in saved_M], [parts.key for parts in parts_M], step)
  # Of each finished member, before its slot is computed on.
  ends = {i: members.state(i) for i, run in enumerate(runs) if run.is_finished}
  with contextlib.ExitStack() as stack:
    for run in runs:
      stack.enter_context(contextlib.closing(run))
    try:
      while len(ends) < len(runs):
        running = {i: run for i, run in enumerate(runs) if not run.is_finished}
        for run in running.values():
          if run.phase is tracker.Phase.BETWEEN_EPOCHS:
            run.begin_epoch()
        if any(run.is_epoch_trained() for run in running.values()):
          _end_epochs(running, members)
          ends |= {i: members.state(i) for i, run in running.items() if run.is_finished}
        else:
          _update(running, members)
    except signals.Stopped:
      running = {i: run for i, run in enumerate(runs) if not run.is_finished}
      for i, run in running.items():
        run.save(members.state(i))
      for run in running.values():
        run.parts.store.wait()
      raise
  for run in runs:
    run.parts.store.wait()
  return [(ends[i], run.records) for i, run in enumerate(runs)]


def _update(running: Mapping[int, tracker.RunTracker], members: _Members) -> None:
  """One update of every running member."""
  batches, waited = {}, 0.0
  for i, run in running.items():
    batches[i], seconds = run.next_batch()
    waited += seconds
  report_M = members.update(batches, {i: run.scale for i, run in running.items()})
  for i, run in running.items():
    run.record_update(report_M, len(batches[i].weight_B), waited, range(i, i + 1))
  due = [i for i, run in running.items() if run.is_checkpoint_due()]
  is_stopping = any(run.parts.stop.requested for run in running.values())
  # All are checked before the first one is saved or evaluated.
  if due or is_stopping or any(run.is_epoch_trained() for run in running.values()):
    for run in running.values():
      run.check_update()
  if is_stopping:
    raise signals.Stopped
  for i in due:
    running[i].save(members.state(i))


def _end_epochs(running: Mapping[int, tracker.RunTracker], members: _Members) -> None:
  """Evaluates the members whose epoch is trained; the clocks of the others stand still meanwhile."""
  trained = {i: run for i, run in running.items() if run.is_epoch_trained()}
  for run in trained.values():
    run.end_training()
  paused = time.monotonic()
  for i, run in trained.items():
    run.evaluate(members.state(i))
    members.clear_sums(i)
    run.end_epoch(members.state(i))
  for i, run in running.items():
    if i not in trained:
      run.exclude_pause(time.monotonic() - paused)


class _Members:
  """The states of all members as one with a leading axis M, and their updates."""

  def __init__(self, states: Sequence[state_lib.State], keys: Sequence[jax.Array], step: Callable[..., Any]):
    self._state_M = jax.tree.map(lambda *leaf_M: jnp.stack(leaf_M), *states)
    self._key_M, self._step, self._num = jnp.stack(keys), step, len(states)

  def update(self, batches: Mapping[int, types.Batch], scales: Mapping[int, np.float32]) -> step_lib.Report:
    """Starts one update of each member; the entries of members without a batch mean nothing."""
    # Any batch fills a finished member's slot.
    spare = next(iter(batches.values()))
    batch_M = jax.tree.map(
      lambda *leaf_M: np.stack(leaf_M), *(batches.get(i, spare) for i in range(self._num))
    )
    scale_M = np.array([scales.get(i, 0) for i in range(self._num)], np.float32)
    self._state_M, report_M = self._step(self._state_M, batch_M, self._key_M, scale_M)
    return report_M

  def state(self, i: int) -> state_lib.State:
    """The state of member `i`."""
    return jax.tree.map(lambda leaf_M: leaf_M[i], self._state_M)

  def clear_sums(self, i: int) -> None:
    """Sets the epoch sums of member `i` to zero."""
    sums_M = jax.tree.map(lambda leaf_M: leaf_M.at[i].set(0), self._state_M.sums)
    self._state_M = dataclasses.replace(self._state_M, sums=sums_M)
