"""The initial weights of a run, from a file or from another run."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from bloodcell_jax.base import run_format, tree, types
from bloodcell_jax.data import dataset
from bloodcell_jax.models import zoo
from bloodcell_jax.runs import input_pixels, saved_run
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import signals
from bloodcell_jax.weights import merge, own, pretrained, published


def read(path: str, network: str) -> pretrained.Pretrained:
  """Reads the initial weights of a run.

  Args:
    path: a file or a name for `pretrained.read`; or the folder of a run, whose best checkpoint is read, or else its
      export where there are no checkpoints; or an exported folder.
    network: the name of the network to initialize.

  Raises:
    UserError: there are no weights at the path, or they cannot be read.
  """
  is_named = path in (published.AUTO, published.PBC)
  if is_named or not os.path.isdir(path) or pathlib.Path(path).suffix in pretrained.READERS:
    return pretrained.read(path, network)
  folder = workdir.Workdir(path)
  if folder.checkpoints.is_dir():
    source = saved_run.read_experiment(folder, None)
    class_names = tuple(folder.read_environment()['data']['class_names'])
    pixels = input_pixels.saved(folder, source)
    # Only the shapes of the weights are needed: no images, and one device.
    job = job_lib.Job(
      dataclasses.replace(source, num_devices=1), dataset.empty(class_names), pixels, None, signals.Stop()
    )
    params, origin = saved_run.best(folder, job)
    arrays = {name: np.asarray(leaf, np.float32) for name, leaf in tree.names(params).items()}
    label = f'{path}, epoch {origin["best_epoch"]}'
    return pretrained.Pretrained(arrays, None, label, own.About(dataclasses.asdict(pixels), class_names))
  for file in (folder.path / own.FILE, folder.path / 'export' / own.FILE):
    if file.exists():
      return pretrained.read(str(file), network)
  raise types.UserError(
    f'{path}: no checkpoints of a network and no {own.FILE} here; name the folder of a trained run (for an ensemble, '
    'one of its members; for a cross-validation, one of its folds), or a file'
  )


def put(read: pretrained.Pretrained, job: job_lib.Job) -> Any:
  """The initial parameters of the job: newly initialized, except those read from elsewhere.

  Weights of the features are used; those of the head only with `weights.include_top`, from a run of this project with
  the same classes; and none that `weights.exclude` names.

  Raises:
    UserError: the weights do not fit the network, or the head is for other classes.
  """
  spec, model = job.experiment.weights, job.experiment.model
  if spec.include_top:
    _check_classes(read, job.data.table.class_names)
    return merge.merge(job.params, read.params, ('.*',), _kept(job), spec.exclude, read.origin)
  if read.about is None and model.backbone is None:
    raise types.UserError(
      f'{read.origin}: such weights are for {", ".join(zoo.backbones())}; model.name is '
      f'{model.name!r}: set weights.path to empty, or to a run of that network'
    )
  left_out = (*model.network.other_heads, *spec.exclude)
  return merge.merge(job.params, read.params, model.network.features, _kept(job), left_out, read.origin)


def fresh(job: job_lib.Job) -> list[str]:
  """The weights that the run would take from elsewhere and that `weights.exclude` leaves newly initialized.

  A layer all of whose weights are left so is named alone.
  """
  spec, names = job.experiment.weights, list(tree.names(job.shapes))
  taken = ('.*',) if spec.include_top else job.experiment.model.network.features
  left = [name for name in names if tree.matches(name, taken) and tree.matches(name, _kept(job))]
  is_partly = {_layer(name) for name in names if name not in left}
  return list(dict.fromkeys(name if _layer(name) in is_partly else _layer(name) for name in left))


def _kept(job: job_lib.Job) -> tuple[str, ...]:
  """Patterns of the network's weights that are left newly initialized."""
  return job.experiment.weights.exclude if run_format.is_excluded_fresh(job.experiment.format) else ()


def _layer(name: str) -> str:
  return name.rpartition('/')[0]


def _check_classes(read: pretrained.Pretrained, class_names: tuple[str, ...]) -> None:
  if read.about is None:
    raise types.UserError(
      f'weights.include_top is True, but {read.origin} is not a run of this project: set it to False'
    )
  if read.about.class_names != class_names:
    raise types.UserError(
      f'weights.include_top is True, but {read.origin} is for the classes {", ".join(read.about.class_names)}, and '
      f'the data has {", ".join(class_names)}: set it to False for a fresh head'
    )
