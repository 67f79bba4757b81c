"""Conformal prediction: sets of classes that contain the label with a chosen probability, for new groups of images."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import groups, types

SCORES = ('lac', 'aps')


@dataclasses.dataclass(frozen=True)
class Conformal:
  """A fitted conformal predictor, which turns probabilities into sets of classes."""

  score: str  # one of SCORES
  miscoverage: float  # in (0, 1): the share of images whose set may miss the label
  limit: float  # classes with a score up to it are in the set; infinite if there are too few groups


def fit(predictions: types.Predictions, score: str, miscoverage: float) -> Conformal:
  """Fits sets that contain the label of an image of a new group with probability at least 1 - miscoverage.

  Images of one group are not exchangeable with those of others, so the usual quantile over images would be too
  optimistic. Here each group has the same weight, divided among its images, and the new group counts as an infinite
  score: with G groups a miscoverage under 1 / (G + 1) gives sets of all classes.

  **Guarantees**: marginal coverage for groups that are exchangeable with new ones, for any number of groups and any
  model; not for each class, and not on images of another laboratory. Groups that chose the model's epoch or fitted
  any of its weights are not exchangeable with new ones: the coverage is approximate then.

  Args:
    predictions: of the validation rows.
    score: 'lac', 1 - p of the label, gives the smallest sets; 'aps', the total probability of all classes at
      least as likely as the label, gives larger ones where the model is uncertain. APS is not randomised, so
      that an image always gets the same set.
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
  # The slack only covers the rounding of the sum: shares are multiples of 1 / (G + 1) / size.
  reached = np.flatnonzero(share_N >= 1 - miscoverage - 1e-12)
  limit = float(score_N[order][reached[0]]) if len(reached) else np.inf
  return Conformal(score, miscoverage, limit)


def sets(rule: Conformal, probs_NK: np.ndarray) -> np.ndarray:
  """[N, K] True for the classes in each image's set; a LAC set can be empty, if no class is likely enough."""
  return _scores(probs_NK, rule.score) <= rule.limit


def _scores(probs_NK: np.ndarray, score: str) -> np.ndarray:
  if score == 'lac':
    return 1 - probs_NK
  order_NK = np.argsort(-probs_NK, axis=1, kind='stable')
  total_NK = np.take_along_axis(probs_NK, order_NK, 1).cumsum(1)
  score_NK = np.empty_like(total_NK)
  np.put_along_axis(score_NK, order_NK, total_NK, 1)
  return score_NK
