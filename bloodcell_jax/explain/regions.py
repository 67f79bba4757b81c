"""Where in the image an attribution lies: the share of it in each region, beside the region's share of the area."""

from __future__ import annotations

import numpy as np

# A pixel is black where no channel is above this, of 255: JPEG blurs the corners that turning leaves.
BLACK = 16
# The border is so wide, as a share of a side, along every edge.
BORDER = 0.05


def black(image_HWC: np.ndarray) -> np.ndarray:
  """The black pixels [H, W] of a uint8 image: the corners that turning and shifting left empty."""
  return np.asarray((image_HWC <= BLACK).all(-1))


def border(height: int, width: int) -> np.ndarray:
  """The pixels [H, W] within BORDER of an edge.

  Example:
    >>> border(20, 20).sum() == 20 * 20 - 18 * 18
    np.True_
  """
  found = np.ones((height, width), bool)
  rows, columns = round(BORDER * height), round(BORDER * width)
  found[rows : height - rows, columns : width - columns] = False
  return found


def share(weight_HW: np.ndarray, region_HW: np.ndarray) -> float | None:
  """The share of the weights that lies in the region, 0 to 1; None where there is no weight at all.

  Args:
    weight_HW: 0 or more.
    region_HW: bool.

  Raises:
    ValueError: a weight is negative.

  Example:
    >>> share(np.array([[1.0, 3.0]]), np.array([[False, True]]))
    0.75
  """
  if weight_HW.min() < 0:
    raise ValueError('weights must be 0 or more')
  total = float(weight_HW.sum(dtype=np.float64))
  return float(weight_HW[region_HW].sum(dtype=np.float64)) / total if total else None
