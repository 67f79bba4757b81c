"""The calibration of a run: fitted so that it holds in each laboratory that trained it, and written."""

from __future__ import annotations

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.train import progress as progress_lib


def fit(
  predictions: types.Predictions, exp: experiment.Experiment, temperature: float
) -> calibration.Calibration:
  """As `calibration_file.fit`, with the laboratories that the groups of the run's data source name.

  Args:
    predictions: of validation, or cross-fitted ones in its place.
    exp: the run's.
    temperature: that of `calibration_file.FittedFor`; 1 for what has none inside.
  """
  laboratory_N = laboratories.numbers(predictions.group_N, exp.data.source)
  return calibration_file.fit(predictions, exp.calibration, temperature, laboratory_N)


def write(
  folder: workdir.Workdir,
  rule: calibration.Calibration,
  fitted_for: calibration_file.FittedFor | None,
  progress: progress_lib.Progress,
) -> None:
  """As `calibration_file.write`; says so if the rule accepts no image."""
  calibration_file.write(folder, rule, fitted_for)
  if line := calibration.left_for_review(rule):
    progress.line(line)
