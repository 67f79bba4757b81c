"""A member of an ensemble: a run in `members/K`."""

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
  """The run of a member."""

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
  """Trains and evaluates a member and writes its report; the arguments are those of `training.train_run`."""
  training.train_run(
    member.config, member.exp, member.folder, member.data, stop, progress, targets=targets, previous=previous
  )


def is_done(member: Member) -> bool:
  """Whether the member is trained and evaluated. Raises UserError where its folder holds another run."""
  return cross_validation.is_done(member.config, member.exp, member.folder, member.data)


def answers(members: Sequence[Member], splits: Sequence[str]) -> combined_run.Answers:
  """The aligned predictions of the members on each of these splits that all of them have."""
  predictions = {
    split: [predictions_csv.read(member.folder.predictions(split)) for member in members]
    for split in splits
    if all(member.folder.predictions(split).exists() for member in members)
  }
  return combined_run.align([f'member {member.number}' for member in members], predictions)


def fingerprints(members: Sequence[Member]) -> tuple[str, ...]:
  """The fingerprint of each member's network, from its calibration; empty in runs older than fingerprints."""
  known = [calibration_file.read(one.folder)[1] for one in members]
  return tuple('' if each is None else each.fingerprint for each in known)


def scored(exp: experiment.Experiment, data: dataset.Dataset) -> list[str]:
  """The splits on which an ensemble is evaluated: validation, and those of `evaluate.splits` that the data has."""
  return list(dict.fromkeys(('validation', *scoring.known(exp.evaluate_splits, data.rows))))
