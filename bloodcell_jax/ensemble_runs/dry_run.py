"""What a training would do, and what it would take, before it is started; nothing is trained or written."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bloodcell_jax.base import evenly_spaced, pipelines, tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.images import decode, feature_cache, image_buffer
from bloodcell_jax.data.sources import remarks
from bloodcell_jax.ensemble_runs import out_of_fold
from bloodcell_jax.ensembles import method
from bloodcell_jax.models import zoo
from bloodcell_jax.runs import cost as cost_lib
from bloodcell_jax.runs import (
  cross_validation,
  frozen_features,
  host_state,
  pipeline_choice,
  run_data,
  starting_weights,
)
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import memory
from bloodcell_jax.train import batch_part, devices, history, precision, signals
from bloodcell_jax.train import progress as progress_lib

# Images decoded to estimate the time of all.
_DECODED = 16
_FIRST = 'a dry run: nothing is trained, and no folder is written'


def run(
  flat: Mapping[str, Any],
  folder: workdir.Workdir,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  num_hosts: int = 1,
) -> None:
  """Prints the plan of a training: devices, data, memory, caches and the time that it takes.

  Args:
    flat: the config, checked.
    folder: the run's; it need not exist.
    stop: polled between the parts.
    progress: where the plan is printed.
    num_hosts: that train together, or divide the members or folds, each with as many devices as this one; nothing is
      asked of the others.

  Raises:
    UserError: as the training would: the folder holds another run, or the data or the weights cannot be used.
    signals.Stopped: a stop was requested.
  """
  config = folder.with_format(flat)
  exp = experiment.from_flat(config)
  progress.line(_FIRST)
  progress.line(_state(config, folder))
  zoo.check_size(exp.model, exp.data.decode.image_size)
  on = devices.devices(exp.num_devices, exp.parallel)
  is_divided = num_hosts > 1 and host_state.is_divided(exp)
  sharing = 1 if is_divided else num_hosts
  batch_part.check(exp.batch_size, len(on), sharing * len(on))
  progress.line(_devices(exp, on, sharing))
  data = _divided(exp, progress)
  progress.line(_images(exp, data))
  if exp.weights.path:
    progress.line(f'weights: from {starting_weights.read(exp.weights.path, exp.model.name).origin}')
  stop.poll()
  class_names = data.table.class_names
  progress.line(_network(exp, on, len(class_names)))
  for line in _features(exp, data, folder):
    progress.line(line)
  if exp.pipeline == pipelines.AUTO:
    exp = dataclasses.replace(exp, pipeline=pipeline_choice.choose(exp, on, data))
  part = dataclasses.replace(exp, batch_size=-(-exp.batch_size // sharing))
  cost = cost_lib.measure(part, class_names, stop)
  needed = max(cost_lib.update_bytes(part, class_names, stop))
  progress.line(_memory(exp, data, needed, on))
  for line in _times(exp, data, cost, num_hosts if is_divided else 1):
    progress.line(line)
  if is_divided:
    progress.line(
      'hosts: each trains alone and takes the next member or fold that is left; the times assume hosts like this one'
    )
  elif num_hosts > 1:
    progress.line('hosts: the times do not include what the hosts send one another in each update')


def num_trainings(exp: experiment.Experiment) -> int:
  """The number of networks that the experiment trains."""
  folds, ensemble = exp.cross_validation, exp.ensemble
  if ensemble.member or folds.fold:
    return 1
  return folds.folds or method.num_trainings(
    ensemble.method, ensemble.members, ensemble.combine, ensemble.folds
  )


def duration(seconds: float) -> str:
  """The time with two digits or three.

  Example:
    >>> [duration(seconds) for seconds in (0.0123, 7.26, 95, 1234, 30000)]
    ['12 ms', '7.3 s', '95 s', '21 min', '8.3 h']
  """
  for unit, size in (('h', 3600), ('min', 60)):
    if seconds >= 2 * size:
      return f'{seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}'
  if seconds < 0.1:
    return f'{1e3 * seconds:.2g} ms'
  return f'{seconds:.{0 if seconds >= 10 else 1}f} s'


def _state(config: Mapping[str, Any], folder: workdir.Workdir) -> str:
  if not (folder.config.exists() and folder.has_results()):
    return f'folder: {folder.path}, a new run'
  folder.check_continued(config)
  holds = f'folder: {folder.path} holds this run'
  before = folder.read_config()
  is_as_long = all(before.get(key) == value for key, value in config.items() if key.endswith('.epochs'))
  if is_as_long and folder.report.exists() and folder.metrics.exists():
    return f'{holds}, complete; the times are for a new run'
  # A cross-validation and an ensemble have no history of their own.
  done = f' with {len(history.read(folder.history))} epochs' if folder.history.exists() else ''
  return f'{holds}{done}; training continues it, the times are for a new run'


def _devices(exp: experiment.Experiment, on: devices.Devices, num_hosts: int) -> str:
  num = num_hosts * len(on)
  per_device = -(-exp.batch_size // num)
  padding = per_device * num - exp.batch_size
  among = f'{num_hosts} hosts with ' if num_hosts > 1 else ''
  text = (
    f'devices: {among}{len(on)} x {on.each[0].device_kind} ({on.platform}) by {on.parallel}; {exp.batch_size} images '
    f'an update, {per_device} on each device'
  )
  return f'{text}, of which {padding} in total only pad the batch' if padding else text


def _divided(exp: experiment.Experiment, progress: progress_lib.Progress) -> dataset.Dataset:
  """The data with its splits, undecoded; refused where the training would refuse it."""
  folds = exp.cross_validation
  together = run_data.divide(reading.undecoded(exp.data, exp.division_seed, ()), exp)
  if untaught := remarks.untaught(together.table):
    raise types.UserError(untaught)
  data = together
  if folds.folds and not folds.fold:
    # The first stands for all of them.
    data, *_ = [
      cross_validation.divided_for(together, dataclasses.replace(exp, cross_validation=each))
      for each in (dataclasses.replace(folds, fold=k) for k in range(1, folds.folds + 1))
    ]
  run_data.check_leaks(exp, data, progress)
  run_data.check_validation(data)
  if exp.ensemble.combine in method.STACKED:
    out_of_fold.check(exp, data)
  return data


def _images(exp: experiment.Experiment, data: dataset.Dataset) -> str:
  num, side = len(data.table), exp.data.decode.image_size
  size = num * side * side * 3
  some = data.table.take(evenly_spaced.rows(num, _DECODED))
  began = time.monotonic()
  spec = exp.data.decode
  for content in some.content:
    try:
      decode.image(content, spec)
    except decode.DecodeError:
      continue
  seconds = (time.monotonic() - began) / len(some) * num
  splits = ', '.join(f'{name} {len(rows):,}' for name, rows in data.rows.items())
  return (
    f'images: {num:,} of {exp.data.source}, {splits}; decoded at {side}x{side} they take '
    f'{feature_cache.format_bytes(size)} ({image_buffer.place(size, spec.cache)}); decoding takes '
    f'{duration(seconds)} on one core'
  )


def _network(exp: experiment.Experiment, on: devices.Devices, num_classes: int) -> str:
  shapes = zoo.shapes(zoo.build(exp.model, num_classes), exp.data.decode.image_size)
  dtype = np.dtype(precision.dtype(exp.dtype, on.platform)).name
  return f'network: {exp.model.name}, {tree.count(shapes):,} parameters; an update computes in {dtype}'


def _features(exp: experiment.Experiment, data: dataset.Dataset, folder: workdir.Workdir) -> Iterator[str]:
  """A line for each set of features that is cached."""
  network = exp.model.backbone
  if not (network and exp.cache_features):
    return
  job = job_lib.Job(exp, data, exp.transform.standardize, None, signals.Stop())
  num = frozen_features.num_copies_of(exp) * len(data.rows['train']) + len(data.rows['validation'])
  for depth in sorted({frozen_features.depth_of(job, stage) for stage in exp.stages} - {0}):
    shape = (num, *frozen_features.map_shape(job, network, job.shapes, depth))
    size = feature_cache.format_bytes(feature_cache.num_bytes(shape, exp.features.dtype))
    yield f'features: block {depth} of {num:,} images, {size} on disk in {folder.cache}'


def _memory(exp: experiment.Experiment, data: dataset.Dataset, needed: int, on: devices.Devices) -> str:
  # On CPUs XLA's estimate is too low.
  most = f' to {feature_cache.format_bytes(memory.PEAK_FACTOR * needed)}' if on.platform == 'cpu' else ''
  free = feature_cache.format_bytes(memory.free(on.each[0]))
  images = ''
  if exp.pipeline == pipelines.DEVICE:
    num = len(data.rows['train']) + len(data.rows['validation'])
    size = feature_cache.format_bytes(3 * exp.data.decode.image_size**2 * num)
    images = (
      f', the training and validation images {size} (of stages on cached features, the features of training)'
    )
  return f'memory: an update takes {feature_cache.format_bytes(needed)}{most} on each device{images}; {free} are free'


def _times(
  exp: experiment.Experiment, data: dataset.Dataset, cost: cost_lib.Cost, num_hosts: int
) -> Iterator[str]:
  """A line for each stage, and the time of all, which so many hosts divide."""
  counts = cost_lib.count(data, exp.evaluate_splits)
  steps = exp.loop.steps_per_epoch or -(-counts.train // exp.batch_size)
  validation = 0.0 if cost.is_cached else counts.validation * cost.image_seconds
  for stage, update in zip(exp.stages, cost.update_seconds, strict=True):
    yield (
      f'stage {stage.fit.name}: {stage.fit.epochs} epochs of {steps} updates; {duration(update)} an update, '
      f'{duration(steps * update + validation)} an epoch including validation'
    )
  trainings = num_trainings(exp)
  epochs = [stage.fit.epochs for stage in exp.stages]
  # Hosts take a member with its networks out of fold.
  pieces = exp.cross_validation.folds or exp.ensemble.members
  most = trainings if num_hosts == 1 else trainings // pieces * -(-pieces // num_hosts)
  total = cost_lib.seconds(exp, cost, steps, epochs, most, counts, False) + cost.compile_seconds
  networks = '1 network' if trainings == 1 else f'{trainings} networks one after the other'
  if num_hosts > 1:
    networks = f'{trainings} networks, at most {most} on each of {num_hosts} hosts'
  yield (
    f'in all: about {duration(total)} for {networks}, {duration(cost.compile_seconds)} of it to compile; estimated '
    'from a few updates on black images; decoding is not included'
  )
