"""Occlusion: how far the logit falls when a square of the image is hidden."""

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
  """By how much hiding each window lowers the score, and the same spread over the pixels.

  Args:
    score: [N] of images [N, H, W, C] as the network takes them.
    image_HWC: the image as the network takes it.
    fill_HWC: what a hidden pixel becomes, as the network takes it.
    window: pixels a side of the square that is hidden.
    num: windows in a row and in a column.

  Returns:
    drop_RR: [num, num], in units of the score; negative where hiding raises it.
    map_HW: for each pixel the mean over the windows that hide it.

  Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2; there the
    score is the class's probability, here whatever `score` gives.
  """
  height, width = image_HWC.shape[:2]
  places = [(top, left) for top in corners(height, window, num) for left in corners(width, window, num)]
  hidden_NHWC = np.repeat(image_HWC[None], len(places) + 1, 0)
  for hidden_HWC, (top, left) in zip(hidden_NHWC, places, strict=False):
    inside = slice(top, top + window), slice(left, left + window)
    hidden_HWC[inside] = fill_HWC[inside]
  score_N = score(hidden_NHWC)
  drop_N = score_N[-1] - score_N[:-1]
  total_HW, count_HW = np.zeros((2, height, width))
  for drop, (top, left) in zip(drop_N, places, strict=True):
    inside = slice(top, top + window), slice(left, left + window)
    total_HW[inside] += drop
    count_HW[inside] += 1
  return drop_N.reshape(num, num), total_HW / np.maximum(count_HW, 1)
