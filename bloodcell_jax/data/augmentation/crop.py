"""Random crops around the cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import draws
from bloodcell_jax.data.tensorflow_cpu import tf

# Top, left, bottom, right.
NUM_OPERANDS = 4


@dataclasses.dataclass(frozen=True)
class Spec:
  """The ranges of the crops."""

  crop_range: (
    tuple  # minimum and maximum side of the crop as a fraction of the image's, in (0, 1]; () for no crop
  )
  # Maximum distance of the crop's centre from the cell's, as a fraction of the crop's sides, in [0, 0.5].
  crop_shift: float

  def __post_init__(self):
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.crop_range)
    if self.crop_range != () and not (
      numbers and len(self.crop_range) == 2 and 0 < self.crop_range[0] <= self.crop_range[1] <= 1
    ):
      raise types.UserError(
        f'augment.crop_range is {self.crop_range!r}; give two fractions, 0 < low <= high <= 1, or () for no crop'
      )
    if not 0 <= self.crop_shift <= 0.5:
      raise types.UserError(f'augment.crop_shift is {self.crop_shift!r}; it must lie in [0, 0.5]')

  @property
  def is_active(self) -> bool:
    """Whether images are cropped."""
    return bool(self.crop_range)


def draw(
  spec: Spec, seed: int, positions: np.ndarray, centre_B2: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
  """[B, 4] float32 top, left, bottom, right in pixels: the crops at these positions of the training stream.

  **Guarantees**: a crop depends only on (seed, position) and the cell's centre, and lies inside the image.

  Args:
    spec: the ranges.
    seed: of the run.
    positions: [B] ints: step x batch size + index in the batch.
    centre_B2: row and column of the cells, from `nuclei.Nuclei`.
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
  """A tensor function (images, crops in pixels) -> float32 images of the original size, bilinearly interpolated."""
  height, width, _ = shape
  last = np.array([height - 1, width - 1] * 2, np.float32)

  def apply(image_BHWC: Any, crop_B4: Any) -> Any:
    index_B = tf.range(tf.shape(image_BHWC)[0])
    return tf.image.crop_and_resize(image_BHWC, crop_B4 / last, index_B, [height, width])

  return tf.function(apply, autograph=False)
