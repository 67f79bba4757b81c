"""Randomization check of attribution maps: do they depend on the weights that the network learned?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from bloodcell_jax.base import rng, tree


def shuffled(params: Any, seed: int) -> Any:
  """The parameters with the values of every array in random order, which destroys what was learned.

  Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 3, randomization of all layers; there the
    weights are redrawn; shuffling them keeps the scale of a deep network's maps.
  """
  generator = rng.generator(seed, 'explain shuffle')
  return tree.nest(
    {
      name: generator.permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)
      for name, leaf in tree.names(params).items()
    }
  )


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
  """Spearman's rank correlation of two maps of the same size, -1 to 1; None if one of them is constant.

  Example:
    >>> rank_correlation(np.array([1, 2, 3.0]), np.array([1, 4, 9.0]))
    1.0
    >>> rank_correlation(np.array([1, 2, 3.0]), np.zeros(3)) is None
    True
  """
  a, b = np.ravel(a), np.ravel(b)
  if np.ptp(a) == 0 or np.ptp(b) == 0:
    return None
  return round(float(stats.spearmanr(a, b).statistic), 12)
