"""Confidence intervals of a differential count: the shares of the classes among the counted cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Fewest cells for which a differential is reported without a warning: laboratories count at least 100; CLSI H20-A2,
# "Reference leukocyte differential count (proportional) and evaluation of instrumental methods", counts 200 twice.
LEAST_CELLS = 100


def intervals(count_K: Sequence[int], confidence: float) -> np.ndarray:
  """[K, 2] simultaneous confidence intervals of the share of each class, low and high.

  They cover the sampling of cells from one slide. They do not cover the network's errors, nor the correlation between
  cells of one patient.

  Args:
    count_K: cells of each class.
    confidence: in (0, 1).

  Returns:
    Shares in [0, 1]; (0, 1) if nothing was counted.

  Source: Goodman 1965, "On simultaneous confidence intervals for multinomial proportions", equation 2.7.

  Example:
    >>> intervals([56, 72, 73, 59, 62, 87, 58], 0.95)[0].round(3).tolist()
    [0.085, 0.166]
  """
  # Imported here: SciPy takes half a second to load, and `experiment` imports this package.
  from scipy import special

  cells_K = np.asarray(count_K, float)
  total = cells_K.sum()
  if total == 0:
    return np.tile([0.0, 1.0], (len(cells_K), 1))
  b = special.chdtri(1, (1 - confidence) / len(cells_K))
  root_K = np.sqrt(b * (b + 4 * cells_K * (total - cells_K) / total))
  low_K, high_K = ((b + 2 * cells_K + sign * root_K) / (2 * (total + b)) for sign in (-1, 1))
  return np.clip(np.stack([low_K, high_K], 1), 0, 1)
