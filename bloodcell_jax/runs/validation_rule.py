"""The calibration of a run, fitted so that it holds in each laboratory that trained it."""

from __future__ import annotations

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import calibration_file


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
