"""Regions of an image, and the share of an attribution that lies in each."""

from __future__ import annotations

import numpy as np

# A pixel is black if no channel exceeds this value of 255: JPEG blurs the edges of corners left by rotation.
BLACK = 16
# Width of the border along every edge, as a share of the side.
BORDER = 0.05


def black(image_HWC: np.ndarray) -> np.ndarray:
  """The black pixels [H, W] of a uint8 image: such as corners left empty by rotation and shifting."""
  return np.asarray((image_HWC <= BLACK).all(-1))


def border(height: int, width: int) -> np.ndarray:
  """The pixels [H, W] within BORDER of an edge.

  Example:
    >>> border(20, 20).sum() == 20 * 20 - 18 * 18
    np.True_
  """
  border_HW = np.ones((height, width), bool)
  rows, columns = round(BORDER * height), round(BORDER * width)
  border_HW[rows : height - rows, columns : width - columns] = False
  return border_HW


def share(weight_HW: np.ndarray, region_HW: np.ndarray) -> float | None:
  """The share of the weights that lies in the region, 0 to 1; None if all weights are 0.

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
