"""Where the white cell is: its nucleus is the most purple blob."""

from __future__ import annotations

import numpy as np
from PIL import Image

# A crop of 224 of a photograph's 480 rows holds the whole cell on the study's images. Of a picture of one cell
# alone, such as CellaVision's, it would cut the cell: those are used in full.
CROP_SHARE = 224 / 480

# Otsu's threshold always yields a blob; one below these limits is no nucleus: least share of the frame, and least
# contrast in levels of 255. The nuclei of the study's photographs exceed both.
LEAST_SHARE = 0.005
LEAST_CONTRAST = 18

# Rows that are looked at: enough for the centre, and averaging them takes the camera's noise away.
_NUM_ROWS = 120


def nucleus(image_HWC: np.ndarray) -> tuple[float, float] | None:
  """The centre (row, column) of the most purple blob, or None where there is none.

  Purple is `(B + R) / 2 - G`: the dye of the nucleus swallows green, red cells swallow blue as well. Of the
  blobs above Otsu's threshold the one with the largest sum of squared excess is taken: the largest area alone
  is a chain of red cells in 6 % of the study's photographs. None means a picture without colour, or a
  field of red cells alone, which is recognised in most cases but not in all.

  Args:
    image_HWC: uint8 RGB.

  Source: Otsu 1979, "A threshold selection method from gray-level histograms"; scikit-image `threshold_otsu`.

  Example:
    >>> image = np.full((100, 120, 3), 200, np.uint8)
    >>> nucleus(image) is None
    True
    >>> image[20:41, 70:91, 1] = 60
    >>> nucleus(image)
    (30.0, 80.0)
  """
  found = _blob(image_HWC)
  if found is None:
    return None
  chosen_HW, step = found
  rows, columns = np.nonzero(chosen_HW)
  # A pixel stands for `step` x `step` of them, and its index is that block's first.
  within = (step - 1) / 2
  return float(rows.mean() * step + within), float(columns.mean() * step + within)


def mask(image_HWC: np.ndarray) -> np.ndarray | None:
  """The pixels [H, W] of the blob whose centre `nucleus` gives, in blocks of its step; None where there is none.

  Args:
    image_HWC: uint8 RGB.

  Source: as `nucleus`.

  Example:
    >>> image = np.full((100, 120, 3), 200, np.uint8)
    >>> image[20:41, 70:91, 1] = 60
    >>> mask(image).sum()
    np.int64(441)
  """
  found = _blob(image_HWC)
  if found is None:
    return None
  chosen_HW, step = found
  height, width = image_HWC.shape[:2]
  return chosen_HW.repeat(step, 0).repeat(step, 1)[:height, :width]


def _blob(image_HWC: np.ndarray) -> tuple[np.ndarray, int] | None:
  """The most purple blob of the image reduced by a whole step, and that step."""
  # Imported here: scikit-image is only needed where the nucleus is asked for.
  from skimage import filters, measure

  step = -(-image_HWC.shape[0] // _NUM_ROWS)
  image = np.asarray(Image.fromarray(image_HWC).reduce(step)).astype(np.int32)
  purple_HW = np.clip((image[..., 0] + image[..., 2]) // 2 - image[..., 1], 0, 255)
  counts = np.bincount(purple_HW.ravel(), minlength=256)
  if np.count_nonzero(counts) < 2:
    return None
  selected_HW = purple_HW > filters.threshold_otsu(hist=(counts, np.arange(256)))
  excess_HW = purple_HW - purple_HW[~selected_HW].mean()
  blob_HW = measure.label(selected_HW)
  weights = np.bincount(blob_HW.ravel(), weights=np.square(excess_HW).ravel())
  weights[0] = 0
  chosen_HW = blob_HW == weights.argmax()
  if chosen_HW.mean() < LEAST_SHARE or excess_HW[chosen_HW].mean() < LEAST_CONTRAST:
    return None
  return chosen_HW, step


def crop(image_HWC: np.ndarray, centre: tuple[float, float], share: float) -> np.ndarray:
  """The square of `share` of the image's height around `centre`, moved inside where it would stick out.

  Example:
    >>> crop(np.zeros((100, 120, 3), np.uint8), (5.0, 60.0), 0.5).shape
    (50, 50, 3)
  """
  height, width = image_HWC.shape[:2]
  side = max(1, min(round(share * height), height, width))
  top, left = (
    int(np.clip(round(at - side / 2), 0, size - side))
    for at, size in zip(centre, (height, width), strict=True)
  )
  return image_HWC[top : top + side, left : left + side]
