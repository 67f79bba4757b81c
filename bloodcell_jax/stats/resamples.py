"""Resamples of whole groups, and every figure of each of them at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import intervals, metrics

# Resamples are drawn in blocks of so many counts (32 MB), whatever the number of groups.
BLOCK = 2**22


def blocks(num_groups: int, num_resamples: int, seed: int, num_columns: int = 0) -> Iterator[np.ndarray]:
  """How often each group is drawn, in blocks of about BLOCK counts, or values where a resample has `num_columns`."""
  size = max(1, BLOCK // max(num_groups, num_columns))
  for i, start in enumerate(range(0, num_resamples, size)):
    # A seed lies under 2**32, so that blocks of different seeds never share their draws. A counter would say the same,
    # but change figures that are published.
    yield groups.resample(num_groups, min(size, num_resamples - start), seed + (i << 32), 'bootstrap')


def combined(of_group: metrics.Sums, num_resamples: int, seed: int) -> metrics.Sums:
  """The sums [R, ...] of bootstrap resamples of the groups."""
  parts = [
    metrics.combine(of_group, times_RG) for times_RG in blocks(len(of_group.log_loss), num_resamples, seed)
  ]
  names = [field.name for field in dataclasses.fields(metrics.Sums)]
  return metrics.Sums(**{name: np.concatenate([getattr(b, name) for b in parts]) for name in names})


@dataclasses.dataclass(frozen=True)
class Figures:
  """Figures by name: of the whole set [1, ...], of each resample [R, ...], and without each group [G, ...]."""

  value: dict[str, np.ndarray]
  drawn: dict[str, np.ndarray]
  left_out: dict[str, np.ndarray]

  @classmethod
  def of(
    cls, predictions: types.Predictions | None, of_group: metrics.Sums, spec: intervals.Spec, seed: int
  ) -> Figures:
    """Those that follow from the sums and, where the predictions are given, the ROC areas."""
    num_groups = len(of_group.log_loss)
    found = cls(
      metrics.figures(metrics.combine(of_group, np.ones((1, num_groups)))),
      metrics.figures(combined(of_group, spec.num_resamples, seed)),
      metrics.figures(metrics.leave_one_out(of_group)),
    )
    if predictions is None:
      return found
    # Smaller blocks than those of the sums, because here each has a column an image; other draws do no harm.
    drawn = blocks(num_groups, spec.num_resamples, seed, len(predictions))
    areas = (
      metrics.roc_auc(predictions)[None],
      np.concatenate([metrics.roc_auc_resampled(predictions, times_RG) for times_RG in drawn]),
      np.concatenate(
        [
          metrics.roc_auc_resampled(predictions, 1 - np.eye(num_groups)[some])
          for some in np.array_split(np.arange(num_groups), -(-num_groups * len(predictions) // BLOCK))
        ]
      ),
    )
    for part, area in zip((found.value, found.drawn, found.left_out), areas, strict=True):
      part['roc_auc'] = area
      has = ~np.isnan(area)
      part['macro_roc_auc'] = np.where(
        has.any(-1), np.where(has, area, 0).sum(-1) / has.sum(-1).clip(1), np.nan
      )
    return found
