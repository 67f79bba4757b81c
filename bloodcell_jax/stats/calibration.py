"""Calibration on validation: temperature, abstention threshold and conformal sets.

Everything here is fitted on validation predictions and applied to others. The validation rows must be of
photographs that training did not see; with leaked rows every guarantee is too optimistic. Where validation has also
chosen the epoch or fitted weights, as it does in a run, the guarantees hold approximately.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import bootstrap, conformal, intervals, metrics, unlike

# Bounds of the search for the temperature, as natural logarithms: from 1/20 to 20, far beyond values seen in practice.
LOG_TEMPERATURES = (-3.0, 3.0)
# Weight of the uncertain group in the fit of the temperature, in groups of validation: near the best for new images in
# every row of `benchmarks/temperature.py`, and without effect where there are many groups.
UNCERTAIN = 0.1
# With one more group, accepted and wrong, the error rate may be at most this many times `max_error`.
MARGIN = 2
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Spec:
  """Targets of the calibration."""

  max_error: float  # in (0, 1): error rate allowed among the accepted images, every group counted once
  miscoverage: float  # in (0, 1): share of images whose set of classes may miss the label
  conformal_score: str  # one of `conformal.SCORES`

  def __post_init__(self):
    for name in ('max_error', 'miscoverage'):
      if not 0 < getattr(self, name) < 1:
        raise types.UserError(f'evaluate.{name} is {getattr(self, name)}; it must lie in (0, 1)')
    if self.conformal_score not in conformal.SCORES:
      raise types.UserError(
        f'evaluate.conformal_score is {self.conformal_score!r}; choose one of {", ".join(conformal.SCORES)}'
      )


@dataclasses.dataclass(frozen=True)
class Calibration:
  """A fitted calibration."""

  temperature: float  # > 0, divides the logits; above 1 if the network was overconfident
  max_error: float  # target of the threshold
  threshold: float | None  # lowest confidence, at this temperature, of an accepted image; None rejects all
  conformal: conformal.Conformal
  num_images: int  # of validation
  num_groups: int


def fit(predictions: types.Predictions, spec: Spec, laboratory_N: np.ndarray) -> Calibration:
  """Fits all three parts on validation, so that the targets hold in each laboratory, and not only in the largest.

  Every group of a laboratory has the same weight, and in the temperature every laboratory.
  Which laboratories count as one, because they have few groups: `groups.of_laboratories`.

  Args:
    predictions: of the validation rows, as the network returns them.
    spec: targets.
    laboratory_N: number of each row's laboratory; zeros if there is one.

  Raises:
    UserError: validation has fewer than two groups.
  """
  weight_N = groups.equal_laboratories(laboratory_N, predictions.group_N)
  return fit_at(fit_temperature(predictions, weight_N), predictions, spec, laboratory_N)


def fit_at(
  temperature: float, predictions: types.Predictions, spec: Spec, laboratory_N: np.ndarray
) -> Calibration:
  """As `fit`, at a given temperature: 1 for predictions that are calibrated already."""
  at_temperature = scaled(predictions, temperature)
  inside_LN = groups.of_laboratories(laboratory_N, predictions.group_N)
  # A set that contains the label often enough in one laboratory, does so in those with a lower limit as well.
  sets = [
    conformal.fit(at_temperature.take(np.flatnonzero(inside_N)), spec.conformal_score, spec.miscoverage)
    for inside_N in inside_LN
  ]
  return Calibration(
    temperature=temperature,
    max_error=spec.max_error,
    threshold=abstention_threshold(at_temperature, spec.max_error, inside_LN),
    conformal=max(sets, key=lambda rule: rule.limit),
    num_images=len(predictions),
    num_groups=len(np.unique(predictions.group_N)),
  )


def is_accepted(calibration: Calibration, scaled: types.Predictions) -> np.ndarray:
  """[N] True for images with enough confidence; the classifier abstains on the others, which need review.

  Args:
    calibration: with the threshold.
    scaled: predictions at the calibration's temperature.
  """
  if calibration.threshold is None:
    return np.zeros(len(scaled), bool)
  return scaled.probs_NK.max(1) >= calibration.threshold


def summary(
  calibration: Calibration,
  predictions: types.Predictions,
  spec: intervals.Spec,
  seed: int,
  judgement: unlike.Judgement | None,
) -> dict[str, Any]:
  """The entry `doubt` of a split in `metrics.json`: the calibration evaluated on these images, groups resampled.

  `calibrated` has the figures that the temperature changes; `named` is the share of accepted images and `error` the
  error rate among them; `covered` is the share of images whose set contains the label. Images that the judgement
  withholds are not accepted; unlike ones have no set.
  """
  at_temperature = scaled(predictions, calibration.temperature)
  accepted_N = is_accepted(calibration, at_temperature)
  unlike_N = np.zeros(len(predictions), bool)
  if judgement is not None:
    accepted_N, unlike_N = accepted_N & ~judgement.withheld_N, judgement.is_unlike_N
  wrong_N = at_temperature.probs_NK.argmax(1) != at_temperature.label_N
  set_NK = conformal.sets(calibration.conformal, at_temperature.probs_NK)
  covered_N = set_NK[np.arange(len(predictions)), predictions.label_N] & ~unlike_N
  _, group_N = np.unique(predictions.group_N, return_inverse=True)

  def share(above_N: np.ndarray, below_N: np.ndarray) -> dict[str, float | None]:
    above_G, below_G = (np.bincount(group_N, weights=values_N) for values_N in (above_N, below_N))
    return bootstrap.ratio(above_G, below_G, spec, seed)

  all_N, size_M = np.ones(len(predictions)), set_NK[~unlike_N].sum(1)
  return {
    'temperature': calibration.temperature,
    'calibrated': bootstrap.figures(at_temperature, ('log_loss', 'brier', 'ece'), spec, seed),
    'max_error': calibration.max_error,
    'threshold': calibration.threshold,
    'named': share(accepted_N, all_N),
    'error': share(accepted_N & wrong_N, accepted_N),
    'num_named': int(accepted_N.sum()),
    'miscoverage': calibration.conformal.miscoverage,
    'conformal_score': calibration.conformal.score,
    'covered': share(covered_N, ~unlike_N),
    'mean_set_size': float(size_M.mean()) if len(size_M) else None,
    'set_sizes': np.bincount(size_M, minlength=set_NK.shape[1] + 1).tolist(),
  }


def fit_temperature(predictions: types.Predictions, weight_N: np.ndarray) -> float:
  """The temperature T > 0 that minimises the weighted log loss of `softmax(log p / T)`; above 1: overconfident.

  Where validation has no error, or next to none, this loss falls without end as T falls to 0. An uncertain group is
  therefore added, with the weight of `UNCERTAIN` groups: one image with the mean probabilities of the rest in order of
  rank, of which every class may be the label that has a chance above 0. Its influence vanishes with more groups.

  Args:
    predictions: of the validation rows.
    weight_N: >= 0, such as `groups.equal_weights`, or ones to count images.

  Raises:
    UserError: there are fewer than two groups.

  Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2; Platt 1999, "Probabilistic outputs
  for support vector machines", section 2.2, for less than certain labels against overfitting.
  """
  # Imported here: it takes a third of a second to load and few commands need it.
  from scipy import optimize

  num_groups = len(np.unique(predictions.group_N))
  if num_groups < 2:
    raise types.UserError('a temperature needs validation images of two groups or more')
  log_NK = np.log(np.maximum(predictions.probs_NK, metrics.TINY))
  rows = np.arange(len(predictions))
  weight_N = weight_N / weight_N.sum()
  by_rank_K = weight_N @ np.sort(predictions.probs_NK, 1).astype(float)
  # A vote leaves some ranks without a chance.
  log_by_rank_M = np.log(by_rank_K[by_rank_K > 0])

  def loss(log_temperature: float) -> float:
    scaled_NK = log_NK / np.exp(log_temperature)
    scaled_NK -= scaled_NK.max(1, keepdims=True)
    loss_N = np.log(np.exp(scaled_NK).sum(1)) - scaled_NK[rows, predictions.label_N]
    scaled_M = log_by_rank_M / np.exp(log_temperature)
    scaled_M -= scaled_M.max()
    uncertain = np.log(np.exp(scaled_M).sum()) - scaled_M.mean()
    return float(weight_N @ loss_N + UNCERTAIN / num_groups * uncertain)

  # The loss is convex in 1/T, so there is one minimum.
  result = optimize.minimize_scalar(loss, bounds=LOG_TEMPERATURES, method='bounded', options={'xatol': 1e-6})
  return float(np.exp(result.x))


def scaled(predictions: types.Predictions, temperature: float) -> types.Predictions:
  """The predictions at a temperature; the class with the highest probability stays the same.

  Example:
    >>> ones = np.zeros(1, np.int32)
    >>> before = types.Predictions(np.array([[.8, .2]]), ones, ones.astype(str), ones.astype(str), ('A', 'B'))
    >>> scaled(before, 2.0).probs_NK.round(3)
    array([[0.667, 0.333]])
  """
  if not temperature > 0:
    raise ValueError(f'the temperature is {temperature}; it must be above 0')
  log_NK = np.log(np.maximum(predictions.probs_NK, metrics.TINY)) / temperature
  probs_NK = np.exp(log_NK - log_NK.max(1, keepdims=True))
  return dataclasses.replace(predictions, probs_NK=probs_NK / probs_NK.sum(1, keepdims=True))


def risk_coverage(predictions: types.Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Thresholds of confidence, highest first, and for each the share of accepted images and their error rate.

  An image is accepted if its confidence reaches the threshold; images of equal confidence are accepted together.

  Source: El-Yaniv and Wiener 2010, "On the foundations of noise-free selective classification".
  """
  confidence_N = predictions.probs_NK.max(1)
  order = np.argsort(-confidence_N, kind='stable')
  wrong = (predictions.probs_NK.argmax(1) != predictions.label_N)[order]
  sorted_N = confidence_N[order]
  last = np.append(sorted_N[:-1] != sorted_N[1:], True)
  num_accepted = np.arange(1, len(predictions) + 1)
  return sorted_N[last], (num_accepted / len(predictions))[last], (np.cumsum(wrong) / num_accepted)[last]


def abstention_threshold(
  predictions: types.Predictions, max_error: float, inside_LN: Sequence[np.ndarray]
) -> float | None:
  """The lowest confidence at which the accepted images have at most this error rate; None if there is none.

  In each laboratory every group counts once, divided among its images, as in `conformal.fit`. The error rate may be at
  most `max_error`, and at most `MARGIN` times that with one more group, accepted and wrong. This second condition
  decides where few groups are accepted: none wrong of three is no evidence of an error rate of 5 %. `least_groups` says
  how many it takes.

  The error rate on new groups is at most `MARGIN` times `max_error` in expectation for a threshold that is fixed
  beforehand. This one is chosen among many, which is optimistic: judge it on a test set, with intervals by group.

  Args:
    predictions: at the temperature of the calibration.
    max_error: the error rate, 0 to 1.
    inside_LN: the rows of each laboratory, in each of which the error rate must hold, as from `groups.of_laboratories`.

  Source: Angelopoulos et al. 2022, "Conformal risk control", for the group that is added.
  """
  confidence_N = predictions.probs_NK.max(1)
  order = np.argsort(-confidence_N, kind='stable')
  wrong_N = (predictions.probs_NK.argmax(1) != predictions.label_N)[order]
  sorted_N = confidence_N[order]
  # Images of equal confidence are accepted together.
  is_allowed_N = np.append(sorted_N[:-1] != sorted_N[1:], True)
  for inside_N in inside_LN:
    weight_N = np.zeros(len(order))
    inside = np.flatnonzero(inside_N)
    number_N = groups.numbers(predictions.group_N[inside])
    weight_N[inside] = 1 / np.bincount(number_N)[number_N]
    accepted_N, error_N = np.cumsum(weight_N[order]), np.cumsum(weight_N[order] * wrong_N)
    # The slack only covers the rounding of the sums.
    is_allowed_N &= error_N <= max_error * accepted_N + _ROUNDING
    is_allowed_N &= error_N + 1 <= MARGIN * max_error * (accepted_N + 1) + _ROUNDING
  allowed = np.flatnonzero(is_allowed_N)
  return float(sorted_N[allowed[-1]]) if len(allowed) else None


def left_for_review(calibration: Calibration | None) -> str:
  """A line about a calibration that accepts no image; '' for any other."""
  if calibration is None or calibration.threshold is not None:
    return ''
  target, least = f'{100 * calibration.max_error:g}%', least_groups(calibration.max_error)
  return (
    f'every image is left for review: no confidence threshold reached the target error rate of {target} '
    f'(evaluate.max_error), which takes {least} validation images or labels of different groups that are accepted '
    'without an error; label or add more of them'
  )


def least_groups(max_error: float) -> int:
  """How many groups must be accepted without an error for a threshold of this error rate.

  Example:
    >>> least_groups(0.05), least_groups(0.1), least_groups(0.5)
    (9, 4, 1)
  """
  return max(1, math.ceil(1 / (MARGIN * max_error) - 1 - _ROUNDING))
