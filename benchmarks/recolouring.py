"""Photographs in the colours of other stains, lamps and cameras: what a detector of cells must bear."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np


def _turned(degrees: int) -> Callable[[np.ndarray], np.ndarray]:
  """The image with its hues turned, by OpenCV's HSV of 256 hues."""

  def turn(image_HWC: np.ndarray) -> np.ndarray:
    hsv_HWC = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2HSV_FULL)
    hsv_HWC[..., 0] += np.uint8(degrees * 256 // 360)
    return cv2.cvtColor(hsv_HWC, cv2.COLOR_HSV2RGB_FULL)

  return turn


def _grey(image_HWC: np.ndarray) -> np.ndarray:
  return np.repeat(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


# By name, from uint8 RGB [H, W, 3] to the same.
AS_IS = 'as photographed'
RECOLOURINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  AS_IS: lambda image_HWC: image_HWC,
  'hues turned by 60 degrees': _turned(60),
  'hues turned by 180 degrees': _turned(180),
  'hues turned by 300 degrees': _turned(300),
  'grey': _grey,
  'half the contrast': lambda image_HWC: (255 - (255 - image_HWC.astype(np.float32)) / 2).astype(np.uint8),
  'dark': lambda image_HWC: (0.55 * image_HWC).astype(np.uint8),
}
