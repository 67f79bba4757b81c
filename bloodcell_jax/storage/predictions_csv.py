"""Predictions as a CSV file: `file, label, group, predicted, confidence, prob_<CLASS>..., unlike, unlike_reason`.

The last two are there where it was measured how unlike the training the images are.
"""

from __future__ import annotations

import csv
import io
import os
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import unlike
from bloodcell_jax.system import atomic

UNLIKE_COLUMNS = ('unlike', 'unlike_reason')
COLUMNS = ('file', 'label', 'group', 'predicted', 'confidence')


def write(
  path: str | os.PathLike[str], predictions: types.Predictions, judgement: unlike.Judgement | None
) -> None:
  """Writes one line for each image, with probabilities in full precision, so that `read` gives the same numbers.

  With a judgement, `predicted` is `unlike.WITHHELD` for the images that it withholds.
  """
  names = predictions.class_names
  rows: list[list[Any]] = [[*COLUMNS, *(f'prob_{name}' for name in names)]]
  if judgement is not None:
    rows[0] += UNLIKE_COLUMNS
  for i in range(len(predictions)):
    probs_K = predictions.probs_NK[i]
    k = int(probs_K.argmax())
    row = [predictions.file_N[i], names[predictions.label_N[i]], predictions.group_N[i], names[k]]
    rows.append([*row, f'{probs_K[k]:.6f}', *(repr(float(p)) for p in probs_K)])
    if judgement is not None:
      rows[-1] += [f'{judgement.unlike_N[i]:.4f}', judgement.reason_N[i]]
      if judgement.withheld_N[i]:
        rows[-1][COLUMNS.index('predicted')] = unlike.WITHHELD
  atomic.write_csv(path, rows)


def read(path: str | os.PathLike[str]) -> types.Predictions:
  """Reads what `write` wrote.

  Raises:
    UserError: the file is damaged or something else.
  """
  try:
    text = atomic.read_text(path)
  except ValueError:
    raise types.UserError(f'{path}: changed since it was written; evaluate the run again') from None
  reader = csv.reader(io.StringIO(text, newline=''))
  header = next(reader, [])
  if tuple(header[: len(COLUMNS)]) != COLUMNS:
    raise types.UserError(f'{path}: not a file of predictions; it should begin with {",".join(COLUMNS)}')
  if tuple(header[-len(UNLIKE_COLUMNS) :]) == UNLIKE_COLUMNS:
    header = header[: -len(UNLIKE_COLUMNS)]
  class_names = tuple(name.removeprefix('prob_') for name in header[len(COLUMNS) :])
  rows = list(reader)
  try:
    return types.Predictions(
      probs_NK=np.array([[float(p) for p in row[len(COLUMNS) : len(header)]] for row in rows]).reshape(
        len(rows), len(class_names)
      ),
      label_N=np.array([class_names.index(row[1]) for row in rows], np.int32),
      group_N=np.array([row[2] for row in rows], np.str_),
      file_N=np.array([row[0] for row in rows], np.str_),
      class_names=class_names,
    )
  except (ValueError, IndexError):
    raise types.UserError(f'{path}: a line is cut short or not a number; evaluate the run again') from None
