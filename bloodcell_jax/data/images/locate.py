"""Locates the white cell: its nucleus is the most purple blob."""

from __future__ import annotations

import numpy as np
from PIL import Image

# A crop of 224 of the 480 rows of a photograph contains the whole cell in the images of the study. Images of single
# cells, such as CellaVision's, must be used in full: the crop would cut the cell.
CROP_SHARE = 224 / 480

# Otsu's threshold always yields a blob; one below these limits is no nucleus: least share of the frame, and least
# contrast in levels of 255. The nuclei of the study's photographs exceed both.
LEAST_SHARE = 0.005
LEAST_CONTRAST = 18

# Rows of the reduced image: enough for the centre, and averaging removes noise of the camera.
_NUM_ROWS = 120


def nucleus(image_HWC: np.ndarray) -> tuple[float, float] | None:
  """The centre (row, column) of the most purple blob, or None if there is none.

  Purple is `(B + R) / 2 - G`: the stain of the nucleus absorbs green, red cells absorb blue as well. Of the
  blobs above Otsu's threshold the one with the largest sum of squared excess is chosen: the largest area would be
  a chain of red cells in 6 % of the photographs of the study. None means an image without colour, or one with
  red cells only, which is recognised in most cases but not in all.

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
  blob = _blob(image_HWC)
  if blob is None:
    return None
  chosen_HW, step = blob
  rows, columns = np.nonzero(chosen_HW)
  # A pixel of the reduced image is a block of `step` x `step` pixels; its index is that of the first.
  within = (step - 1) / 2
  return float(rows.mean() * step + within), float(columns.mean() * step + within)


def mask(image_HWC: np.ndarray) -> np.ndarray | None:
  """bool [H, W]: the pixels of the blob whose centre `nucleus` returns; None if there is none.

  Args:
    image_HWC: uint8 RGB.

  Source: as `nucleus`.

  Example:
    >>> image = np.full((100, 120, 3), 200, np.uint8)
    >>> image[20:41, 70:91, 1] = 60
    >>> mask(image).sum()
    np.int64(441)
  """
  blob = _blob(image_HWC)
  if blob is None:
    return None
  chosen_HW, step = blob
  height, width = image_HWC.shape[:2]
  return chosen_HW.repeat(step, 0).repeat(step, 1)[:height, :width]


def _blob(image_HWC: np.ndarray) -> tuple[np.ndarray, int] | None:
  """The most purple blob in the image reduced by an integer step, and the step."""
  # Imported here: scikit-image takes time to load and is needed only to find a nucleus.
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
  """The square of `share` of the image's height around `centre`, shifted where it would exceed the image.

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
