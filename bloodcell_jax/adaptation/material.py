"""What an adaptation is fitted on: the job of the new run, and the images of both laboratories by their embeddings."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np

from bloodcell_jax.adaptation import (
  adapted_config,
  features,
  head_choice,
  home_images,
  image_folder,
  labelled_images,
)
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.runs import input_pixels, model_set, run_data, run_record
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import home_features, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


@dataclasses.dataclass(frozen=True)
class Material:
  """The images of an adaptation."""

  job: job_lib.Job  # of the new run, with its experiment and its data
  rows: np.ndarray  # int: the new laboratory's images in the data, in the order of the labels
  embedding_ND: np.ndarray  # float32: of every row of the data, by the network before
  old: head_choice.Examples  # of the old laboratory, for training
  fresh: head_choice.Examples  # of the new one
  # In place of the old laboratory's images, which the data then lacks; of the classes of the new run.
  kept: home_features.HomeFeatures | None


def gather(
  run: workdir.Workdir,
  before: model_set.Network,
  new: workdir.Workdir,
  home: home_images.HomeImages,
  labelled: types.Table,
  updates: int,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> Material:
  """Writes the config of the new run, copies the images into it where there are any, and computes the embeddings.

  Args:
    run: the folder of the run that is adapted.
    before: its network.
    new: the folder of the new run.
    home: the old laboratory's images.
    labelled: the new one's.
    updates: of a training of the convolutions; 0 where the output layer alone is fitted.
    stop: polled.
    progress: where progress is printed.

  Raises:
    UserError: an image cannot be used.
    signals.Stopped: a stop was requested; the same call continues.
  """
  exp_before = before.job.experiment
  exp, data, rows = _images(run, exp_before, new, home, labelled, updates, stop, progress)
  job = _job(run, before, new, exp, data, stop, progress)
  run_record.describe(new, job, data.leaking().counts())
  embedding_ND = features.embed(before, data.table, data.image_NHWC, exp.tta, new.cache, progress)
  kept = home.features and home.features.with_classes(labelled.class_names)

  def examples(some: np.ndarray) -> head_choice.Examples:
    return head_choice.Examples(embedding_ND[some], data.table.label[some], data.table.group[some])

  if kept is None:
    old = examples(np.setdiff1d(data.rows['train'], rows))
  else:
    part = kept.of_split('train')
    old = head_choice.Examples(part.embedding_ND, part.label_N, part.group_N)
  return Material(job, rows, embedding_ND, old, examples(rows), kept)


def _images(
  run: workdir.Workdir,
  exp_before: experiment.Experiment,
  new: workdir.Workdir,
  home: home_images.HomeImages,
  labelled: types.Table,
  updates: int,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> tuple[experiment.Experiment, dataset.Dataset, np.ndarray]:
  """The experiment of the new run, which is written; its images; the rows of the new laboratory's, as labelled."""
  saved = run.read_config()
  if home.features is not None:
    new.write_config(adapted_config.derive(saved, exp_before, run.path, None, None, home.features.tta))
    exp = experiment.from_flat(new.read_config())
    data = labelled_images.read(labelled, home.synthetic, exp.data, new.cache, stop, progress)
    return exp, data, data.rows['train']
  groups_csv = image_folder.write(new, home.sample, labelled)
  images = new.path / image_folder.FOLDER
  config = adapted_config.derive(saved, exp_before, run.path, images, groups_csv, features.tta(exp_before))
  if updates:
    config = adapted_config.with_convolutions(config, exp_before.model.network, updates)
  new.write_config(config)
  exp = experiment.from_flat(new.read_config())
  read = run_data.read_images(exp, new, stop, progress)
  run_data.check_leaks(exp, read, progress)
  data = dataclasses.replace(read, table=dataclasses.replace(read.table, synthetic=home.synthetic))
  return exp, data, image_folder.new_rows(data)


def _job(
  run: workdir.Workdir,
  before: model_set.Network,
  new: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> job_lib.Job:
  """The job of the new run, whose images become input as those of the earlier run do."""
  pixels = before.job.transform.standardize
  if pixels.centers and not new.statistics.exists():
    with atomic.named(new.statistics):
      shutil.copyfile(run.statistics, new.statistics)
  return job_lib.Job(exp, data, pixels, input_pixels.statistics(new, pixels, data, progress), stop)
