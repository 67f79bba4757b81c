"""A square around a cell whose side is measured by its nucleus: one scale whatever the magnification."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bloodcell_jax.base import cell
from bloodcell_jax.fields import nucleus, stain

# The values of data.view.
NAME, CLOSE = 'cell', 'cell_close'
# By view, the side of the square in square roots of the area of the nucleus. The boxes of the annotated white cells of
# BCCD have 1.4 to 2.1: at 3.0 the whole cell is in the frame, at 2.2 hardly anything else is.
SIDES = {NAME: 3.0, CLOSE: 2.2}
# Without a nucleus.
NOTE = 'no nucleus found, the full image is used'


def cut(
  image_HWC: np.ndarray,
  view: str,
  size: int,
  resampling: Image.Resampling,
  within: cell.Box | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The square around the cell as uint8 [size, size, 3], and what is to be noted.

  What lies beyond the image has the colour of its ground. Where no nucleus is found, the whole image is taken, made
  square in the same way.

  **Guarantees**: the same image at another size gives the same square, up to what resizing changes.

  Args:
    image_HWC: uint8 RGB, of any size.
    view: a key of SIDES.
    size: of the result, pixels.
    resampling: of the resizing.
    within: as for `nucleus.find`.
  """
  height, width = image_HWC.shape[:2]
  found = nucleus.find(image_HWC, within)
  notes: tuple[str, ...] = ()
  if found is None:
    middle, side = (height / 2, width / 2), float(max(height, width))
    notes = (NOTE,)
  else:
    middle, side = (found.row + 0.5, found.column + 0.5), SIDES[view] * float(np.sqrt(found.area))
  top, left = (at - side / 2 for at in middle)
  # One pixel more on each side, for the interpolation.
  first = [int(np.floor(at)) - 1 for at in (top, left)]
  last = [int(np.ceil(at + side)) + 1 for at in (top, left)]
  inner_HWC = image_HWC[max(0, first[0]) : last[0], max(0, first[1]) : last[1]]
  before = [max(0, -at) for at in first]
  canvas_HWC = np.empty((last[0] - first[0], last[1] - first[1], 3), np.uint8)
  canvas_HWC[:] = _ground(image_HWC)
  canvas_HWC[before[0] : before[0] + len(inner_HWC), before[1] : before[1] + inner_HWC.shape[1]] = inner_HWC
  box = (left - first[1], top - first[0], left - first[1] + side, top - first[0] + side)
  return np.asarray(Image.fromarray(canvas_HWC).resize((size, size), resampling, box)), notes


def _ground(image_HWC: np.ndarray) -> np.ndarray:
  # A photograph of many pixels is sampled: its ground is a median.
  step = -(-max(image_HWC.shape[:2]) // 512)
  ground_C = stain.ground(image_HWC[::step, ::step])
  return np.zeros(3, np.uint8) if ground_C is None else (ground_C - 1).round().clip(0, 255).astype(np.uint8)
