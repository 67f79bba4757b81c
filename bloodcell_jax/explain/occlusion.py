"""Occlusion: how much the logit drops when a square of the image is covered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def corners(size: int, window: int, num: int) -> np.ndarray:
  """The first pixel of each of `num` windows, evenly spread from one edge to the other.

  Example:
    >>> corners(10, 4, 3).tolist()
    [0, 3, 6]
  """
  return np.linspace(0, size - window, num).round().astype(np.int64)


def drops(
  score: Callable[[np.ndarray], np.ndarray],
  image_HWC: np.ndarray,
  fill_HWC: np.ndarray,
  window: int,
  num: int,
) -> tuple[np.ndarray, np.ndarray]:
  """The drop of the score when each window is covered, and its mean at each pixel.

  Args:
    score: scores [N] of standardized images [N, H, W, C].
    image_HWC: the image, standardized.
    fill_HWC: values of covered pixels, standardized.
    window: side of the covered square in pixels.
    num: windows per row and per column.

  Returns:
    drop_RR: [num, num], in units of the score; negative where covering raises it.
    map_HW: for each pixel the mean over the windows that cover it.

  Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2; there the
    score is the class's probability, here whatever `score` gives.
  """
  height, width = image_HWC.shape[:2]
  places = [(top, left) for top in corners(height, window, num) for left in corners(width, window, num)]
  covered_NHWC = np.repeat(image_HWC[None], len(places) + 1, 0)
  for covered_HWC, (top, left) in zip(covered_NHWC, places, strict=False):
    inside = slice(top, top + window), slice(left, left + window)
    covered_HWC[inside] = fill_HWC[inside]
  score_N = score(covered_NHWC)
  drop_N = score_N[-1] - score_N[:-1]
  total_HW, count_HW = np.zeros((2, height, width))
  for drop, (top, left) in zip(drop_N, places, strict=True):
    inside = slice(top, top + window), slice(left, left + window)
    total_HW[inside] += drop
    count_HW[inside] += 1
  return drop_N.reshape(num, num), total_HW / np.maximum(count_HW, 1)
