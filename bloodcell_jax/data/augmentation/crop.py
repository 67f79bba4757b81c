"""Random crops around the cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import draws
from bloodcell_jax.data.images import locate
from bloodcell_jax.data.tensorflow_cpu import tf


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is drawn."""

  crop_range: tuple  # the crop's least and greatest share of the image's sides, in (0, 1]; () for no crop
  crop_shift: (
    float  # how far its middle may lie from the cell's, in shares of the crop's own sides, in [0, 0.5]
  )

  def __post_init__(self):
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.crop_range)
    if self.crop_range != () and not (
      numbers and len(self.crop_range) == 2 and 0 < self.crop_range[0] <= self.crop_range[1] <= 1
    ):
      raise types.UserError(
        f'augment.crop_range is {self.crop_range!r}; give two shares, 0 < low <= high <= 1, or () for no crop'
      )
    if not 0 <= self.crop_shift <= 0.5:
      raise types.UserError(f'augment.crop_shift is {self.crop_shift!r}; it must lie in [0, 0.5]')

  @property
  def is_active(self) -> bool:
    """Whether anything is cropped at all."""
    return bool(self.crop_range)


def centres(image_NHWC: np.ndarray) -> np.ndarray:
  """[N, 2] row and column of each image's nucleus; the middle where none is found.

  Looked for once a data set, because it takes longer than everything else that becomes of an image.
  """
  height, width = image_NHWC.shape[1:3]
  middle = ((height - 1) / 2, (width - 1) / 2)
  return np.array([locate.nucleus(image_HWC) or middle for image_HWC in image_NHWC]).reshape(-1, 2)


def draw(
  spec: Spec, seed: int, positions: np.ndarray, centre_B2: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
  """[B, 4] float32 top, left, bottom, right in pixels: the crops of the images at these positions of the stream.

  **Guarantees**: a crop depends on (seed, position) and the cell's place alone, and lies inside the image.

  Args:
    spec: how.
    seed: of the run.
    positions: [B] ints: step x batch size + place in the batch.
    centre_B2: where the cells are, from `centres`.
    shape: (height, width, channels) of an image.

  Example:
    >>> draw(Spec((0.5, 0.5), 0.0), 0, np.array([3]), np.array([[4.5, 0.0]]), (11, 11, 3)).tolist()
    [[2.0, 0.0, 7.0, 5.0]]
  """
  size_2 = np.array(shape[:2]) - 1.0
  share, *shift = draws.uniform(seed, 'crop', positions, 3).T
  low, high = spec.crop_range or (1.0, 1.0)
  side_B2 = (low + (high - low) * share)[:, None] * size_2
  middle_B2 = centre_B2 + spec.crop_shift * (2 * np.stack(shift, 1) - 1) * side_B2
  corner_B2 = np.clip(middle_B2 - side_B2 / 2, 0, size_2 - side_B2)
  return np.concatenate([corner_B2, corner_B2 + side_B2], 1).astype(np.float32)


def make_apply(shape: tuple[int, int, int]) -> Callable[[Any, Any], Any]:
  """A function of tensors: (images, crops in pixels) -> float32 images of the old size, linearly interpolated."""
  height, width, _ = shape
  last = np.array([height - 1, width - 1] * 2, np.float32)

  def apply(image_BHWC: Any, crop_B4: Any) -> Any:
    index_B = tf.range(tf.shape(image_BHWC)[0])
    return tf.image.crop_and_resize(image_BHWC, crop_B4 / last, index_B, [height, width])

  return tf.function(apply, autograph=False)
