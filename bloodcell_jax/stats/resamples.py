"""Bootstrap resamples of whole groups, with all figures of all resamples computed at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import intervals, metrics, roc_area

# Counts in a block of resamples (32 MB).
BLOCK = 2**22


def blocks(num_groups: int, num_resamples: int, seed: int, num_columns: int = 0) -> Iterator[np.ndarray]:
  """Yields [r, G] how often each group is drawn, in blocks of about BLOCK counts.

  Args:
    num_groups: G.
    num_resamples: in all blocks together.
    seed: of the run.
    num_columns: values that the caller computes for each resample, if they are more than the counts.
  """
  size = max(1, BLOCK // max(num_groups, num_columns))
  for i, start in enumerate(range(0, num_resamples, size)):
    # Seeds are below 2**32, so blocks of different seeds never share draws. A counter would be clearer, but would
    # change published intervals.
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
  """Figures by name: of the whole set [1, ...], of each resample [R, ...], and leaving each group out [G, ...]."""

  value: dict[str, np.ndarray]
  drawn: dict[str, np.ndarray]
  left_out: dict[str, np.ndarray]

  @classmethod
  def compute(
    cls, predictions: types.Predictions | None, of_group: metrics.Sums, spec: intervals.Spec, seed: int
  ) -> Figures:
    """The figures that follow from the sums, and the ROC areas if predictions are given."""
    num_groups = len(of_group.log_loss)
    computed = cls(
      metrics.figures(metrics.combine(of_group, np.ones((1, num_groups)))),
      metrics.figures(combined(of_group, spec.num_resamples, seed)),
      metrics.figures(metrics.leave_one_out(of_group)),
    )
    if predictions is None:
      return computed
    # Smaller blocks than for the sums, because these arrays have a column per image; other draws do no harm.
    drawn = blocks(num_groups, spec.num_resamples, seed, len(predictions))
    areas = (
      roc_area.areas(predictions)[None],
      np.concatenate([roc_area.resampled(predictions, times_RG) for times_RG in drawn]),
      roc_area.left_out(predictions),
    )
    for part, area in zip((computed.value, computed.drawn, computed.left_out), areas, strict=True):
      part['roc_auc'] = area
      has = ~np.isnan(area)
      part['macro_roc_auc'] = np.where(
        has.any(-1), np.where(has, area, 0).sum(-1) / has.sum(-1).clip(1), np.nan
      )
    return computed
