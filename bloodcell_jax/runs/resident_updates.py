"""Updates whose images, or cached features, lie on the devices: `data.pipeline=device`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import pipelines
from bloodcell_jax.config import stages
from bloodcell_jax.data import stream
from bloodcell_jax.data.images import on_demand
from bloodcell_jax.data.resident import recipe
from bloodcell_jax.runs import compiled, forward, frozen_features
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.system import memory
from bloodcell_jax.train import batch_part, devices, many_updates, plan

# Most updates a call, by platform: a stop waits for the call to end, and an update takes long on a CPU.
_MOST = {'cpu': 4}
_MOST_ELSEWHERE = 32


@dataclasses.dataclass(frozen=True)
class Resident:
  """The updates of a stage and what they are made from."""

  many: plan.Many
  batches: Callable[[int], plan.Batches]
  # params -> val_loss, val_accuracy; of features as the host computes them
  evaluate: Callable[[Any], dict[str, float]]


def build(
  job: job_lib.Job, stage: stages.Stage, features: frozen_features.Features | None
) -> Resident | None:
  """The updates of a stage on images, or features, that are copied to each device; None for another pipeline.

  Args:
    job: the job.
    stage: the stage to train.
    features: what it trains on in place of images.

  Raises:
    RunError: they do not fit into the memory of a device.
  """
  exp, on = job.experiment, job.devices
  if exp.pipeline != pipelines.DEVICE:
    return None
  if features:
    arrays, model, spec = features.arrays, features.model, None
  else:
    arrays, model, spec = _of_rows(job.arrays, job.data.rows['train']), job.model, job.transform
  data = _place(arrays.image_NHWC, 'training', on)
  shape = arrays.image_NHWC.shape[1:]
  mapped = job.train_many(stage, model, compiled.Pixels(spec, job.statistics if spec else None, shape))

  def step(state: Any, input_U: recipe.Recipe, num: int, key: Any, scale: np.float32) -> Any:
    return mapped(state, input_U, many_updates.Common(key, data, np.int32(num)), scale)

  return Resident(
    plan.Many(_MOST.get(on.platform, _MOST_ELSEWHERE), step),
    lambda start: batch_part.filled(
      recipe.training(arrays, exp.batch_size, exp.seed, start, spec, job.part.rows), job.part
    ),
    features.evaluate if features else _evaluator(job, stage),
  )


def _place(image_NHWC: on_demand.Images, split: str, on: devices.Devices) -> Any:
  """The images, whole on each device."""
  memory.require(
    image_NHWC.nbytes,
    memory.free(on.local.each[0]),
    f'the {split} images on each device',
    'set data.pipeline=tf_data or lower data.image_size',
  )
  return devices.replicate(np.asarray(image_NHWC), on)


def _evaluator(job: job_lib.Job, stage: stages.Stage) -> Callable[[Any], dict[str, float]]:
  """The `job.evaluator` of the stage on images that lie on the devices."""
  rows = job.data.rows['validation']
  arrays, table = _of_rows(job.arrays, rows), job.data.table.take(rows)
  on, size = job.devices.local, job.experiment.evaluate_batch_size
  data = _place(arrays.image_NHWC, 'validation', on)
  pixels = compiled.Pixels(job.transform, job.statistics, arrays.image_NHWC.shape[1:])
  apply = compiled.apply_to_rows(job.model, on, pixels, **job_lib.apply_options(stage))
  # Rows in place of images.
  numbers = dataclasses.replace(arrays, image_NHWC=np.arange(len(rows), dtype=np.int32))

  def evaluate(params: Any) -> dict[str, float]:
    batches = stream.in_order(numbers, np.arange(len(rows)), size, lambda row_B: row_B)
    outputs = forward.outputs(apply, (job.placed(params), data), batches, table, job.poll)
    return job.figures(stage, outputs, table)

  return evaluate


def _of_rows(arrays: stream.Arrays, rows: np.ndarray) -> stream.Arrays:
  laboratory_N = None if arrays.laboratory_N is None else arrays.laboratory_N[rows]
  return stream.Arrays(arrays.image_NHWC[rows], arrays.target_NK[rows], arrays.weight_N[rows], laboratory_N)
