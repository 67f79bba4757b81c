"""How well the pixels of two images agree where a map lays one of them on the other."""

from __future__ import annotations

import cv2
import numpy as np

from bloodcell_jax.fields import geometry, keypoints

# Pixels at keypoints.LONG_SIDE: a copy is blurred, and the map is off by a pixel or so.
_SIGMA = 1.0


def of_pixels(image_a_HWC: np.ndarray, image_b_HWC: np.ndarray, match: geometry.Match) -> float:
  """Pearson's correlation of the grey levels in the common area, -1 to 1; black borders do not count.

  Args:
    image_a_HWC, image_b_HWC: uint8 RGB, of any size.
    match: the result of `geometry.match` for both.

  Returns:
    0 if the common area is empty or of one grey level.
  """
  a_HWC, b_HWC = keypoints.resized(image_a_HWC), keypoints.resized(image_b_HWC)
  size_a, size_b = (np.array(image.shape[1::-1]) for image in (a_HWC, b_HWC))
  common_HW = (_inside(a_HWC) == 255) & (geometry.warp(_inside(b_HWC), match, size_b, size_a) == 255)
  a_P, b_P = (_smooth(image)[common_HW] for image in (a_HWC, geometry.warp(b_HWC, match, size_b, size_a)))
  if not len(a_P) or np.ptp(a_P) == 0 or np.ptp(b_P) == 0:
    return 0.0
  return float(np.corrcoef(a_P, b_P)[0, 1])


def _inside(image_HWC: np.ndarray) -> np.ndarray:
  inside_HW = keypoints.inside(image_HWC)
  return np.full(image_HWC.shape[:2], 255, np.uint8) if inside_HW is None else inside_HW


def _smooth(image_HWC: np.ndarray) -> np.ndarray:
  grey_HW = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
  return np.asarray(cv2.GaussianBlur(grey_HW, (0, 0), _SIGMA))
