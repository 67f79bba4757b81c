"""Runs trained side by side in one program: the members of an ensemble, each as it would be alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax import types
from bloodcell_jax.train import checkpoint, course, history, loop
from bloodcell_jax.train import state as state_lib
from bloodcell_jax.train import step as step_lib


def fit(
  saved_M: Sequence[checkpoint.Saved],
  stage: loop.Stage,
  spec: loop.Spec,
  parts_M: Sequence[loop.Parts],
  step: Callable[..., Any],
) -> list[tuple[state_lib.State, list[history.Record]]]:
  """The state and the records of each member at its last epoch of the stage.

  **Guarantees**: those of `loop.fit` for each member, to float tolerance of the step: its own batches, key, records,
  checkpoints, plateaus and early stopping, by its own step. The members need not stand at the same step, so that a run
  that was killed between two members' saves continues each from its own newest checkpoint. A member that has ended
  is no longer evaluated, shown or saved; its place is computed on for nothing until the last one ends.

  Args:
    saved_M: where each member stands.
    stage: what to train, the same for all.
    spec: how long an epoch is, how often to save.
    parts_M: what is called for each member, but not its `step`; its progress has the name that errors tell.
    step: of all members, as `parallel.make_train_members` makes it.

  Raises:
    signals.Stopped: a stop was asked for; every member is saved.
    types.RunError: a loss or gradient of a member was not finite.
  """
  runs = [course.Course(saved, stage, spec, parts) for saved, parts in zip(saved_M, parts_M, strict=True)]
  ends = loop.drive(runs, _Many([saved.state for saved in saved_M], [parts.key for parts in parts_M], step))
  return [(end, run.records) for end, run in zip(ends, runs, strict=True)]


class _Many:
  """The updates of all members, their states as one of leading axis M."""

  def __init__(self, states: Sequence[state_lib.State], keys: Sequence[jax.Array], step: Callable[..., Any]):
    self._state_M = jax.tree.map(lambda *leaf_M: jnp.stack(leaf_M), *states)
    self._key_M, self._step, self._num = jnp.stack(keys), step, len(states)

  def make(self, batches: Mapping[int, types.Batch], scales: Mapping[int, np.float32]) -> step_lib.Report:
    # A member that has ended is given another's batch: nobody looks at what becomes of it.
    spare = next(iter(batches.values()))
    given_M = [batches.get(i, spare) for i in range(self._num)]
    batch_M = jax.tree.map(lambda *leaf_M: np.stack(leaf_M), *given_M)
    scale_M = np.array([scales.get(i, 0) for i in range(self._num)], np.float32)
    self._state_M, report_M = self._step(self._state_M, batch_M, self._key_M, scale_M)
    return report_M

  def state(self, i: int) -> state_lib.State:
    return jax.tree.map(lambda leaf_M: leaf_M[i], self._state_M)

  def clear_sums(self, i: int) -> None:
    sums_M = jax.tree.map(lambda leaf_M: leaf_M.at[i].set(0), self._state_M.sums)
    self._state_M = dataclasses.replace(self._state_M, sums=sums_M)
