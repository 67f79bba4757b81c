"""The convolutions of an adapted run, trained on images of both laboratories; for each fold of the new labels anew."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.adaptation import features, home_images
from bloodcell_jax.base import groups, types, wording
from bloodcell_jax.data import tensorflow_cpu
from bloodcell_jax.runs import cost, model_set, stage_training
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import memory
from bloodcell_jax.train import progress as progress_lib

# Folds of the cross-fitted predictions. Each is a training of its own.
NUM_FOLDS = 3
# Where in the run's folder the trainings of the folds are, and the split that their predictions are.
FOLDER, SPLIT = 'folds', 'held_out'

# From a mask of the new images, [M] bool, to the initial weights of a training on the images that it selects.
Begin = Callable[[np.ndarray], Any]


@dataclasses.dataclass(frozen=True)
class Trained:
  """The run's network, and the predictions of networks for images that they were not trained on."""

  models: model_set.ModelSet
  # Of the new images, each by a network that was trained without its group.
  cross_fitted_NK: np.ndarray
  num_folds: int


def check(run: pathlib.Path, home: home_images.HomeImages) -> None:
  """Refuses a training of the convolutions that lacks what it needs, before anything is written.

  Args:
    run: the folder of the run that is to be adapted.
    home: its images.

  Raises:
    UserError: the run came without its images, or TensorFlow, which augments them, does not load.
  """
  if home.features is not None:
    raise types.UserError(
      f'{run}: came without the images that it was trained on, which training the convolutions needs; '
      'leave --trainable out, or name the folder of the images with --home_dir'
    )
  try:
    tensorflow_cpu.load()
  except ImportError as error:
    if memory.is_short(error):
      raise
    raise types.UserError(
      f'--trainable: the images are augmented by TensorFlow, which does not load ({error}); install '
      'requirements.txt, or leave --trainable out'
    ) from None


def train(
  job: job_lib.Job, folder: workdir.Workdir, rows: np.ndarray, begin: Begin, progress: progress_lib.Progress
) -> Trained:
  """Trains a network without each fold of the new images in turn, then the run's own, with all of them.

  **Guarantees**: neither an image's own label nor any other label of its group influences its row of
  `cross_fitted_NK`; interrupted and called again, it comes to the same bits.

  Args:
    job: of the run, with the stage that trains the convolutions.
    folder: of the run.
    rows: the new laboratory's images in its data, all of them for training.
    begin: the weights that a training begins with.
    progress: where progress is printed.

  Raises:
    signals.Stopped: a stop was requested; the same call continues.
    types.RunError: a loss was not finite.
  """
  new = job.data.table.take(rows)
  fold_N = groups.spread_folds(new.label, new.group, NUM_FOLDS, job.experiment.seed)
  folds = np.unique(fold_N)
  places = {fold: workdir.Workdir(folder.path / FOLDER / str(fold + 1), folder.cache) for fold in folds}
  missing = [fold for fold in folds if not places[fold].predictions(SPLIT).exists()]
  if not folder.history.exists():
    progress.line(_length(job, len(missing) + 1, len(folds)))
  probs_NK = np.empty((len(rows), job.num_classes))
  for fold, place in places.items():
    inside_N = fold_N == fold
    if fold in missing:
      progress.line(f'fold {fold + 1} of {len(folds)}: {inside_N.sum():,} labelled images left out')
      models = train_one(job, place, rows, ~inside_N, begin, progress)
      predictions_csv.write(place.predictions(SPLIT), _predict(models, rows[inside_N], place, progress), None)
    # Of a fold only what it predicts is needed.
    shutil.rmtree(place.checkpoints, ignore_errors=True)
    probs_NK[inside_N] = predictions_csv.read(place.predictions(SPLIT)).probs_NK
  progress.line(f'the run itself: all {len(rows):,} labelled images')
  models = train_one(job, folder, rows, np.ones(len(rows), bool), begin, progress)
  return Trained(models, probs_NK, len(folds))


def train_one(
  job: job_lib.Job,
  folder: workdir.Workdir,
  rows: np.ndarray,
  kept_N: np.ndarray,
  begin: Begin,
  progress: progress_lib.Progress,
) -> model_set.ModelSet:
  """Trains a network on the old images and some of the new ones, or continues to; a trained one is read.

  Half of the images that it sees are of the new laboratory, and in each laboratory every class comes equally often.

  Args:
    job: of the run.
    folder: for the checkpoints and the history of this training.
    rows: the new laboratory's images in its data.
    kept_N: bool: those of `rows` to train on.
    begin: as for `train`.
    progress: where progress is printed.
  """
  data, is_new_N = job.data, np.zeros(len(job.data.table), np.int32)
  is_new_N[rows] = 1
  some = data.with_rows({**data.rows, 'train': np.setdiff1d(data.rows['train'], rows[~kept_N])})
  own = job_lib.Job(job.experiment, some, job.transform.standardize, job.statistics, job.stop)
  own = own.with_laboratories(is_new_N)
  try:
    stage_training.run(own, begin(kept_N), folder, progress)
  finally:
    progress.close()
  return model_set.single(*model_set.load_network(folder, job.experiment, data, job.stop, progress))


def embed(
  models: model_set.ModelSet,
  rows: np.ndarray,
  folder: workdir.Workdir,
  progress: progress_lib.Progress,
) -> np.ndarray:
  """[N, D] float32: the embeddings of these rows of the network's data, as it averages over the copies of an image."""
  network = models.networks[0]
  data, tta = network.job.data, network.job.experiment.tta
  table = data.table.take(rows)
  return features.embed(network, table, data.image_NHWC[rows], tta, folder.cache, progress)


def _predict(
  models: model_set.ModelSet, rows: np.ndarray, folder: workdir.Workdir, progress: progress_lib.Progress
) -> types.Predictions:
  network = models.networks[0]
  table = network.job.data.table.take(rows)
  probs_NK = network.output_layer.probabilities(embed(models, rows, folder, progress))
  return types.Predictions(probs_NK, table.label, table.group, table.file, table.class_names)


def _length(job: job_lib.Job, num_missing: int, num_folds: int) -> str:
  """How long the trainings are, timed on this machine before the first of them."""
  exp = job.experiment
  updates = exp.loop.steps_per_epoch
  measured = cost.measure(exp, job.data.table.class_names, job.stop)
  minutes = max(1, round(num_missing * updates * measured.update_seconds[0] / 60))
  return (
    f'training the convolutions: {num_missing} of {num_folds + 1} networks to train ({num_folds} folds and the run '
    f'itself), {updates:,} updates of {exp.batch_size} images each; about {wording.counted(minutes, "minute")} '
    'on this machine at its present load; if interrupted, the same command continues'
  )
