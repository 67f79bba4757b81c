"""Mean and standard deviation of the columns of a matrix whose rows have shares."""

from __future__ import annotations

import numpy as np


def mean_and_std(value_ND: np.ndarray, share_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The mean and the standard deviation of each column.

  Args:
    value_ND: float64.
    share_N: float64, >= 0, of each row; their sum is 1.

  Returns:
    mean_D and std_D, float64.

  Example:
    >>> mean_D, std_D = mean_and_std(np.array([[0.0], [4.0]]), np.array([0.75, 0.25]))
    >>> mean_D.tolist(), std_D.round(3).tolist()
    ([1.0], [1.732])
  """
  mean_D = share_N @ value_ND
  return mean_D, np.sqrt(share_N @ np.square(value_ND - mean_D))
