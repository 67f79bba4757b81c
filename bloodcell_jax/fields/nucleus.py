"""The nucleus of the cell in the middle of an image, without assuming a hue or a magnification."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from bloodcell_jax.base import cell
from bloodcell_jax.fields import disk, stain

# Longest side, in pixels, of the reduced image in which a nucleus is searched, then measured.
_SEARCHED, _MEASURED = 160, 112
# Side of the square in which it is measured, in square roots of its area as first found.
_AROUND = 5.0
# Share of the pixels that are nucleus at the least, from which the direction of its colour is found.
_CERTAIN = 0.02
# Standard deviations of the red cells that a nucleus differs from them by at the least.
_LEAST_CONTRAST = 2.5
# Area as a share of the image, and of the square in which it is measured.
_LEAST_SHARE, _MOST_SHARE = 0.002, 0.65
# Lobes are parts of one nucleus if the gap between them is at most this many square roots of the area of the larger.
_GAP = 0.45
# How fast objects count less away from the middle: the exponent at the middle of a side.
_OFF_CENTRE = 1.5


@dataclasses.dataclass(frozen=True)
class Nucleus:
  """A nucleus with all its lobes, in pixels of the image."""

  row: float  # centre of its area
  column: float
  area: float


def find(image_HWC: np.ndarray, within: cell.Box | None = None) -> Nucleus | None:
  """The nucleus of the white cell, the one nearest to the middle if there are several; None if there is none.

  Searched in the reduced image, then measured again in a square around it, so that the area of a cell does not depend
  on how much of its surroundings the image shows.

  Args:
    image_HWC: uint8 RGB, of any size.
    within: where it lies, in pixels of the image, so that a neighbour's is not taken for a part of it; None for
      anywhere.
  """
  height, width = image_HWC.shape[:2]
  first = _largest(image_HWC, _SEARCHED, within)
  if first is None or first.area < _LEAST_SHARE * height * width:
    return None
  half = _AROUND * np.sqrt(first.area) / 2
  top, left = max(0, round(first.row - half)), max(0, round(first.column - half))
  around_HWC = image_HWC[
    top : max(top, round(first.row + half)), left : max(left, round(first.column + half))
  ]
  # What was found lies in the box, so that a part of the box is in the square.
  moved = within and cell.Box(
    max(0, within.left - left), max(0, within.top - top), within.right - left, within.bottom - top
  )
  second = _largest(around_HWC, _MEASURED, moved) if around_HWC.size else None
  if second is None:
    return None
  found = Nucleus(second.row + top, second.column + left, second.area)
  # What is found in the square but is not what was found first is no more than a guess.
  is_same = np.hypot(found.row - first.row, found.column - first.column) < 0.5 * np.sqrt(first.area)
  return found if is_same and 0.3 < found.area / first.area < 3 else first


def _largest(image_HWC: np.ndarray, longest: int, within: cell.Box | None) -> Nucleus | None:
  """The stained object with the most contrast and area near the middle."""
  from skimage import filters

  factor = longest / max(image_HWC.shape[:2])
  small_HWC = stain.resized(image_HWC, factor)
  density_HWC = cv2.blur(stain.density(small_HWC), (3, 3))
  layers = stain.layers(density_HWC)
  if layers is None:
    return None
  score_HW, _ = stain.nuclear(density_HWC, layers, _CERTAIN)
  stained_N = score_HW[layers.strongest_HW > layers.ground]
  highest = np.percentile(stained_N, 99.5)
  if highest < _LEAST_CONTRAST:
    return None
  limit = max(_LEAST_CONTRAST / 2, float(filters.threshold_otsu(np.clip(stained_N, 0, highest), nbins=128)))
  mask_HW = cv2.morphologyEx((score_HW > limit).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
  if within is not None:
    y, x = (small / whole for small, whole in zip(mask_HW.shape, image_HWC.shape[:2], strict=True))
    is_inside_HW = np.zeros(mask_HW.shape, bool)
    is_inside_HW[
      max(0, round(within.top * y)) : max(0, round(within.bottom * y)),
      max(0, round(within.left * x)) : max(0, round(within.right * x)),
    ] = True
    mask_HW = mask_HW * is_inside_HW.astype(np.uint8)
  num, label_HW, _stats, centre_N2 = cv2.connectedComponentsWithStats(mask_HW, connectivity=8)
  if num == 1:
    return None
  height, width = mask_HW.shape
  weight_N = np.bincount(
    label_HW.ravel(), weights=np.square(np.clip(score_HW, 0, highest)).ravel(), minlength=num
  )
  off_N = ((centre_N2 / (width / 2, height / 2) - 1) ** 2).sum(1)
  weight_N *= np.exp(-_OFF_CENTRE * off_N)
  weight_N[0] = 0
  chosen_HW = _with_lobes(label_HW == weight_N.argmax(), mask_HW)
  inside = float(score_HW[chosen_HW].mean())
  if inside < _LEAST_CONTRAST or chosen_HW.mean() > _MOST_SHARE:
    return None
  rows, columns = np.nonzero(chosen_HW)
  y, x = image_HWC.shape[0] / height, image_HWC.shape[1] / width
  return Nucleus((rows.mean() + 0.5) * y - 0.5, (columns.mean() + 0.5) * x - 0.5, len(rows) * x * y)


def _with_lobes(chosen_HW: np.ndarray, mask_HW: np.ndarray) -> np.ndarray:
  """The object and those within a small gap of it."""
  radius = max(1, round(_GAP * np.sqrt(chosen_HW.sum()) / 2))
  _, joined_HW = cv2.connectedComponents(cv2.dilate(mask_HW, disk.of(radius)), connectivity=8)
  own = np.bincount(joined_HW[chosen_HW]).argmax()
  return (joined_HW == own) & (mask_HW > 0)
