"""The convolutions of a run trained for another laboratory, as `adapt --trainable=convolutions` trains them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.adaptation import adapted_config, convolutions, features, layers
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import decode
from bloodcell_jax.heads import logistic
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.runs import model_set
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# What the names of the images of each part begin with: old ones to train on and to judge by, and new ones.
PARTS = ('home', 'judged', 'new')


@dataclasses.dataclass(frozen=True)
class Answers:
  """What a trained network says."""

  new_NK: np.ndarray  # of new images that have no label
  judged_NK: np.ndarray  # of old images that have no part in it
  cross_fitted_NK: np.ndarray | None  # of the labelled ones; None where no folds were trained


@dataclasses.dataclass(frozen=True)
class Trainer:
  """Trains networks on the old images and some of the new ones."""

  network: model_set.Network  # of the run that is adapted
  job: job_lib.Job  # of all images
  folder: pathlib.Path  # in which each training has a folder, and which keeps embeddings
  has_folds: bool  # whether folds are trained as well, for the cross-fitted predictions
  progress: progress_lib.Progress

  def answers(
    self,
    name: str,
    labelled: np.ndarray,
    left: np.ndarray,
    fit: Callable[[np.ndarray], logistic.Linear],
  ) -> Answers:
    """Trains a network, or reads the one that was trained under this name.

    Args:
      name: of this training.
      labelled: the new images with labels, as rows of their table.
      left: those to predict.
      fit: from the mask of the labelled images that there are to the output layer to begin with.
    """
    data, folder = self.job.data, workdir.Workdir(self.folder / name, self.folder / 'cache')
    kinds = np.char.partition(data.table.file, '/')[:, 0]
    home, judged, new = (np.flatnonzero(kinds == part) for part in PARTS)
    rows = new[labelled]
    some = data.with_rows({'train': np.sort(np.concatenate([home, rows])), 'validation': judged})
    exp, pixels = self.job.experiment, self.job.transform.standardize
    job = job_lib.Job(exp, some, pixels, self.job.statistics, self.job.stop)

    def begin(kept_N: np.ndarray) -> Any:
      return layers.replaced(self.network, fit(kept_N), job.params)

    crossed_NK = None
    if self.has_folds:
      trained = convolutions.train(job, folder, rows, begin, self.progress)
      models, crossed_NK = trained.models, trained.cross_fitted_NK
    else:
      models = convolutions.train_one(job, folder, rows, np.ones(len(rows), bool), begin, self.progress)
    layer = models.networks[0].output_layer
    new_NK, judged_NK = (
      layer.probabilities(convolutions.embed(models, chosen, folder, self.progress))
      for chosen in (new[left], judged)
    )
    return Answers(new_NK, judged_NK, crossed_NK)


def trainer(
  run: workdir.Workdir,
  network: model_set.Network,
  tables: dict[str, types.Table],
  folder: pathlib.Path,
  updates: int,
  has_folds: bool,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> Trainer:
  """The trainer for a run.

  Args:
    run: its folder.
    network: its network.
    tables: by part, one of PARTS, the images, all with the same classes.
    folder: for the trainings.
    updates: of each training.
    has_folds: whether folds are trained as well.
    stop: polled between updates.
    progress: where progress is printed.
  """
  exp_before, table = network.job.experiment, _joined(tables)
  config = adapted_config.derive(
    run.read_config(), exp_before, run.path, folder, folder / 'groups.csv', features.tta(exp_before)
  )
  config = adapted_config.with_convolutions(config, exp_before.model.network, updates)
  exp = experiment.from_flat(config)
  decoded = decode.table(table, exp.data.decode, folder / 'cache', lambda done, total: None)
  data = dataset.Dataset(table, decoded.image_NHWC, {}, [], [], ())
  before = network.job
  job = job_lib.Job(exp, data, before.transform.standardize, before.statistics, stop)
  return Trainer(network, job, folder, has_folds, progress)


def _joined(tables: dict[str, types.Table]) -> types.Table:
  """One table of all parts; files, photographs and groups begin with the name of their part."""
  each = [tables[part] for part in PARTS]
  columns: dict[str, Any] = {
    name: np.concatenate([np.char.add(f'{part}/', getattr(tables[part], name).astype(str)) for part in PARTS])
    for name in ('file', 'source', 'group')
  }
  for name in ('label', 'split', 'digest'):
    columns[name] = np.concatenate([getattr(one, name) for one in each])
  content = tuple(item for one in each for item in one.content)
  return dataclasses.replace(each[0], content=content, **columns)
