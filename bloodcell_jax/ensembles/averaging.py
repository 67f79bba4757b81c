"""Weights of averaged members, fitted by log loss, and greedy selection of members."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bloodcell_jax.ensembles import combination

MOST_ROUNDS = 10_000
# The iteration stops once the log loss is proved to be within this of its minimum.
TOLERANCE = 1e-9


def fit_weights(probs_MNK: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
  """[M] weights >= 0, with sum 1, that minimise the weighted log loss of the weighted mean of probabilities.

  They are mixture proportions, fitted by expectation maximisation from equal weights.

  **Guarantees**: no round raises the log loss; the final one is at most 1e-6 above that of the best single member; the
  same arguments give the same weights.

  Args:
    probs_MNK: of rows that the members were not trained on; clipped below at `combination.CLIP`.
    label_N: class of each row.
    weight_N: >= 0, not all 0, such as 1 / number of rows in the group.

  Source: Dempster, Laird and Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm", section
    4.3 (finite mixtures).
  """
  if not ((weight_N >= 0).all() and weight_N.sum() > 0):
    raise ValueError('the weights of the rows must be >= 0, and one of them above 0')
  share_N = weight_N / weight_N.sum()
  label_prob_MN = np.maximum(probs_MNK[:, np.arange(len(label_N)), label_N], combination.CLIP)
  weight_M = np.full(len(probs_MNK), 1 / len(probs_MNK))
  for _ in range(MOST_ROUNDS):
    # The factor by which a round multiplies each weight. The loss is convex, and its derivative towards a member is
    # 1 - factor, so log(largest factor) bounds the distance of the loss from its minimum.
    factor_M = (label_prob_MN / (weight_M @ label_prob_MN)[None]) @ share_N
    if np.log(factor_M.max()) < TOLERANCE:
      break
    weight_M = weight_M * factor_M
    weight_M = weight_M / weight_M.sum()
  return weight_M


def greedy(num: int, score: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
  """The selected members, in order of selection: the best one, then each that does not lower the score.

  Members are tried once, from the highest individual score to the lowest, ties in the order of their numbers. Works
  for averages of weights and of probabilities, depending on `score`.

  **Guarantees**: the score of the selected members is no less than that of the best one; `score` is called 2 x num - 1
  times at most, including once for each member alone.

  Args:
    num: number of members, 1 or more.
    score: of a set of members, larger is better, on images that no member was trained on.

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
