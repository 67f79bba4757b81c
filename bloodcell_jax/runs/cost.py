"""What a training will take: updates timed on this machine, times their number; and the memory of an update."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment, stages
from bloodcell_jax.data import dataset
from bloodcell_jax.data.augmentation import test_time
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.runs import frozen_features, resident_updates
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.train import devices, signals

# Seconds of a training beside compilation, updates and predictions: checkpoints, figures, report. Rough; what a study
# takes is compared with its estimate after every run and corrects the ones that follow.
OVERHEAD = 6.0
_UPDATES = 2  # timed, after one that compiles


@dataclasses.dataclass(frozen=True)
class Cost:
  """The measured cost of a network."""

  update_seconds: tuple[float, ...]  # of an update of each stage
  compile_seconds: float  # until the first update of every stage has ended
  image_seconds: float  # of the prediction of an image
  is_cached: bool  # whether the stages train on cached features, computed once per image and augmented copy


@dataclasses.dataclass(frozen=True)
class Counts:
  """Images of the data."""

  train: int
  validation: int
  scored: int


def count(data: dataset.Dataset, splits: Sequence[str]) -> Counts:
  """The numbers of images that a run trains on, validates on and scores."""
  scored = [data.rows[name] for name in {'validation', *splits} if name in data.rows]
  return Counts(len(data.rows['train']), len(data.rows['validation']), len(np.unique(np.concatenate(scored))))


def key(exp: experiment.Experiment) -> str:
  """What the cost of an update depends on: equal for rows that differ in optimizer, images or length only."""
  parts = [(stage.weights.trainable, stage.loss, stage.auxiliary) for stage in exp.stages]
  return repr(
    (
      exp.model,
      exp.convolution,
      exp.dtype,
      exp.pipeline,
      exp.parallel,
      exp.num_devices,
      exp.data.decode.image_size,
      exp.batch_size,
      exp.transform,
      exp.cache_features,
      parts,
    )
  )


def program(exp: experiment.Experiment) -> str:
  """What the compiled program of an update depends on: the second of two runs that agree in it finds it compiled."""
  return repr((key(exp), [stage.weights.optimizer for stage in exp.stages], exp.objective, exp.svr))


def measure(exp: experiment.Experiment, class_names: tuple[str, ...], stop: signals.Stop) -> Cost:
  """Times updates and a prediction of an experiment's network on black images; nothing of it is kept.

  The compiled programs are in JAX's cache afterwards, where the run finds them.

  Raises:
    signals.Stopped: a stop was requested.
  """
  job = black_job(exp, class_names, stop)
  seconds, is_cached, began = [], False, time.monotonic()
  for stage in exp.stages:
    stop.poll()
    depth = frozen_features.depth_of(job, stage) if exp.cache_features else 0
    is_cached = is_cached or depth > 0
    seconds.append(_update(job, stage, depth))
  compiling = max(0.0, time.monotonic() - began - _UPDATES * sum(seconds))
  stop.poll()
  batches = list(job.in_order(np.arange(exp.evaluate_batch_size) % exp.batch_size))
  for _ in range(2):
    began = time.monotonic()
    job.apply(job.params, batches[0])
    elapsed = time.monotonic() - began
  return Cost(tuple(seconds), compiling, elapsed / exp.evaluate_batch_size, is_cached)


def update_bytes(
  exp: experiment.Experiment, class_names: tuple[str, ...], stop: signals.Stop
) -> tuple[int, ...]:
  """Of each stage, the bytes that an update takes on each device, by its compiled program."""
  job = black_job(exp, class_names, stop)
  return tuple(_bytes(job, stage) for stage in exp.stages)


def _bytes(job: job_lib.Job, stage: stages.Stage) -> int:
  depth = frozen_features.depth_of(job, stage) if job.experiment.cache_features else 0
  model, shape = _trained(job, depth)
  state = jax.eval_shape(lambda params: job.initial_state(stage, params, 0), job.shapes)
  update = job.update(stage, model)
  return devices.needed_bytes(
    update, job.devices, state, _batch(job, shape), job.dropout_key(), np.float32(1)
  )


def black_job(exp: experiment.Experiment, class_names: tuple[str, ...], stop: signals.Stop) -> job_lib.Job:
  """A job of the experiment on a batch of black images."""
  # Statistics need training images; without them an update costs the same.
  pixels = dataclasses.replace(
    exp.transform.standardize,
    featurewise_center=False,
    featurewise_std_normalization=False,
    zca_whitening=False,
  )
  return job_lib.Job(exp, _black(exp, class_names), pixels, None, stop)


def _trained(job: job_lib.Job, depth: int) -> tuple[Any, tuple[int, ...]]:
  """The part of the network behind the cached blocks, and the shape of its input."""
  if not depth:
    return job.model, job.data.image_NHWC.shape[1:]
  backbone = job.experiment.model.backbone
  assert backbone is not None, 'only a backbone has blocks'
  model = backbone.from_block(job.options, depth + 1)
  return model, frozen_features.map_shape(job, backbone, job.shapes, depth)


def _update(job: job_lib.Job, stage: stages.Stage, depth: int) -> float:
  """Seconds of an update of a stage whose `depth` lowest blocks are cached."""
  model, shape = _trained(job, depth)
  if resident := resident_updates.build(job, stage, _black_features(job, model, shape) if depth else None):
    return _resident_update(job, stage, resident)
  batches = None if depth else job.batches(0)
  batch = next(batches) if batches else _batch(job, shape)
  step = job.train_step(stage, model)
  state: Any = job.initial_state(stage, job.params, 0)
  state, report = step(state, batch, job.dropout_key(), np.float32(1))
  jax.block_until_ready(report)
  began = time.monotonic()
  for _ in range(_UPDATES):
    batch = next(batches) if batches else batch
    state, report = step(state, batch, job.dropout_key(), np.float32(1))
    jax.block_until_ready(report)
  elapsed = time.monotonic() - began
  if batches:
    batches.close()
  return elapsed / _UPDATES


def _black_features(job: job_lib.Job, model: Any, shape: tuple[int, ...]) -> frozen_features.Features:
  """Features of the batch of black images, for updates on what lies on the devices."""
  dtype = feature_cache.DTYPES[job.experiment.features.dtype]
  arrays = dataclasses.replace(job.arrays, image_NHWC=np.zeros((len(job.data.table), *shape), dtype))
  return frozen_features.Features(model, arrays, job.batches, job.evaluate)


def _resident_update(job: job_lib.Job, stage: stages.Stage, resident: resident_updates.Resident) -> float:
  size, batches = resident.many.size, resident.batches(0)
  input_U = jax.tree.map(lambda *leaf_U: np.stack(leaf_U), *(next(batches) for _ in range(size)))
  state: Any = job.initial_state(stage, job.params, 0)
  # The first call compiles.
  for _ in range(2):
    began = time.monotonic()
    state, report_U = resident.many.step(state, input_U, size, job.dropout_key(), np.float32(1))
    jax.block_until_ready(report_U)
  return (time.monotonic() - began) / size


def _batch(job: job_lib.Job, shape: tuple[int, ...]) -> types.Batch:
  size = job.experiment.batch_size
  target_BK = np.eye(job.num_classes, dtype=np.float32)[np.arange(size) % job.num_classes]
  return types.Batch(
    np.zeros((size, *shape), np.float32),
    target_BK,
    np.ones(size, np.float32),
    np.arange(size, dtype=np.int32),
  )


def _black(exp: experiment.Experiment, class_names: tuple[str, ...]) -> dataset.Dataset:
  """A batch of black images, each a photograph of its own."""
  num, side = exp.batch_size, exp.data.decode.image_size
  names = np.array([str(i) for i in range(num)])
  label = (np.arange(num) % len(class_names)).astype(np.int32)
  split = np.full(num, 'TRAIN')
  table = types.Table((b'',) * num, names, label, names, names, split, names, class_names, '', True)
  rows = {name: np.arange(num) for name in ('train', 'validation')}
  return dataset.Dataset(table, np.zeros((num, side, side, 3), np.uint8), rows, [], [], ())


def seconds(
  exp: experiment.Experiment,
  cost: Cost,
  steps: int,
  epochs: Sequence[int],
  trainings: int,
  counts: Counts,
  has_features: bool,
) -> float:
  """The estimated seconds of a run.

  Args:
    exp: the run's.
    cost: of its network.
    steps: updates an epoch.
    epochs: of each stage.
    trainings: networks that it trains.
    counts: of the images.
    has_features: whether another run of the study leaves it the features of the frozen blocks.
  """
  total = sum(num * steps * each for num, each in zip(epochs, cost.update_seconds, strict=True))
  if cost.is_cached:
    num_maps = frozen_features.num_copies_of(exp) * counts.train + counts.validation
    total += 0 if has_features else num_maps * cost.image_seconds
  else:
    total += sum(epochs) * counts.validation * cost.image_seconds
  scoring = test_time.num_copies(exp.tta) * counts.scored * cost.image_seconds
  return trainings * (OVERHEAD + total + scoring)
