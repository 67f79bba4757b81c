"""Bootstrap resamples of whole groups, with all figures of all resamples computed at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import intervals, metrics, roc_area

# Counts in a block of resamples (32 MB).
BLOCK = 2**22
_FIELDS = tuple(field.name for field in dataclasses.fields(metrics.Sums))


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
  return metrics.Sums(**{name: np.concatenate([getattr(b, name) for b in parts]) for name in _FIELDS})


@dataclasses.dataclass(frozen=True)
class _OfClass:
  """The images of one class: its share of the population, their sums by group, and which groups these are."""

  share: float
  of_group: metrics.Sums
  group_g: np.ndarray  # indices among all G

  def without_each(self, num_groups: int) -> metrics.Sums:
    """The sums [G, ...] of the class without each group in turn."""

    def without(part: np.ndarray) -> np.ndarray:
      total = np.repeat(part.sum(0)[None], num_groups, axis=0)
      total[self.group_g] -= part
      return total

    return metrics.Sums(*(without(getattr(self.of_group, name)) for name in _FIELDS))


@dataclasses.dataclass(frozen=True)
class Figures:
  """Figures by name: of the whole set [1, ...], of each resample [R, ...], and leaving each group out [G, ...]."""

  value: dict[str, np.ndarray]
  drawn: dict[str, np.ndarray]
  left_out: dict[str, np.ndarray]

  @classmethod
  def at_prevalence(cls, predictions: types.Predictions, spec: intervals.Spec, seed: int) -> Figures:
    """The figures that follow from sums, in a population with the class shares of the spec.

    The shares are known, so that every resample is weighted to have them, and not the whole set alone. A resample that
    lacks a class has the other shares in proportion.

    Source: Holt and Smith 1979, "Post stratification".
    """
    group_names = np.unique(predictions.group_N)
    num_groups, classes = len(group_names), []
    for k, share in enumerate(spec.prevalence):
      if share > 0:
        of_class, names_g = metrics.sums(predictions.take(np.flatnonzero(predictions.label_N == k)))
        classes.append(_OfClass(share, of_class, np.searchsorted(group_names, names_g)))

    def drawn(times_RG: np.ndarray) -> dict[str, np.ndarray]:
      sums = _at_shares(classes, lambda one: metrics.combine(one.of_group, times_RG[:, one.group_g]))
      return metrics.figures(sums)

    parts = [drawn(times_RG) for times_RG in blocks(num_groups, spec.num_resamples, seed)]
    return cls(
      drawn(np.ones((1, num_groups))),
      {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
      metrics.figures(_at_shares(classes, lambda one: one.without_each(num_groups))),
    )

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


def _at_shares(classes: list[_OfClass], sums_of: Callable[[_OfClass], metrics.Sums]) -> metrics.Sums:
  """The sums over all classes, each weighted to its share in every set in which it has an image."""
  total: dict[str, np.ndarray] = {}
  for one in classes:
    sums = sums_of(one)
    num_S = sums.actual_K.sum(-1)
    weight_S = np.divide(one.share, num_S, out=np.zeros_like(num_S), where=num_S > 0)
    for name in _FIELDS:
      part = getattr(sums, name)
      total[name] = total.get(name, 0) + part * weight_S.reshape(-1, *[1] * (part.ndim - 1))
  return metrics.Sums(**total)
