"""What a confidence is worth: temperature, when to abstain, sets of classes with a wanted coverage.

Everything here is fitted on validation predictions and applied to others. The validation rows must be of
photographs that training did not see; with leaked rows all of it promises too much. Rows that have also chosen the
epoch or fitted weights, as validation does in a run, promise a little too much: all of it holds approximately then.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import groups, types

# A probability of exactly 0 is one that underflowed; this is its smallest positive stand-in.
TINY = float(np.nextafter(0, 1))
# Temperatures tried, as natural logarithms: from 1/20 to 20, far outside what is ever found.
LOG_TEMPERATURES = (-3.0, 3.0)
SCORES = ('lac', 'aps')


def temperature(predictions: types.Predictions, weight_N: np.ndarray) -> float:
  """The temperature T > 0 at which `softmax(log p / T)` has the least weighted log loss; over 1: over-sure.

  Args:
    predictions: of the validation rows.
    weight_N: >= 0, such as `groups.equal_weights`, or ones to count images.

  Raises:
    UserError: fewer than two groups, from which nothing can be learned about others.

  Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
  """
  # Imported here: it takes a third of a second to load and few commands need it.
  from scipy import optimize

  if len(np.unique(predictions.group_N)) < 2:
    raise types.UserError('a temperature needs validation images of two groups or more')
  log_NK = np.log(np.maximum(predictions.probs_NK, TINY))
  rows = np.arange(len(predictions))

  def loss(log_temperature: float) -> float:
    scaled_NK = log_NK / np.exp(log_temperature)
    scaled_NK -= scaled_NK.max(1, keepdims=True)
    loss_N = np.log(np.exp(scaled_NK).sum(1)) - scaled_NK[rows, predictions.label_N]
    return float((weight_N * loss_N).sum() / weight_N.sum())

  # As a function of 1/T the loss is convex, so that there is one minimum.
  found = optimize.minimize_scalar(loss, bounds=LOG_TEMPERATURES, method='bounded', options={'xatol': 1e-6})
  return float(np.exp(found.x))


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
  log_NK = np.log(np.maximum(predictions.probs_NK, TINY)) / temperature
  probs_NK = np.exp(log_NK - log_NK.max(1, keepdims=True))
  return dataclasses.replace(predictions, probs_NK=probs_NK / probs_NK.sum(1, keepdims=True))


def risk_coverage(predictions: types.Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Thresholds of confidence, highest first, and at each the share of images kept and their share of errors.

  An image is kept where its confidence reaches the threshold; images of equal confidence are kept together.

  Source: El-Yaniv and Wiener 2010, "On the foundations of noise-free selective classification".
  """
  confidence_N = predictions.probs_NK.max(1)
  order = np.argsort(-confidence_N, kind='stable')
  wrong = (predictions.probs_NK.argmax(1) != predictions.label_N)[order]
  sorted_N = confidence_N[order]
  last = np.append(sorted_N[:-1] != sorted_N[1:], True)
  kept = np.arange(1, len(predictions) + 1)
  return sorted_N[last], (kept / len(predictions))[last], (np.cumsum(wrong) / kept)[last]


def abstention_threshold(predictions: types.Predictions, max_error: float) -> float | None:
  """The lowest confidence at which the images kept have at most this share of errors; None if none has.

  The share is that seen on these rows, with no margin: on photographs of other people it can be higher, and
  is, more so the fewer groups these rows have. Judge it on a test set with intervals by group.
  """
  thresholds, _, error = risk_coverage(predictions)
  fine = np.flatnonzero(error <= max_error)
  return float(thresholds[fine[-1]]) if len(fine) else None


@dataclasses.dataclass(frozen=True)
class Conformal:
  """A fitted rule that turns probabilities into sets of classes."""

  score: str  # one of SCORES
  miscoverage: float  # in (0, 1): the share of images whose set may miss the label
  limit: float  # classes with a score up to it are in the set; infinite where the groups are too few


def conformal(predictions: types.Predictions, score: str, miscoverage: float) -> Conformal:
  """The rule whose sets hold the label of an image of a new group with probability 1 - miscoverage at least.

  Images of one group are copies and not exchangeable with those of others, so that the usual quantile over
  images promises too much. Here each group counts once, spread over its images, and a group to come counts as
  infinitely bad: with G groups a miscoverage under 1 / (G + 1) gives sets of all classes.

  **Guarantees**: for groups that are exchangeable with those to come, at any number of groups, whatever the model;
  marginally, not for each class, and not on images of another laboratory. Groups that have chosen the model's epoch
  or fitted any of its weights are not exchangeable with new ones: the coverage is approximate then.

  Args:
    predictions: of the validation rows.
    score: 'lac', 1 - p of the label, gives the smallest sets; 'aps', the probability of all classes as
      likely or likelier, gives larger ones where the model is unsure. APS is used without its randomisation,
      so that an image always gets the same set.
    miscoverage: in (0, 1).

  Source: Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data", section 3
    (groups); Sadinle, Lei and Wasserman 2019 (LAC); Romano, Sesia and Candès 2020 (APS).
  """
  if score not in SCORES:
    raise types.UserError(f'the conformal score is {score!r}; choose one of {", ".join(SCORES)}')
  if not 0 < miscoverage < 1:
    raise types.UserError(f'the miscoverage is {miscoverage}; it must lie in (0, 1)')
  num_groups = len(np.unique(predictions.group_N))
  score_N = _scores(predictions.probs_NK, score)[np.arange(len(predictions)), predictions.label_N]
  order = np.argsort(score_N)
  share_N = np.cumsum(groups.equal_weights(predictions.group_N, 1.0)[order]) * num_groups / (num_groups + 1)
  # The slack is rounding of the sum, not of the promise: shares are multiples of 1 / (G + 1) / size.
  reached = np.flatnonzero(share_N >= 1 - miscoverage - 1e-12)
  limit = float(score_N[order][reached[0]]) if len(reached) else np.inf
  return Conformal(score, miscoverage, limit)


def sets(rule: Conformal, probs_NK: np.ndarray) -> np.ndarray:
  """[N, K] True for the classes in each image's set; a LAC set can be empty: nothing is likely enough."""
  return _scores(probs_NK, rule.score) <= rule.limit


def _scores(probs_NK: np.ndarray, score: str) -> np.ndarray:
  if score == 'lac':
    return 1 - probs_NK
  order_NK = np.argsort(-probs_NK, axis=1, kind='stable')
  total_NK = np.take_along_axis(probs_NK, order_NK, 1).cumsum(1)
  score_NK = np.empty_like(total_NK)
  np.put_along_axis(score_NK, order_NK, total_NK, 1)
  return score_NK
