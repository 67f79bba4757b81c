"""Figures with intervals that know that images of one photograph are not independent."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bloodcell_jax import groups, types
from bloodcell_jax.stats import metrics


@dataclasses.dataclass(frozen=True)
class Spec:
  """How intervals are made."""

  num_resamples: int  # of the groups, >= 100
  confidence: float  # in (0, 1), such as 0.95

  def __post_init__(self):
    if self.num_resamples < 100:
      raise types.UserError(f'evaluate.num_resamples is {self.num_resamples}; it must be 100 or more')
    if not 0 < self.confidence < 1:
      raise types.UserError(f'evaluate.confidence is {self.confidence}; it must lie in (0, 1)')


def summary(predictions: types.Predictions, spec: Spec, seed: int) -> dict[str, Any]:
  """The entry of one split in `metrics.json`.

  Each figure is `{value, low, high}`: the percentile interval over resamples of whole groups, drawn with
  replacement and not stratified, because which photographs a test set holds is itself chance. What cannot be
  computed is None.

  Source: Efron and Tibshirani 1993, chapter 13 (percentile); Field and Welsh 2007 (clusters).
  """
  of_group, group_names = metrics.sums(predictions)
  num_groups = len(group_names)
  value = metrics.figures(metrics.combine(of_group, np.ones((1, num_groups))))
  times_RG = groups.resample(num_groups, spec.num_resamples, seed)
  drawn = metrics.figures(metrics.combine(of_group, times_RG))
  tail = (1 - spec.confidence) / 2
  bounds = {name: _quantiles(drawn[name], (tail, 1 - tail)) for name in drawn}
  names = predictions.class_names

  def entry(name: str, *k: int) -> dict[str, float | None]:
    low, high = bounds[name]
    return {'value': _plain(value[name][(0, *k)]), 'low': _plain(low[k]), 'high': _plain(high[k])}

  return {
    'num_images': len(predictions),
    'num_groups': num_groups,
    'class_names': list(names),
    'confusion': of_group.confusion_KK.sum(0).astype(int).tolist(),
    **{name: entry(name) for name in metrics.NAMES},
    'per_class': {
      class_name: {
        **{name: entry(name, k) for name in metrics.PER_CLASS},
        'num_images': int((predictions.label_N == k).sum()),
        'num_groups': len(np.unique(predictions.group_N[predictions.label_N == k])),
      }
      for k, class_name in enumerate(names)
    },
    'interval': {
      'method': 'percentile bootstrap of groups',
      'confidence': spec.confidence,
      'num_resamples': spec.num_resamples,
    },
  }


def _quantiles(values: np.ndarray, shares: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
  """Of the resamples [R, ...] that have the figure; NaN where none has."""
  known = ~np.isnan(values)
  if known.all():
    low, high = np.quantile(values, shares, axis=0)
    return low, high
  bounds = np.full((2, *values.shape[1:]), np.nan)
  for index in np.ndindex(values.shape[1:]):
    column = values[(slice(None), *index)]
    if known[(slice(None), *index)].any():
      bounds[(slice(None), *index)] = np.quantile(column[~np.isnan(column)], shares)
  return bounds[0], bounds[1]


def _plain(value: Any) -> float | None:
  return None if np.isnan(value) else float(value)
