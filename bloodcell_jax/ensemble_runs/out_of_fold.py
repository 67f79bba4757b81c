"""The out-of-fold predictions that stacking is fitted on: a cross-validation of each member."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import folds
from bloodcell_jax.ensemble_runs import combined_run, member
from bloodcell_jax.runs import cross_validation
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


def folder(one: member.Member) -> workdir.Workdir:
  """That of a member's cross-validation."""
  return workdir.Workdir(one.folder.path / folds.OUT_OF_FOLD)


def check(exp: experiment.Experiment, data: dataset.Dataset) -> None:
  """Refuses, before a member is trained, images that cannot be divided into the folds of stacking.

  Raises:
    UserError: a class has too few groups.
  """
  for fold in range(1, exp.ensemble.folds + 1):
    spec = folds.Spec(exp.ensemble.folds, fold)
    cross_validation.divided_for(data, dataclasses.replace(exp, cross_validation=spec))


def train(
  one: member.Member,
  num_members: int,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> None:
  """Trains the networks of a member without a fold each; what is complete is left as it is.

  Args:
    one: the member.
    num_members: of the ensemble.
    exp: that of the ensemble.
    data: the images.
    stop: polled between batches.
    progress: where progress is printed.
  """
  # These networks answer for the images that they were not trained on, and for no other split.
  config = {**one.config, 'train.folds': exp.ensemble.folds, 'evaluate.splits': ()}
  progress.line(f'member {one.number} of {num_members}, out of fold:')
  cross_validation.run_on(config, folder(one), data, stop, progress, None)


def answers(
  members: Sequence[member.Member],
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> combined_run.Answers:
  """The out-of-fold predictions of each member for train and validation, trained as by `train`."""
  predictions = []
  for one in members:
    train(one, len(members), exp, data, stop, progress)
    predictions.append(predictions_csv.read(folder(one).predictions(folds.OUT_OF_FOLD)))
  return combined_run.align([f'member {one.number}' for one in members], {folds.OUT_OF_FOLD: predictions})
