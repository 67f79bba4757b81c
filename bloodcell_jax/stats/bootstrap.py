"""Figures of merit with confidence intervals by group, because images of one photograph are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import intervals, metrics, resamples

EXACT = (
  'Clopper-Pearson interval of the share of groups with a right majority vote, widened to contain the figure and its '
  "interval by Student's t over a jackknife of groups"
)
JOINT = (
  'from Clopper-Pearson intervals of its parts by majority vote of groups, with Bonferroni correction, widened to '
  "contain that of the figure by Student's t over a jackknife of groups"
)
# A mean over classes is as uncertain as its least known class: of two groups resampling says too little.
LEAST_OF_CLASS = 3.0
_MEANS_OF_CLASSES = ('balanced_accuracy', 'macro_f1')


def summary(predictions: types.Predictions, spec: intervals.Spec, seed: int) -> dict[str, Any]:
  """The entry of one split in `metrics.json`; what cannot be computed is None.

  Each figure is `{value, low, high}`: the interval over resamples of whole groups, drawn with replacement and not
  stratified, because the photographs in a test set are themselves a random sample. In a resample that lacks a class,
  means are taken over the others: dropping such resamples would keep only those in which a rare class is well
  represented.

  If a figure rests on fewer than ten groups (Kish's effective number), a mean over classes on a class of fewer than
  three, or all resamples agree, the bootstrap interval is too narrow. Then accuracy and recall get the
  Clopper-Pearson interval of another share, that of groups whose majority vote is right (precision: among groups with
  that vote): exact for that share, not for the figure, which counts images. F1, macro F1 and balanced accuracy get
  the interval that follows from those of their parts, jointly at the given confidence. All of these are widened to
  contain the value and Student's t over a jackknife of groups. The rest get Student's t alone, or none where a group
  cannot be left out, such as the only one of a class. So does calibration error in any case: it is a sum of absolute
  values, which resampling biases upwards; its 95 % interval covers 87 % of the time with the groups of TEST and 76 %
  with 12. `interval.exceptions` names these figures and their method.

  With a prevalence in the spec, `at_prevalence` has the figures of a population with those class shares: images are
  weighted by the ratio of the two shares of their class, in each resample by its own. None if the set lacks a class.

  A 95 % interval is a little too narrow: in simulations modelled on TEST, with 4 groups of the rarest of four
  classes, it covers 89 to 92 % of the time for all figures but calibration error
  (`python -m benchmarks.coverage --trials=200`, standard error 1.5 points).

  **Guarantees**: `low <= value <= high` where all three are numbers; the same arguments give the same entry.

  Raises:
    UserError: there are no rows, or a probability is not in [0, 1].

  Source: Efron 1987 (BCa); Field and Welsh 2007 (clusters); Clopper and Pearson 1934; Kish 1965, section
  11.7.
  """
  of_group, _ = metrics.sums(predictions)
  bounds = _Bounds(resamples.Figures.compute(predictions, of_group, spec, seed), of_group, spec, exact=True)
  names = predictions.class_names
  return {
    'num_images': len(predictions),
    'num_groups': len(of_group.log_loss),
    'class_names': list(names),
    'confusion': metrics.confusion(predictions).tolist(),
    **{figure.name: bounds.entry(figure) for figure in metrics.FIGURES},
    'per_class': {
      class_name: {
        **{figure.name: bounds.entry(figure, k, class_name) for figure in metrics.PER_CLASS},
        'num_images': int((predictions.label_N == k).sum()),
        'num_groups': len(np.unique(predictions.group_N[predictions.label_N == k])),
      }
      for k, class_name in enumerate(names)
    },
    'by_group': _by_group(predictions, of_group, spec.confidence),
    **({'at_prevalence': _at_prevalence(predictions, spec, seed)} if spec.prevalence else {}),
    'interval': {
      'method': intervals.METHODS[spec.interval],
      'unit': 'group',
      'confidence': spec.confidence,
      'num_resamples': spec.num_resamples,
      'exceptions': bounds.exceptions,
    },
  }


def figures(
  predictions: types.Predictions, names: Sequence[str], spec: intervals.Spec, seed: int
) -> dict[str, dict[str, float | None]]:
  """`{value, low, high}` of these figures, as in `summary`; only figures that follow from sums."""
  of_group, _ = metrics.sums(predictions)
  bounds = _Bounds(resamples.Figures.compute(None, of_group, spec, seed), of_group, spec, exact=True)
  return {figure.name: bounds.entry(figure) for figure in metrics.FIGURES if figure.name in names}


def ratio(
  above_G: np.ndarray, below_G: np.ndarray, spec: intervals.Spec, seed: int
) -> dict[str, float | None]:
  """`{value, low, high}` of the ratio of the sums of `above_G` and `below_G`, with groups resampled.

  If the effective number of groups by `below_G` is below ten, or all resamples agree, the interval is Student's t
  over a jackknife, clipped at 0 and, for a share, at 1. If all groups agree on a share of 0 or 1, it is the
  Clopper-Pearson interval of as many groups; if they agree on another value, there is none.

  Args:
    above_G: numerator of each group, such as its misclassified images.
    below_G: denominator of each group, such as its accepted images; not negative.
    spec: of the interval.
    seed: of the resamples.
  """
  with np.errstate(invalid='ignore', divide='ignore'):
    value = above_G.sum() / below_G.sum()
    if not np.isfinite(value):
      return {'value': None, 'low': None, 'high': None}
    pair_G2 = np.stack([above_G, below_G], 1).astype(float)
    drawn_R2 = np.concatenate(
      [times_RG @ pair_G2 for times_RG in resamples.blocks(len(pair_G2), spec.num_resamples, seed)]
    )
    left_out_G2 = pair_G2.sum(0) - pair_G2
    drawn_R, left_out_G = drawn_R2[:, 0] / drawn_R2[:, 1], left_out_G2[:, 0] / left_out_G2[:, 1]
  low, high = intervals.resampled(value, drawn_R, left_out_G, spec)
  if intervals.effective(below_G) < intervals.FEW_GROUPS or not high - low > 1e-12:
    low, high = intervals.student(value, left_out_G, spec.confidence)
    is_share = bool((above_G <= below_G).all())
    low, high = np.clip((low, high), 0, 1.0 if is_share else np.inf)
    if not high - low > 1e-12:
      # The jackknife has no information about the spread.
      num = int(np.count_nonzero(below_G))
      is_exact = is_share and value in (0, 1)
      low, high = intervals.binomial(num * int(value), num, spec.confidence) if is_exact else (np.nan, np.nan)
  return {'value': float(value), 'low': _finite_or_none(low), 'high': _finite_or_none(high)}


def _at_prevalence(predictions: types.Predictions, spec: intervals.Spec, seed: int) -> dict[str, Any] | None:
  """The figures that follow from sums, in a population with the class shares of the spec."""
  spec.check_classes(predictions.class_names)
  weight_N = metrics.prevalence_weights(predictions, spec.prevalence)
  if weight_N is None:
    return None
  of_group, _ = metrics.sums(predictions, weight_N)
  bounds = _Bounds(resamples.Figures.at_prevalence(predictions, spec, seed), of_group, spec, exact=False)
  return {
    'prevalence': dict(zip(predictions.class_names, spec.prevalence, strict=True)),
    **{figure.name: bounds.entry(figure) for figure in _from_sums(metrics.FIGURES)},
    'per_class': {
      class_name: {
        figure.name: bounds.entry(figure, k, class_name) for figure in _from_sums(metrics.PER_CLASS)
      }
      for k, class_name in enumerate(predictions.class_names)
    },
  }


class _Bounds:
  """The interval of each figure, and the exceptions whose interval is not from the bootstrap."""

  def __init__(self, resampled: resamples.Figures, of_group: metrics.Sums, spec: intervals.Spec, exact: bool):
    self.exceptions: dict[str, str] = {}
    self._resampled, self._spec, self._is_exact = resampled, spec, exact
    self._actual_GK, self._predicted_GK = of_group.actual_K, of_group.predicted_K
    self._actual_G, self._present_K = self._actual_GK.sum(1), np.flatnonzero(self._actual_GK.any(0)).tolist()
    self._least_of_class = min(intervals.effective(self._actual_GK[:, k]) for k in self._present_K)
    self._label_G, self._majority_G = metrics.majority(of_group)

  def entry(
    self, figure: metrics.Figure, k: int | None = None, class_name: str = ''
  ) -> dict[str, float | None]:
    """`{value, low, high}` of a figure; for a figure per class, of class `k`."""
    name = figure.name
    value, drawn_R, left_out_G = (
      part[name] if k is None else part[name][..., k]
      for part in (self._resampled.value, self._resampled.drawn, self._resampled.left_out)
    )
    value = value.item()
    if np.isnan(value):
      return {'value': None, 'low': None, 'high': None}
    low, high = intervals.resampled(value, drawn_R, left_out_G, self._spec)
    # Quantiles are rounded: bounds of equal resamples can differ in the last bit.
    if self._rests_on_few_groups(figure, k) or high - low < 1e-12:
      method, low, high = self._without_resampling(figure, k, value, left_out_G)
      self.exceptions[f'per_class.{class_name}.{name}' if class_name else name] = method
    return {'value': value, 'low': _finite_or_none(low), 'high': _finite_or_none(high)}

  def _rests_on_few_groups(self, figure: metrics.Figure, k: int | None) -> bool:
    if k is None:
      if figure.name in _MEANS_OF_CLASSES and self._least_of_class < LEAST_OF_CLASS:
        return True
      return not figure.is_resampled or intervals.effective(self._actual_G) < intervals.FEW_GROUPS
    actual, predicted = (
      intervals.effective(self._actual_GK[:, k]),
      intervals.effective(self._predicted_GK[:, k]),
    )
    others = intervals.effective(self._actual_G - self._actual_GK[:, k])
    rests_on = {
      'recall': actual,
      'precision': predicted,
      'f1': min(actual, predicted),
      'roc_auc': min(actual, others),
    }
    return rests_on[figure.name] < intervals.FEW_GROUPS

  def _without_resampling(
    self, figure: metrics.Figure, k: int | None, value: float, left_out_G: np.ndarray
  ) -> tuple[str, float, float]:
    name, confidence = figure.name, self._spec.confidence
    low, high = intervals.student(value, left_out_G[self._counts_for(name, k)], confidence)
    low, high = np.clip((low, high), figure.low, figure.high)
    if self._is_exact and name in ('accuracy', 'precision', 'recall'):
      method, exact = EXACT, self._exact(name, k, confidence)
    elif self._is_exact and name in ('f1', 'macro_f1', 'balanced_accuracy'):
      classes = self._present_K if k is None else [k]
      parts = len(classes) * (1 if name == 'balanced_accuracy' else 2)
      each = 1 - (1 - confidence) / parts
      method, exact = JOINT, tuple(np.mean([self._part(name, j, each) for j in classes], axis=0))
    else:
      # If all groups agree, as under a perfect ranking, the jackknife has no information about the spread.
      method, exact = intervals.STUDENT, (np.nan, np.nan)
      low, high = (low, high) if high - low > 1e-12 else exact
    # Of a single group there is no jackknife.
    low, high = np.fmin(low, exact[0]), np.fmax(high, exact[1])
    return method, float(np.minimum(low, value)), float(np.maximum(high, value))

  def _counts_for(self, name: str, k: int | None) -> np.ndarray:
    """[G] bool: groups without which a figure would be another; the rest would only add degrees of freedom."""
    if k is None:
      return np.ones(len(self._actual_G), bool)
    actual_G, predicted_G = self._actual_GK[:, k] > 0, self._predicted_GK[:, k] > 0
    counts = {'recall': actual_G, 'precision': predicted_G, 'f1': actual_G | predicted_G}
    return counts.get(name, np.ones(len(self._actual_G), bool))

  def _part(self, name: str, k: int, confidence: float) -> tuple[float, float]:
    recall = self._exact('recall', k, confidence)
    if name == 'balanced_accuracy':
      return recall
    precision = self._exact('precision', k, confidence)
    # F1 increases with both, so its bounds follow from theirs.
    low, high = (2 * p * r / (p + r) if p * r else 0.0 for p, r in zip(precision, recall, strict=True))
    return low, high

  def _exact(self, name: str, k: int | None, confidence: float) -> tuple[float, float]:
    right_G = self._label_G == self._majority_G
    class_G = {'recall': self._label_G, 'precision': self._majority_G}.get(name)
    chosen_G = np.ones_like(right_G) if class_G is None else class_G == k
    return intervals.binomial(int(right_G[chosen_G].sum()), int(chosen_G.sum()), confidence)


def _by_group(predictions: types.Predictions, of_group: metrics.Sums, confidence: float) -> dict[str, Any]:
  """The share of groups whose images vote for the right label, with the exact binomial interval."""
  label_G, majority_G = metrics.majority(of_group)
  mean_G, _ = metrics.mean_vote(predictions)
  votes = {}
  for name, predicted_G in (('majority', majority_G), ('mean_probability', mean_G)):
    num_right, num = int((predicted_G == label_G).sum()), len(label_G)
    low, high = intervals.binomial(num_right, num, confidence)
    votes[name] = {
      'value': num_right / num,
      'low': low,
      'high': high,
      'num_right': num_right,
      'num_groups': num,
    }
  return votes


def _from_sums(figures: Sequence[metrics.Figure]) -> list[metrics.Figure]:
  return [figure for figure in figures if figure.function is not None]


def _finite_or_none(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None
