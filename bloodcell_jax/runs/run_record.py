"""The record of a run before training: its environment, class distribution and augmentation sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.images import conversions, sizes
from bloodcell_jax.optim import staged
from bloodcell_jax.plots import distribution, figure
from bloodcell_jax.runs import (
  augmentation_sheet,
  convolution_record,
  data_place,
  own_lists,
  scoring,
  seen_images,
)
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import history


def describe(folder: workdir.Workdir, job: job_lib.Job, leak: Mapping[str, int]) -> None:
  """Writes environment.json, the images' digests, the class distribution and, with random augmentation, a sheet.

  Where the run is complete already, what environment.json says of the machine stays that of the training.

  Args:
    folder: the run's.
    job: the job.
    leak: the numbers of leaking images, as `leaks.Leaks.counts`.

  Raises:
    UserError: the run in the folder was on other data.
  """
  data = job.data
  converted, counts = data.conversions(None), data.counts()
  trained = data.rows.get('train', np.zeros(0, np.int64))
  folder.write_environment(
    job.devices.each,
    {
      'name': data.table.name,
      'synthetic': data.table.synthetic,
      'fingerprint': data.fingerprint(),
      'class_names': list(data.table.class_names),
      'counts': {split: {k: list(v) for k, v in classes.items()} for split, classes in counts.items()},
      'skipped': [dataclasses.asdict(problem) for problem in data.skipped],
      'num_converted': converted.get(conversions.IMAGES, 0),
      'conversions': converted,
      'reading': list(data.remarks),
      'image_sizes': {} if data.size_N2 is None else sizes.summary(data.size_N2[trained]),
      'leaks': dict(leak),
    },
    _network(job),
    is_trained=is_trained(folder, job.experiment),
  )
  data_place.remember(folder, job.experiment)
  own_lists.keep(folder, job.experiment)
  seen_images.write(folder, data, job.experiment.weights.path)
  note = scoring.note(data.table.synthetic, leak)
  exp = job.experiment
  if exp.transform.is_random and len(trained):
    title = f'{data.table.file[trained[0]]}, under augmentation'
    sheet = augmentation_sheet.sheet(exp.transform, exp.seed, data.image_NHWC[trained[0]], title)
    figure.write(folder.figures / 'augmentation.png', sheet, note)
  drawn = tuple((split, tuple(classes.items())) for split, classes in counts.items())
  figure.write_shared(folder.figures / 'distribution.png', _distribution, drawn, note)


def is_trained(folder: workdir.Workdir, exp: experiment.Experiment) -> bool:
  """Whether no epoch is left; of an ensemble or a cross-validation, in none of its members or folds."""
  paths, num = [folder.history], 1
  if not folder.history.exists():
    paths = [
      workdir.Workdir(path).history for name in ('members', 'folds') for path in folder.path.glob(f'{name}/*')
    ]
    num = exp.cross_validation.folds or exp.ensemble.members
  if len(paths) < num or not all(path.exists() for path in paths):
    return False
  try:
    return all(exp.stages[-1].fit.is_finished(history.read(path)) for path in paths)
  except types.UserError:
    # A damaged one is written anew.
    return False


def _distribution(counts: tuple[tuple[str, tuple[tuple[str, tuple[int, int]], ...]], ...]) -> Any:
  return distribution.plot({split: dict(classes) for split, classes in counts})


def _network(job: job_lib.Job) -> dict[str, Any]:
  """The network, and the numbers of trainable and frozen parameters in each stage."""
  sizes = {name: int(leaf.size) for name, leaf in tree.names(job.shapes).items()}
  stages = []
  for stage in job.experiment.stages:
    is_trained = tree.names(staged.trainable(stage.weights, job.shapes))
    trained = sum(size for name, size in sizes.items() if is_trained[name])
    stages.append({'name': stage.fit.name, 'trained': trained, 'frozen': sum(sizes.values()) - trained})
  return {
    'name': job.experiment.model.name,
    'image_size': job.experiment.data.decode.image_size,
    'num_parameters': sum(sizes.values()),
    'weights': job.experiment.weights.path,
    convolution_record.KEY: convolution_record.used(job.experiment),
    'stages': stages,
  }
