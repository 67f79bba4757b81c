"""Sparsity of feature maps."""

from __future__ import annotations

import numpy as np


def zeros(values: np.ndarray) -> float:
  """The share of values that are exactly 0, as after a ReLU; 0 to 1.

  Example:
    >>> zeros(np.array([0.0, 2.0, 0.0, 1.0]))
    0.5
  """
  return float(np.mean(values == 0))
