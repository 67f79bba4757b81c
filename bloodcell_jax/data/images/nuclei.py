"""Where the nucleus of each image of a data set lies, found once."""

from __future__ import annotations

import functools

import numpy as np

from bloodcell_jax.data.images import locate, on_demand


class Nuclei:
  """Where the nucleus of each image lies: found when first asked for and kept, for all stages, folds and members.

  It takes longer than all other processing of an image.
  """

  def __init__(self, image_NHWC: on_demand.Images):
    self._image_NHWC = image_NHWC

  def __len__(self) -> int:
    return len(self._image_NHWC)

  @property
  def shape(self) -> tuple[int, ...]:
    """Of one image: (height, width, channels)."""
    return self._image_NHWC.shape[1:]

  def centres(self, rows: np.ndarray) -> np.ndarray:
    """[R, 2] row and column of the nucleus of each of these images; the image's centre where none is found."""
    height, width, _ = self.shape
    middle = ((height - 1) / 2, (width - 1) / 2)
    for row in rows:
      if np.isnan(self._centre_N2[row, 0]):
        self._centre_N2[row] = locate.nucleus(self._image_NHWC[row]) or middle
    return self._centre_N2[rows]

  @functools.cached_property
  def _centre_N2(self) -> np.ndarray:
    """NaN for those not yet found."""
    return np.full((len(self), 2), np.nan)
