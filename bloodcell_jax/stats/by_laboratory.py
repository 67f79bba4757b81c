"""The figures of each laboratory whose images were scored together."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import bootstrap, calibration, intervals, unlike

FIGURES = ('accuracy', 'balanced_accuracy', 'macro_f1')


def summary(
  predictions: types.Predictions,
  laboratory_N: np.ndarray,
  rule: calibration.Calibration | None,
  spec: intervals.Spec,
  seed: int,
  judgement: unlike.Judgement | None,
) -> dict[str, dict[str, Any]]:
  """The entry `by_laboratory` of a split in `metrics.json`: a large laboratory hides what happens in a small one.

  Args:
    predictions: of the split.
    laboratory_N: str, the laboratory of each row.
    rule: the calibration of the run; None without one.
    spec: of the intervals, for which groups are resampled.
    seed: of the resamples.
    judgement: how unlike the training the images are; None where it is not known.

  Returns:
    By laboratory `num_images`, `num_groups`, FIGURES, and with a rule `named` and `error` as in the entry `doubt`.
  """
  entries: dict[str, dict[str, Any]] = {}
  for name in np.unique(laboratory_N).tolist():
    rows = np.flatnonzero(laboratory_N == name)
    own = predictions.take(rows)
    entries[name] = {
      'num_images': len(own),
      'num_groups': len(np.unique(own.group_N)),
      **bootstrap.figures(own, FIGURES, spec, seed),
    }
    if rule is not None:
      doubt = calibration.summary(rule, own, spec, seed, judgement and judgement.take(rows.tolist()))
      entries[name] |= {'named': doubt['named'], 'error': doubt['error']}
  return entries
