"""A sample of rows, evenly spaced over all of them."""

from __future__ import annotations

import numpy as np


def rows(num_rows: int, most: int) -> np.ndarray:
  """[R] int64, ascending: `most` of the rows from 0 to num_rows-1, or all of them if there are no more.

  Example:
    >>> rows(9, 3).tolist(), rows(2, 3).tolist(), rows(0, 3).tolist()
    ([0, 4, 8], [0, 1], [])
  """
  return np.linspace(0, num_rows - 1, min(most, num_rows)).round().astype(np.int64)
