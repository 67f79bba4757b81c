"""The cross-fitted predictions of an adapted run, on which its calibration rests.

A run that was adapted to another laboratory has `predictions/cross_fitted.csv`: for each image that was labelled there,
the prediction of a network that was fitted without the image's group.
"""

from __future__ import annotations

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.reports import selection
from bloodcell_jax.runs import scoring
from bloodcell_jax.storage import predictions_csv, unlike_file, workdir


def read(folder: workdir.Workdir) -> types.Predictions | None:
  """The predictions; None for a run that was not adapted. Raises UserError where the file is damaged."""
  if not folder.adaptation.exists() or not folder.predictions(selection.CROSS_FITTED).exists():
    return None
  return predictions_csv.read(folder.predictions(selection.CROSS_FITTED))


def measure(folder: workdir.Workdir) -> unlike_file.Measure | None:
  """The measure of unlike images that is kept when an adapted run is evaluated again; None for any other run."""
  return unlike_file.read(folder) if folder.adaptation.exists() else None


def write(
  folder: workdir.Workdir, predictions: types.Predictions, data: dataset.Dataset, basis: scoring.Basis
) -> str:
  """Scores the predictions as the split `cross_fitted`; returns a line about it.

  Args:
    folder: of the adapted run.
    predictions: cross-fitted.
    data: of the run.
    basis: with the note of `scoring.note_of_others` and the rule that was fitted on these predictions.
  """
  rows_of = {source: row for row, source in enumerate(data.table.source.tolist())}
  rows = [rows_of.get(f'new {file}', -1) for file in predictions.file_N.tolist()]

  def image_of(i: int) -> np.ndarray:
    return data.image_NHWC[rows[i]]

  known = image_of if min(rows, default=-1) >= 0 else None
  split = scoring.Split(selection.CROSS_FITTED, predictions, known, None, None, None)
  return scoring.line(split.name, scoring.write(folder, split, basis))
