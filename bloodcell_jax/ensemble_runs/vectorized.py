"""Trains members of one architecture in one program; each folder is what training the member alone would write."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from bloodcell_jax.base import pipelines, types
from bloodcell_jax.heads import svr
from bloodcell_jax.runs import frozen_features, stage_training
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import checkpoint, devices, history, side_by_side
from bloodcell_jax.train import progress as progress_lib

# The fields of an experiment that the shared program depends on.
SHARED = (
  'model',
  'convolution',
  'stages',
  'batch_size',
  'objective',
  'svr',
  'logistic',
  'num_devices',
  'parallel',
  'dtype',
  'loop',
)
# How a step runs the members, one of `devices.MEMBERS`. `vmap` turns their convolutions into grouped ones, which take
# twice as long on a CPU and nearly three times on an H200 (docs/performance.md).
WAY = 'map'


def run(
  jobs: Sequence[job_lib.Job],
  initials: Sequence[Any],
  folders: Sequence[workdir.Workdir],
  progress: progress_lib.Progress,
) -> list[list[history.Record]]:
  """Trains all members to their ends from their newest checkpoints; returns the records of each.

  **Guarantees**: each folder holds what `stage_training.run` would write there, with the same numbers except for the
  times: bitwise equal where the step maps over the members, equal to float tolerance where it vectorizes them.
  `seconds` is the time of an epoch of all members.

  Args:
    jobs: one for each member.
    initials: the initial parameters of each; None for newly initialized ones.
    folders: of each; their names are the names of the members.
    progress: where progress is printed.

  Raises:
    UserError: the members cannot be trained together; see `obstacle`.
    signals.Stopped: a stop was requested; every member is saved.
    types.RunError: a loss of a member was not finite, or a frozen weight has changed.
  """
  if reason := obstacle(jobs):
    raise types.UserError(f'ensemble.vectorized: {reason}; set it to 1')
  first = jobs[0]
  stage, model = first.experiment.stages[0], first.model
  begins, parts = [], []
  with contextlib.ExitStack() as stack:
    for job, initial, folder in zip(jobs, initials, folders, strict=True):
      store, on_epoch = stack.enter_context(stage_training.opened(job, folder))
      own, member_progress = job.experiment.stages[0], progress.for_run(f'member {folder.path.name}')
      stack.callback(member_progress.close)
      begins.append(
        _newest(job, store) or stage_training.begin(job, own, None, initial, folder, member_progress)
      )
      parts.append(stage_training.parts(job, own, None, member_progress, store, on_epoch, job.stop))
    step = devices.make_train_members(first.update(stage, model), first.devices, WAY)
    ends = side_by_side.fit(begins, stage.fit, first.loop_spec, parts, step)
    for job, at, part, (state, _) in zip(jobs, begins, parts, ends, strict=True):
      stage_training.check_frozen(job, stage, at, state, part.progress)
  return [records for _, records in ends]


def _newest(job: job_lib.Job, store: checkpoint.Store) -> checkpoint.Saved | None:
  return store.latest(lambda stage_info: job.template(stage_info.stage))


def obstacle(jobs: Sequence[job_lib.Job]) -> str:
  """The reason why these members cannot be trained together; empty where they can."""
  first = jobs[0]
  exp, stage = first.experiment, first.experiment.stages[0]
  if len(exp.stages) > 1:
    return f'the run has {len(exp.stages)} stages, and only members with one stage are trained together'
  if exp.pipeline == pipelines.DEVICE:
    return f'data.pipeline is {pipelines.DEVICE}, whose images one network takes'
  if stage.output_layer:
    return f'stage {stage.fit.name} begins with a fitted output layer, which each member fits separately'
  if exp.cache_features and frozen_features.depth_of(first, stage):
    return 'the features of the frozen blocks are cached for each member separately (stages.cache_features)'
  for number, job in enumerate(jobs[1:], 2):
    for name in SHARED:
      if getattr(job.experiment, name) != getattr(exp, name):
        return f'members 1 and {number} differ in {name}'
    if job.data.image_NHWC.shape[1:] != first.data.image_NHWC.shape[1:]:
      return f'members 1 and {number} differ in the size of an image'
    if job.num_classes != first.num_classes or job.loop_spec != first.loop_spec:
      return f'members 1 and {number} differ in the number of classes or of updates an epoch'
    if stage.loss == svr.NAME and _weight(job) != _weight(first):
      return f'members 1 and {number} differ in the weight of the training images'
  return ''


def _weight(job: job_lib.Job) -> float:
  return float(job.arrays.weight_N[job.data.rows['train']].sum())
