"""Shares of classes in a count by a network that errs, corrected by its error rates, with intervals.

The counted cells have outcomes: a class is named, or the network abstains. With the true shares p and the rates
C[k, j] of outcome j for a cell of class k, outcome j has the probability sum_k p[k] C[k, j]. The corrected shares are
the maximum-likelihood estimate of p. Its interval allows for the sampling of the cells and for the uncertainty of C: p
is drawn again and again, with C from the evaluation's groups and a prior, both weighted at random, and the outcomes'
shares from their posterior.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import rng

# With more classes the rates of all draws, which grow with the square of their number, take gigabytes and minutes.
MOST_CLASSES = 50
_DRAWS = 2000
_STEPS = 300
# Stands in for a random weight that underflowed to 0.
_LEAST = 1e-12
# Jeffreys' prior for the counted cells; for the outcomes of a class half of Perks' prior: half a group in all.
_PRIOR = 0.5


@dataclasses.dataclass(frozen=True)
class Shares:
  """The shares of K classes among the counted cells."""

  value_K: np.ndarray
  low_K: np.ndarray
  high_K: np.ndarray


def estimate(count_J: np.ndarray, outcome_GKJ: np.ndarray, confidence: float, seed: int) -> Shares:
  """The corrected shares with an interval for each class, not simultaneous.

  The error rates must be those of the counted photographs: the evaluation's and these are of one kind. The rates of a
  class that the evaluation lacks are equal for all outcomes in the value, and in each draw those of the prior, nearly
  all of one outcome or another: its interval reaches from 0 to the share of any outcome that may be its, and those of
  the other classes are as wide.

  Args:
    count_J: cells of each outcome, the K classes first and abstention last: J = K + 1.
    outcome_GKJ: images of the evaluation by group, label and outcome.
    confidence: in (0, 1).
    seed: of the draws.

  Returns:
    Shares that sum to 1; NaN if nothing was counted.

  Source: Tenenbein 1972, "A double sampling scheme for estimating from misclassified multinomial data with
  applications to sampling inspection" (the likelihood); Dempster, Laird and Rubin 1977 (its maximum by EM); Rubin
  1981, "The Bayesian bootstrap" (weights of groups).

  Example:
    >>> groups = np.tile(np.array([[9, 1, 0], [2, 8, 0]]), (20, 1, 1))
    >>> estimate(np.array([620, 380, 0]), groups, 0.95, 0).value_K.round(2).tolist()
    [0.6, 0.4]
  """
  num_classes = outcome_GKJ.shape[1]
  if not count_J.sum():
    nothing_K = np.full(num_classes, np.nan)
    return Shares(nothing_K, nothing_K, nothing_K)
  generator = rng.generator(seed, 'corrected shares')
  weight_RG = generator.standard_exponential((_DRAWS, len(outcome_GKJ)))
  count_RJ = generator.dirichlet(count_J + _PRIOR, _DRAWS)
  each = _PRIOR / len(count_J)
  prior_RKJ = generator.standard_gamma(each, (_DRAWS, *outcome_GKJ.shape[1:])) + _LEAST
  drawn_RK = _likeliest(count_RJ, _rates(outcome_GKJ, weight_RG, prior_RKJ))
  whole_1J = count_J[None] / count_J.sum()
  value_K = _likeliest(whole_1J, _rates(outcome_GKJ, np.ones((1, len(outcome_GKJ))), np.array(each)))[0]
  low_K, high_K = np.quantile(drawn_RK, ((1 - confidence) / 2, (1 + confidence) / 2), axis=0)
  return Shares(value_K, np.minimum(low_K, value_K), np.maximum(high_K, value_K))


def _rates(outcome_GKJ: np.ndarray, weight_RG: np.ndarray, prior_RKJ: np.ndarray) -> np.ndarray:
  """[R, K, J] the rate of each outcome by class: each group counts by its own rates, not by its images."""
  num_GK1 = outcome_GKJ.sum(2, keepdims=True)
  rate_GKJ = np.divide(outcome_GKJ, num_GK1, out=np.zeros(outcome_GKJ.shape), where=num_GK1 > 0)
  sum_RKJ = np.einsum('rg,gkj->rkj', weight_RG, rate_GKJ) + prior_RKJ
  return sum_RKJ / sum_RKJ.sum(2, keepdims=True)


def _likeliest(share_RJ: np.ndarray, rate_RKJ: np.ndarray) -> np.ndarray:
  """[R, K] the maximum-likelihood shares, by expectation-maximisation."""
  num_classes = rate_RKJ.shape[1]
  share_RK = np.full((len(rate_RKJ), num_classes), 1 / num_classes)
  for _ in range(_STEPS):
    expected_RJ = np.einsum('rk,rkj->rj', share_RK, rate_RKJ)
    ratio_RJ = share_RJ / np.maximum(expected_RJ, 1e-300)
    share_RK = share_RK * np.einsum('rkj,rj->rk', rate_RKJ, ratio_RJ)
    share_RK /= share_RK.sum(1, keepdims=True)
  return share_RK
