"""Where the white cell is: its nucleus is the largest purple blob."""

from __future__ import annotations

import numpy as np

# A crop of 224 of a photograph's 480 rows holds the whole cell on the study's images. Of a picture of one cell
# alone, such as CellaVision's, it would cut the cell: those are used in full.
CROP_SHARE = 224 / 480

# Otsu's threshold always finds something, so these tell a nucleus from noise. The smallest and palest of
# the study's images cover 1.3 % of the frame and stand out by 14 of 255 levels.
LEAST_SHARE = 0.005
LEAST_CONTRAST = 10

# Rows that are looked at: on the study's photographs every third gives the centre that all of them give.
_NUM_ROWS = 160


def nucleus(image_HWC: np.ndarray) -> tuple[float, float] | None:
  """The centre (row, column) of the largest purple blob, or None where there is none.

  Purple is `(B + R) / 2 - G`: the dye of the nucleus swallows green, red cells swallow blue as well. None means
  a picture without colour or contrast; on a field of red cells alone some blob is found as a rule.

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
  # Imported here: scikit-image is only needed where this view is asked for.
  from skimage import filters, measure

  step = -(-image_HWC.shape[0] // _NUM_ROWS)
  image = image_HWC[::step, ::step].astype(np.int32)
  purple_HW = np.clip((image[..., 0] + image[..., 2]) // 2 - image[..., 1], 0, 255)
  counts = np.bincount(purple_HW.ravel(), minlength=256)
  if np.count_nonzero(counts) < 2:
    return None
  selected_HW = purple_HW > filters.threshold_otsu(hist=(counts, np.arange(256)))
  if purple_HW[selected_HW].mean() - purple_HW[~selected_HW].mean() < LEAST_CONTRAST:
    return None
  blob_HW = measure.label(selected_HW)
  sizes = np.bincount(blob_HW.ravel())
  sizes[0] = 0
  if sizes.max() < LEAST_SHARE * purple_HW.size:
    return None
  rows, columns = np.nonzero(blob_HW == sizes.argmax())
  # Of the sampled pixels each stands for `step` x `step`, and its index is that block's first.
  within = (step - 1) / 2
  return float(rows.mean() * step + within), float(columns.mean() * step + within)


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
