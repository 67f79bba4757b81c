"""A member of an ensemble: a run of its own in `members/K`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.ensemble_runs import combined_run
from bloodcell_jax.runs import cross_validation, scoring, training
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import calibration_file, predictions_csv, workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


@dataclasses.dataclass(frozen=True)
class Member:
  """A member's run."""

  number: int  # from 1
  config: Mapping[str, Any]  # flat
  exp: experiment.Experiment
  folder: workdir.Workdir
  data: dataset.Dataset


def train(
  member: Member,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  targets: job_lib.Targets | None,
  previous: workdir.Workdir | None,
) -> None:
  """Trains, scores and reports a member; the arguments are those of `training.train_run`."""
  training.train_run(
    member.config, member.exp, member.folder, member.data, stop, progress, targets=targets, previous=previous
  )


def is_done(member: Member) -> bool:
  """Whether it is trained and scored. Raises UserError where its folder holds another run."""
  return cross_validation.is_done(member.config, member.exp, member.folder, member.data)


def answers(members: Sequence[Member], splits: Sequence[str]) -> combined_run.Answers:
  """What each member says of each of these splits that all of them have, their rows aligned."""
  predictions = {
    split: [predictions_csv.read(member.folder.predictions(split)) for member in members]
    for split in splits
    if all(member.folder.predictions(split).exists() for member in members)
  }
  return combined_run.align([f'member {member.number}' for member in members], predictions)


def fingerprints(members: Sequence[Member]) -> tuple[str, ...]:
  """What each member's calibration says of its network; empty for one of before that was kept."""
  known = [calibration_file.read(one.folder)[1] for one in members]
  return tuple('' if each is None else each.fingerprint for each in known)


def scored(exp: experiment.Experiment, data: dataset.Dataset) -> list[str]:
  """The splits that an ensemble is scored on: validation, and those that the config asks for and the data has."""
  return list(dict.fromkeys(('validation', *scoring.known(exp.evaluate_splits, data.rows))))
