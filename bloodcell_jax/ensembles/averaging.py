"""Which members to average and how much each counts: fitted weights, and the greedy choice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bloodcell_jax.ensembles import combination

MOST_ROUNDS = 10_000
# Rounds end when one lowers the log loss by less than this, or is shown to be so near the least there is.
TOLERANCE = 1e-9


def fit_weights(probs_MNK: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
  """[M] the weights >= 0, with sum 1, of the mean of probabilities with the least weighted log loss.

  They are the proportions of a mixture, found by expectation and maximisation from equal weights.

  **Guarantees**: no round raises the log loss; it ends at most 1e-6 above that of the best single member; the same
  arguments give the same weights.

  Args:
    probs_MNK: of rows that the members were not trained on; values below `combination.CLIP` count as it.
    label_N: class of each row.
    weight_N: >= 0, not all 0, such as 1 / the rows of its group.

  Source: Dempster, Laird and Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm", section
    4.3 (finite mixtures).
  """
  if not ((weight_N >= 0).all() and weight_N.sum() > 0):
    raise ValueError('the weights of the rows must be >= 0, and one of them above 0')
  share_N = weight_N / weight_N.sum()
  of_label_MN = np.maximum(probs_MNK[:, np.arange(len(label_N)), label_N], combination.CLIP)
  weight_M = np.full(len(probs_MNK), 1 / len(probs_MNK))
  for _ in range(MOST_ROUNDS):
    # The factor by which a round multiplies each weight. The loss is convex, and its derivative along the way to a
    # member is 1 - factor: log(largest factor) bounds how far the loss lies above the least one.
    factor_M = (of_label_MN / (weight_M @ of_label_MN)[None]) @ share_N
    if np.log(factor_M.max()) < TOLERANCE:
      break
    weight_M = weight_M * factor_M
    weight_M = weight_M / weight_M.sum()
  return weight_M


def loss(weight_M: np.ndarray, probs_MNK: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray) -> float:
  """The weighted log loss that `fit_weights` minimises."""
  of_label_MN = np.maximum(probs_MNK[:, np.arange(len(label_N)), label_N], combination.CLIP)
  return float(-(weight_N * np.log(weight_M @ of_label_MN)).sum() / weight_N.sum())


def greedy(num: int, score: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
  """The members kept, in the order of being taken: the best first, then each that does not lower the score.

  Members are tried once, by their own score from the best; equal ones in the order of their numbers. Weights of
  networks can be averaged so, and probabilities as well: `score` decides.

  **Guarantees**: the score of the members kept is no less than that of the best one; `score` is called 2 x num - 1
  times at most, once for each member alone.

  Args:
    num: members, 1 or more.
    score: of members together, larger is better, on images that no member was trained on.

  Source: Wortsman et al. 2022, "Model soups", section 2, recipe 1.

  Example:
    >>> greedy(3, lambda members: {(1,): 3, (2,): 2, (0,): 1, (1, 2): 2, (1, 0): 4}[members])
    (1, 0)
  """
  if num < 1:
    raise ValueError('there is no member to choose from')
  alone = [score((m,)) for m in range(num)]
  first, *others = sorted(range(num), key=lambda m: (-alone[m], m))
  kept: tuple[int, ...] = (first,)
  best = alone[first]
  for m in others:
    together = score((*kept, m))
    if together >= best:
      kept, best = (*kept, m), together
  return kept
