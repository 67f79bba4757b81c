"""The black rim of a photograph: what lies outside the round field of an eyepiece, or a black frame."""

from __future__ import annotations

import cv2
import numpy as np

from bloodcell_jax.fields import disk, stain

# Sum of the channels, as a share of the ground's, below which a pixel is black: less than the darkest nuclei have.
_BLACK = 0.16
# Lengths in red cells: what is narrower is a pointer or writing; and how far the edge of the rim is blurred.
_NARROWEST, _BLURRED = 0.4, 0.12
# Least area of a part of the rim, of the square of a red cell's diameter.
_LEAST_AREA = 0.1


def find(image_HWC: np.ndarray, diameter: float) -> np.ndarray | None:
  """Where the rim is, bool [H, W], with its blurred edge; None for a photograph without one.

  It is black and reaches corners of the photograph: around a convex field, such as a disc, each of its parts does.
  Black dirt, writing and the pointer of an eyepiece do not, or are narrower.

  Args:
    image_HWC: uint8 RGB.
    diameter: of a red cell in pixels.
  """
  height, width = image_HWC.shape[:2]
  corners = [(y, x) for y in (0, height - 1) for x in (0, width - 1)]
  darkest = min(int(image_HWC[at].sum(dtype=np.int32)) for at in corners)
  # Most photographs are told by this alone: no ground is lighter than white.
  ground_C = stain.ground(image_HWC) if darkest < _BLACK * 3 * 256 else None
  if ground_C is None:
    return None
  black_HW = (image_HWC.sum(2, dtype=np.int32) < _BLACK * ground_C.sum()).astype(np.uint8)
  radius = max(1, round(_NARROWEST * diameter / 2))
  # It goes on beyond the photograph, so that a narrow strip of it is wide as well.
  room = 2 * radius
  wide_HW = cv2.copyMakeBorder(black_HW, room, room, room, room, cv2.BORDER_REPLICATE)
  wide_HW = cv2.morphologyEx(wide_HW, cv2.MORPH_OPEN, disk.of(radius))[
    room : room + height, room : room + width
  ]
  _, label_HW, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(wide_HW), connectivity=4)
  is_rim_N = stats[:, 4] >= _LEAST_AREA * diameter**2
  is_rim_N &= np.isin(np.arange(len(stats)), [label_HW[at] for at in corners])
  is_rim_N[0] = False
  if not is_rim_N.any():
    return None
  return cv2.dilate(is_rim_N[label_HW].astype(np.uint8), disk.of(round(_BLURRED * diameter))) > 0
