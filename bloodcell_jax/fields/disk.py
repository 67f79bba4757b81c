"""A disk, by which masks are grown, shrunk and smoothed."""

from __future__ import annotations

import cv2
import numpy as np


def of(radius: int) -> np.ndarray:
  """uint8 [2 radius + 1, 2 radius + 1]: OpenCV's ellipse of this radius in pixels."""
  return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
