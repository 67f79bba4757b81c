"""Colour images of 16 bits a channel with all their bits, of which Pillow keeps the upper 8."""

from __future__ import annotations

import numpy as np


def read(data: bytes) -> np.ndarray | None:
  """uint16 [H, W, 3], or [H, W, 4] with alpha, not turned upright; None where the file cannot be read so.

  Args:
    data: a PNG or TIFF whose size has been checked.
  """
  # Loaded here: few data sets have such images.
  import cv2

  try:
    array_HWC = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  except cv2.error:
    return None
  if (
    array_HWC is None
    or array_HWC.dtype != np.uint16
    or array_HWC.ndim != 3
    or array_HWC.shape[2] not in (3, 4)
  ):
    return None
  order = [2, 1, 0, 3][: array_HWC.shape[2]]  # OpenCV has blue first
  return np.ascontiguousarray(array_HWC[..., order])
