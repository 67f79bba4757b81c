"""Where the training images of a run lie whose `data.pipeline` is `auto`: chosen when it begins, and kept."""

from __future__ import annotations

import dataclasses

from bloodcell_jax.base import pipelines, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import image_buffer
from bloodcell_jax.data.resident import images
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import memory
from bloodcell_jax.train import devices, hosts
from bloodcell_jax.train import progress as progress_lib

# The images may take this share of what is free on a device: cached features in their place take up to 2.5 times as
# much, and an update needs the rest.
_SHARE = 1 / 8


def settle(
  exp: experiment.Experiment, folder: workdir.Workdir, data: dataset.Dataset, progress: progress_lib.Progress
) -> experiment.Experiment:
  """The experiment with the pipeline that the folder's run was begun with, or that a new run is to have.

  Args:
    exp: the experiment of a single network.
    folder: of its run.
    data: its images.
    progress: where a choice other than the host's memory is printed.
  """
  if exp.pipeline != pipelines.AUTO:
    return exp
  group = hosts.current()
  name = group.from_first('pipeline', lambda: _kept(folder))
  if name == pipelines.AUTO:
    on = devices.devices(exp.num_devices, exp.parallel)
    name = group.from_first('new pipeline', lambda: choose(exp, on, data))
    if name == pipelines.DEVICE and group.is_first:
      progress.line(
        f'data.pipeline: {name}, because the training images fit into the memory of the {on.platform}; '
        f'--config.data.pipeline={pipelines.TF_DATA} keeps them in host memory'
      )
  return dataclasses.replace(exp, pipeline=name)


def choose(exp: experiment.Experiment, on: devices.Devices, data: dataset.Dataset) -> str:
  """`device` on an accelerator that can augment as the experiment asks, where it and the host have the memory for the
  images; otherwise `tf_data`."""
  if on.platform == 'cpu' or exp.ensemble.vectorized > 1:
    return pipelines.TF_DATA
  try:
    images.check(exp.transform)
  except types.UserError:
    return pipelines.TF_DATA
  num_images = len(data.rows['train']) + len(data.rows['validation'])
  num = num_images * (exp.features.num_augmented if exp.transform.is_random and exp.cache_features else 1)
  decode = exp.data.decode
  size = 3 * decode.image_size**2 * num
  # They go to the devices from the memory of the host.
  if image_buffer.place(size, decode.cache) != image_buffer.MEMORY:
    return pipelines.TF_DATA
  return pipelines.DEVICE if size <= _SHARE * memory.free(on.local.each[0]) else pipelines.TF_DATA


def _kept(folder: workdir.Workdir) -> str:
  if folder.config.exists() and folder.has_results():
    return folder.read_config()[pipelines.KEY]
  return pipelines.AUTO
