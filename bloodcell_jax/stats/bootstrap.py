"""Figures with intervals that know that images of one photograph are not independent."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import numpy as np

from bloodcell_jax import groups, types
from bloodcell_jax.stats import metrics

# Under about ten clusters resampling them says little: in a simulation that looks like these data the 95 %
# interval of accuracy covers 93 % of the time at 68 groups with as many of each class as TEST, 85 % at 30
# drawn at random, 70 % at 12, which are so unequal in size that most sets count as fewer than ten; the exact
# one used there, 99 %.
FEW_GROUPS = 10.0
METHOD = 'BCa bootstrap of groups'
EXACT = 'Clopper-Pearson, groups by majority'
JOINT = 'Clopper-Pearson of the parts, Bonferroni, groups by majority'
STUDENT = "jackknife of groups, Student's t"
# Resamples are drawn in blocks of so many counts (32 MB), whatever the number of groups.
BLOCK = 2**22


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
  """The entry of one split in `metrics.json`; what cannot be computed is None.

  Each figure is `{value, low, high}`: the BCa interval over resamples of whole groups, drawn with replacement
  and not stratified, because which photographs a test set holds is itself chance. A resample that misses a
  class averages over the others: leaving such resamples out would keep just those in which a rare class is
  well represented, and covered less in simulation (83 against 87 % for balanced accuracy at 68 groups).

  Where a figure rests on fewer than ten groups (Kish's effective number), or all resamples agree, the
  bootstrap is falsely sure. Then accuracy and recall get the exact binomial interval of the groups whose
  majority is right (precision: of the groups called so), widened to hold the value; F1, macro F1 and balanced
  accuracy the interval that follows from those of their parts, jointly at the wanted confidence; the rest
  Student's t over a jackknife of groups. So does calibration error always: it is a sum of absolute values,
  which resampling biases upwards (BCa covered 74 %, the jackknife 87 %). `interval.exceptions` names these
  figures and their method.

  An interval of 95 % is a little too narrow: in simulations that look like TEST, with 4 groups of the rarest
  of four classes, it covers 91 to 93 % of the time for accuracy, balanced accuracy, macro F1, log loss and
  Brier score.

  **Guarantees**: `low <= value <= high` where all three are numbers; the same arguments give the same entry.

  Raises:
    UserError: no rows, or a probability that is none.

  Source: Efron 1987 (BCa); Field and Welsh 2007 (clusters); Clopper and Pearson 1934; Kish 1965, section
  11.7.
  """
  of_group, _ = metrics.sums(predictions)
  bounds = _Bounds(of_group, spec, seed)
  names = predictions.class_names
  area_K = metrics.roc_auc(predictions)
  return {
    'num_images': len(predictions),
    'num_groups': len(of_group.log_loss),
    'class_names': list(names),
    'confusion': of_group.confusion_KK.sum(0).astype(int).tolist(),
    **{name: bounds.entry(name) for name in metrics.NAMES},
    'per_class': {
      class_name: {
        **{name: bounds.entry(name, k, class_name) for name in metrics.PER_CLASS},
        'roc_auc': {'value': _plain(area_K[k])},
        'num_images': int((predictions.label_N == k).sum()),
        'num_groups': len(np.unique(predictions.group_N[predictions.label_N == k])),
      }
      for k, class_name in enumerate(names)
    },
    'by_group': _by_group(predictions, of_group, spec.confidence),
    'interval': {
      'method': METHOD,
      'unit': 'group',
      'confidence': spec.confidence,
      'num_resamples': spec.num_resamples,
      'exceptions': bounds.exceptions,
    },
  }


def resampled(of_group: metrics.Sums, num_resamples: int, seed: int) -> metrics.Sums:
  """The sums [R, ...] of bootstrap resamples of the groups."""
  num_groups = len(of_group.log_loss)
  size = max(1, BLOCK // num_groups)
  # A seed lies under 2**32, so that blocks of different seeds never share their draws.
  blocks = [
    metrics.combine(of_group, groups.resample(num_groups, min(size, num_resamples - start), seed + (i << 32)))
    for i, start in enumerate(range(0, num_resamples, size))
  ]
  names = [field.name for field in dataclasses.fields(metrics.Sums)]
  return metrics.Sums(**{name: np.concatenate([getattr(b, name) for b in blocks]) for name in names})


def percentile(drawn_R: np.ndarray, confidence: float) -> tuple[float, float]:
  """The interval between the quantiles of the resamples that have the figure; NaN where none has.

  Source: Efron and Tibshirani 1993, chapter 13.
  """
  drawn = drawn_R[~np.isnan(drawn_R)]
  if not len(drawn):
    return np.nan, np.nan
  low, high = np.quantile(drawn, ((1 - confidence) / 2, (1 + confidence) / 2))
  return float(low), float(high)


def bca(value: float, drawn_R: np.ndarray, left_out_G: np.ndarray, confidence: float) -> tuple[float, float]:
  """The bias-corrected and accelerated interval, widened to hold the value; NaN if no resample has it.

  Args:
    value: the figure of the whole set.
    drawn_R: of each resample.
    left_out_G: of the set without each group in turn, from which the acceleration follows.
    confidence: in (0, 1).

  Source: Efron 1987, "Better bootstrap confidence intervals"; ties count half, as in `scipy.stats.bootstrap`.
  """
  drawn, left_out = drawn_R[~np.isnan(drawn_R)], left_out_G[~np.isnan(left_out_G)]
  if np.isnan(value) or not len(drawn):
    return np.nan, np.nan
  below = ((drawn < value).sum() + (drawn <= value).sum()) / (2 * len(drawn))
  normal = statistics.NormalDist()
  # Half a resample from either end, where the normal quantile is infinite.
  bias = normal.inv_cdf(min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
  pull = left_out.mean() - left_out if len(left_out) else np.zeros(1)
  spread = (pull**2).sum() ** 1.5
  acceleration = (pull**3).sum() / (6 * spread) if spread > 0 else 0.0
  tails = bias + normal.inv_cdf((1 - confidence) / 2), bias + normal.inv_cdf((1 + confidence) / 2)
  # |acceleration| <= 1/6, so that only an extreme bias could turn the sign of the divisor.
  shares = [normal.cdf(bias + tail / max(1 - acceleration * tail, 1e-3)) for tail in tails]
  low, high = np.quantile(drawn, shares)
  return float(min(low, value)), float(max(high, value))


def student(value: float, left_out_G: np.ndarray, confidence: float) -> tuple[float, float]:
  """The value plus or minus Student's t times the jackknife's standard error; NaN of fewer than two groups.

  Source: Efron and Tibshirani 1993, section 11.2.
  """
  # Imported where it is used: scipy takes half a second to load and `experiment` imports this module.
  from scipy import special

  left_out = left_out_G[~np.isnan(left_out_G)]
  if len(left_out) < 2:
    return np.nan, np.nan
  error = np.sqrt((len(left_out) - 1) * left_out.var())
  half = special.stdtrit(len(left_out) - 1, (1 + confidence) / 2) * error
  return float(value - half), float(value + half)


def binomial(num_right: int, num: int, confidence: float) -> tuple[float, float]:
  """The exact interval of a share, `num_right` of `num`; (0, 1) of none.

  Source: Clopper and Pearson 1934, as quantiles of beta distributions.

  Example:
    >>> [round(bound, 3) for bound in binomial(62, 71, 0.95)]
    [0.773, 0.94]
  """
  from scipy import special

  tail = (1 - confidence) / 2
  low = special.betaincinv(num_right, num - num_right + 1, tail) if num_right else 0.0
  high = special.betaincinv(num_right + 1, num - num_right, 1 - tail) if num_right < num else 1.0
  return float(low), float(high)


def effective(size_G: np.ndarray) -> float:
  """How many groups of equal size would say as much as these: (sum of sizes)^2 / sum of squares.

  Source: Kish 1965, "Survey sampling", section 11.7.

  Example:
    >>> effective(np.array([10, 10, 10, 0])), round(effective(np.array([1000, 1, 1])), 2)
    (3.0, 1.0)
  """
  return float(size_G.sum() ** 2 / (size_G**2).sum()) if size_G.any() else 0.0


class _Bounds:
  """The interval of each figure, and which were not made by the bootstrap."""

  def __init__(self, of_group: metrics.Sums, spec: Spec, seed: int):
    self.exceptions: dict[str, str] = {}
    self._confidence = spec.confidence
    self._value = metrics.figures(metrics.combine(of_group, np.ones((1, len(of_group.log_loss)))))
    self._drawn = metrics.figures(resampled(of_group, spec.num_resamples, seed))
    self._left_out = metrics.figures(metrics.leave_one_out(of_group))
    counts_GKK = of_group.confusion_KK
    self._actual_GK, self._called_GK = counts_GKK.sum(2), counts_GKK.sum(1)
    self._label_G, self._majority_G = metrics.majority(counts_GKK)

  def entry(self, name: str, k: int | None = None, class_name: str = '') -> dict[str, float | None]:
    """`{value, low, high}` of a figure, of class `k` where it is one of a class."""
    value, drawn_R, left_out_G = (
      part[name] if k is None else part[name][..., k] for part in (self._value, self._drawn, self._left_out)
    )
    value = value.item()
    if np.isnan(value):
      return {'value': None, 'low': None, 'high': None}
    low, high = bca(value, drawn_R, left_out_G, self._confidence)
    # The bounds are rounded quantiles: equal resamples can differ in the last bit.
    if self._few(name, k) or high - low < 1e-12:
      method, low, high = self._without_resampling(name, k, value, left_out_G)
      self.exceptions[f'per_class.{class_name}.{name}' if class_name else name] = method
    return {'value': value, 'low': _plain(low), 'high': _plain(high)}

  def _few(self, name: str, k: int | None) -> bool:
    if k is None:
      return name == 'ece' or effective(self._actual_GK.sum(1)) < FEW_GROUPS
    actual, called = effective(self._actual_GK[:, k]), effective(self._called_GK[:, k])
    return {'recall': actual, 'precision': called, 'f1': min(actual, called)}[name] < FEW_GROUPS

  def _without_resampling(
    self, name: str, k: int | None, value: float, left_out_G: np.ndarray
  ) -> tuple[str, float, float]:
    present = [int(j) for j in np.flatnonzero(self._actual_GK.any(0))]
    if name in ('accuracy', 'precision', 'recall'):
      method, (low, high) = EXACT, self._exact(name, k, self._confidence)
    elif name in ('f1', 'macro_f1', 'balanced_accuracy'):
      classes = present if k is None else [k]
      parts = len(classes) * (1 if name == 'balanced_accuracy' else 2)
      each = 1 - (1 - self._confidence) / parts
      low, high = np.mean([self._part(name, j, each) for j in classes], axis=0)
      method = JOINT
    else:
      method, (low, high) = STUDENT, student(value, left_out_G, self._confidence)
      low, high = np.clip((low, high), 0, {'log_loss': np.inf, 'brier': 2, 'ece': 1}[name])
    return method, float(np.minimum(low, value)), float(np.maximum(high, value))

  def _part(self, name: str, k: int, confidence: float) -> tuple[float, float]:
    recall = self._exact('recall', k, confidence)
    if name == 'balanced_accuracy':
      return recall
    precision = self._exact('precision', k, confidence)
    # F1 rises with both, so that its bounds are those of its parts.
    low, high = (2 * p * r / (p + r) if p * r else 0.0 for p, r in zip(precision, recall, strict=True))
    return low, high

  def _exact(self, name: str, k: int | None, confidence: float) -> tuple[float, float]:
    right_G = self._label_G == self._majority_G
    of = {'recall': self._label_G, 'precision': self._majority_G}.get(name)
    chosen_G = np.ones_like(right_G) if of is None else of == k
    return binomial(int(right_G[chosen_G].sum()), int(chosen_G.sum()), confidence)


def _by_group(predictions: types.Predictions, of_group: metrics.Sums, confidence: float) -> dict[str, Any]:
  """How many groups get their label by a vote of their images, with the exact binomial interval."""
  label_G, majority_G = metrics.majority(of_group.confusion_KK)
  mean_G, _ = metrics.mean_vote(predictions)
  votes = {}
  for name, called_G in (('majority', majority_G), ('mean_probability', mean_G)):
    num_right, num = int((called_G == label_G).sum()), len(label_G)
    low, high = binomial(num_right, num, confidence)
    votes[name] = {
      'value': num_right / num,
      'low': low,
      'high': high,
      'num_right': num_right,
      'num_groups': num,
    }
  return votes


def _plain(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None
