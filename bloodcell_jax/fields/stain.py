"""Stain told apart by the photograph itself: which direction of colour nuclei take, against the red cells."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

# Pixels darker than this in the sum of their channels are no photograph: black corners, a frame.
_BLACK = 25
# Standard deviation of optical density that two pixels of equal stain differ by at least.
_NOISE = 0.03


@dataclasses.dataclass(frozen=True)
class Layers:
  """Ground, red cells and what is darker, by the strongest absorption of any channel."""

  strongest_HW: np.ndarray  # optical density of the channel that absorbs most
  ground: float  # at most this: ground
  dark: float  # above this: darker than red cells
  is_red_HW: np.ndarray


def resized(image_HWC: np.ndarray, factor: float) -> np.ndarray:
  """The image scaled by the factor, at least 1 pixel a side; areas are averaged where it shrinks."""
  height, width = image_HWC.shape[:2]
  size = max(1, round(width * factor)), max(1, round(height * factor))
  how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
  return image_HWC if size == (width, height) else cv2.resize(image_HWC, size, interpolation=how)


def ground(image_HWC: np.ndarray) -> np.ndarray | None:
  """The colour of the photograph's ground, float32 [3], 1 to 256; None for a black image.

  Args:
    image_HWC: uint8 RGB.
  """
  light_HWC = image_HWC.astype(np.float32) + 1
  return _ground(light_HWC, light_HWC.sum(2))


def _ground(light_HWC: np.ndarray, sum_HW: np.ndarray) -> np.ndarray | None:
  is_black_HW = sum_HW < _BLACK
  if is_black_HW.all():
    return None
  bright = np.percentile(sum_HW[~is_black_HW], 90)
  return np.median(light_HWC[(sum_HW >= 0.93 * bright) & ~is_black_HW], axis=0)


def density(image_HWC: np.ndarray) -> np.ndarray:
  """Optical density against the photograph's own ground, float32 [H, W, 3]; black pixels count as ground.

  Args:
    image_HWC: uint8 RGB.
  """
  light_HWC = image_HWC.astype(np.float32) + 1
  sum_HW = light_HWC.sum(2)
  ground_C = _ground(light_HWC, sum_HW)
  if ground_C is None:
    return np.zeros_like(light_HWC)
  density_HWC = np.maximum(np.log(ground_C) - np.log(light_HWC), -0.3)
  density_HWC[sum_HW < _BLACK] = 0
  return density_HWC


def layers(density_HWC: np.ndarray) -> Layers | None:
  """Ground, red cells and dark by Otsu's method for three classes; None for an image of one tone.

  Source: Otsu 1979; scikit-image `threshold_multiotsu`.
  """
  from skimage import filters

  strongest_HW = density_HWC.max(2)
  try:
    ground, dark = filters.threshold_multiotsu(np.clip(strongest_HW, 0, 2), 3, nbins=64)
  except ValueError:
    return None
  is_red_HW = (strongest_HW > ground) & (strongest_HW <= dark)
  if dark < 2 * _NOISE or is_red_HW.sum() < 10:
    return None
  return Layers(strongest_HW, float(ground), float(dark), is_red_HW)


def nuclear(density_HWC: np.ndarray, found: Layers, share: float) -> tuple[np.ndarray, np.ndarray]:
  """How far each pixel is from red cells towards the nuclei, in standard deviations of the red cells; and their colour.

  The direction is Fisher's discriminant between red cells and the most stained pixels, found twice: no hue is assumed.

  Args:
    density_HWC: optical density.
    found: its layers.
    share: of the pixels, which are taken for nuclei.

  Returns:
    float32 [H, W], and the red cells' optical density [3].
  """
  score_HW = found.strongest_HW
  for _ in range(2):
    is_top_HW = score_HW >= np.quantile(score_HW, 1 - share)
    red_NC = density_HWC[found.is_red_HW & ~is_top_HW]
    if len(red_NC) < 10:
      red_NC = density_HWC[found.is_red_HW]
    red_C = np.median(red_NC, axis=0)
    covariance = np.cov(red_NC.T) + _NOISE**2 * np.eye(3)
    direction_C = np.linalg.solve(covariance, np.median(density_HWC[is_top_HW], axis=0) - red_C)
    direction_C /= np.sqrt(direction_C @ covariance @ direction_C) + 1e-9
    score_HW = ((density_HWC - red_C) @ direction_C).astype(np.float32)
  return score_HW, red_C
