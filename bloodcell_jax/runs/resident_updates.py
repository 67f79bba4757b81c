"""Updates whose images, or cached features, lie on the devices: `data.pipeline=device`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import stages
from bloodcell_jax.data import stream
from bloodcell_jax.data.resident import images, recipe
from bloodcell_jax.runs import frozen_features
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.system import memory
from bloodcell_jax.train import devices, many_updates, plan

# Most updates a call, by platform: a stop waits for the call to end, and an update takes long on a CPU.
_MOST = {'cpu': 4}
_MOST_ELSEWHERE = 32


@dataclasses.dataclass(frozen=True)
class Resident:
  """The updates of a stage and what they are made from."""

  many: plan.Many
  batches: Callable[[int], plan.Batches]


def build(
  job: job_lib.Job, stage: stages.Stage, features: frozen_features.Features | None
) -> Resident | None:
  """The updates of a stage on images, or features, that are copied to each device; None for another pipeline.

  Args:
    job: the job.
    stage: the stage to train.
    features: what it trains on in the place of images.

  Raises:
    RunError: they do not fit into the memory of a device.
  """
  exp, on = job.experiment, job.devices
  if exp.pipeline != images.NAME:
    return None
  if features:
    arrays, model, spec, gather = features.arrays, features.model, None, images.gather_features
  else:
    arrays, model, spec = _of_rows(job.arrays, job.data.rows['train']), job.model, job.transform
    gather = images.make_gather(spec, job.statistics, arrays.image_NHWC.shape[1:])
  memory.require(
    arrays.image_NHWC.nbytes,
    memory.free(on.each[0]),
    'the training images on each device',
    'set data.pipeline=tf_data or lower data.image_size',
  )
  data = devices.replicate(np.asarray(arrays.image_NHWC), on)

  def make_batch(data: Any, one: recipe.Recipe) -> types.Batch:
    return images.batch(gather(data, one), one)

  mapped = devices.make_train_many(many_updates.make(job.update(stage, model), make_batch), on)

  def step(state: Any, input_U: recipe.Recipe, num: int, key: Any, scale: np.float32) -> Any:
    return mapped(state, input_U, many_updates.Common(key, data, np.int32(num)), scale)

  return Resident(
    plan.Many(_MOST.get(on.platform, _MOST_ELSEWHERE), step),
    lambda start: recipe.training(arrays, exp.batch_size, exp.seed, start, spec),
  )


def _of_rows(arrays: stream.Arrays, rows: np.ndarray) -> stream.Arrays:
  columns = {field.name: getattr(arrays, field.name) for field in dataclasses.fields(arrays)}
  return stream.Arrays(**{name: None if all_N is None else all_N[rows] for name, all_N in columns.items()})
