"""Members of one architecture trained together in one program, each on its disk what it would be alone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.heads import svr
from bloodcell_jax.runs import frozen_features, job, stage_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import memory
from bloodcell_jax.train import checkpoint, devices, history, progress, side_by_side

# What of an experiment is in the program that all members share.
SHARED = ('model', 'stages', 'batch_size', 'objective', 'svr', 'num_devices', 'loop')
# Of the memory that is free: the rest is for the evaluation's batch and what lies between blocks.
SHARE = 0.9


def run(
  mades: Sequence[job.Job],
  initials: Sequence[Any],
  folders: Sequence[workdir.Workdir],
  shown: progress.Progress,
) -> list[list[history.Record]]:
  """The records of each member, all trained to their ends from their newest checkpoints.

  **Guarantees**: each folder holds what `stage_training.run` would write there, and the same numbers but for the
  times: bit for bit where the members are taken one after the other within the step, to float tolerance where they are
  taken at once. `seconds` is that of all members' epoch.

  Args:
    mades: a job a member.
    initials: the parameters that each begins with.
    folders: of each; its name is the member's.
    shown: where all is told.

  Raises:
    UserError: the members cannot be trained together, as `can` says.
    signals.Stopped: a stop was asked for; every member is saved.
    types.RunError: a loss of a member was not finite, or a frozen weight has changed.
  """
  if reason := can(mades):
    raise types.UserError(f'ensemble.vectorized: {reason}; set it to 1')
  first = mades[0]
  stage, model = first.experiment.stages[0], first.model
  begins, parts = [], []
  with contextlib.ExitStack() as stack:
    for made, initial, folder in zip(mades, initials, folders, strict=True):
      store, on_epoch = stack.enter_context(stage_training.opened(made, folder))
      own, named = made.experiment.stages[0], shown.of(f'member {folder.path.name}')
      stack.callback(named.close)
      begins.append(_newest(made, store) or stage_training.begin(made, own, None, initial, folder, named))
      parts.append(stage_training.parts(made, own, None, named, store, on_epoch))
    step = devices.make_train_members(first.update(stage, model), first.devices, way(first))
    ends = side_by_side.fit(begins, stage.fit, first.loop, parts, step)
    for made, at, part, (state, _) in zip(mades, begins, parts, ends, strict=True):
      stage_training.check_frozen(made, stage, at, state.params, part.progress)
  return [records for _, records in ends]


def _newest(made: job.Job, store: checkpoint.Store) -> checkpoint.Saved | None:
  return store.latest(lambda stamp: made.template(stamp.stage))


def can(mades: Sequence[job.Job]) -> str:
  """Why these members cannot be trained together; empty where they can."""
  first = mades[0]
  exp, stage = first.experiment, first.experiment.stages[0]
  if len(exp.stages) > 1:
    return f'the run has {len(exp.stages)} stages, and members are trained together through one alone'
  if stage.output_layer:
    return f'stage {stage.fit.name} begins with a fitted top, which each member fits by itself'
  if exp.cache_features and frozen_features.depth_of(first, stage):
    return 'the features of the frozen blocks are kept for each member by itself (stages.cache_features)'
  for number, made in enumerate(mades[1:], 2):
    for name in SHARED:
      if getattr(made.experiment, name) != getattr(exp, name):
        return f'members 1 and {number} differ in {name}'
    if made.data.image_NHWC.shape[1:] != first.data.image_NHWC.shape[1:]:
      return f'members 1 and {number} differ in the size of an image'
    if made.num_classes != first.num_classes or made.loop != first.loop:
      return f'members 1 and {number} differ in the number of classes or of updates an epoch'
    if stage.loss == svr.NAME and _weight(made) != _weight(first):
      return f'members 1 and {number} differ in the weight of the training images'
  return ''


def _weight(made: job.Job) -> float:
  return float(made.arrays.weight_N[made.data.rows['train']].sum())


def way(made: job.Job) -> str:
  """How the members share a step, of `devices.MEMBERS`: a CPU takes one after the other, where `vmap` is slower."""
  return 'map' if made.devices[0].platform == 'cpu' else 'vmap'


def plan(made: job.Job, asked: int) -> int:
  """How many members to train at once; the rest come after.

  Args:
    made: the job of one of them.
    asked: `ensemble.vectorized`: that many, or 0 for 1 on a CPU and elsewhere as many as fit into the memory that is
      free on a device now.
  """
  if asked or made.devices[0].platform == 'cpu':
    return asked or 1
  return fitting(needed(made), memory.free(made.devices[0]))


def fitting(needed: int, free: int) -> int:
  """How many members of `needed` bytes each fit into `free` bytes; at least one, which training alone needs too.

  Example:
    >>> fitting(needed=2 * 10**9, free=10 * 10**9), fitting(needed=2, free=1)
    (4, 1)
  """
  return max(1, int(SHARE * free) // max(needed, 1))


def needed(made: job.Job) -> int:
  """Bytes that a step of one member takes on a device, as its compiled program says: arguments, results and scratch."""
  exp, stage = made.experiment, made.experiment.stages[0]
  size, num = exp.batch_size, made.num_classes
  batch = types.Batch(
    np.zeros((size, *made.data.image_NHWC.shape[1:]), np.float32),
    np.zeros((size, num), np.float32),
    np.zeros(size, np.float32),
    np.arange(size, dtype=np.int32),
  )
  state = jax.eval_shape(lambda: made.state(stage, made.params, 0))
  update = made.update(stage, made.model)
  return devices.needed_bytes(update, made.devices, state, batch, made.dropout_key(), np.float32(1))
