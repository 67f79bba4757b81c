"""All that lies between a decoded image and what the network sees, in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.data.augmentation import augment, compiled, crop, mixing, photometric, standardize
from bloodcell_jax.data.tensorflow_cpu import tf

# Columns of an image's operands.
_CROP, _AUGMENT, _PHOTOMETRIC = slice(0, 4), slice(4, 14), slice(14, 29)
NUM_OPERANDS = 29


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is done to a training image, from first to last; the others are only standardized."""

  crop: crop.Spec
  augment: augment.Spec
  photometric: photometric.Spec
  standardize: standardize.Spec
  mixing: mixing.Spec

  @property
  def is_random(self) -> bool:
    """Whether single images are changed at random."""
    return self.crop.is_active or self.augment.is_active or self.photometric.is_active


def make_operands(
  spec: Spec, seed: int, image_NHWC: np.ndarray, rows: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
  """A function `(positions, rows_B) -> [B, NUM_OPERANDS]` float64: all that is drawn for the images of a batch.

  **Guarantees**: an image's numbers depend on (seed, its position in the endless stream) alone, and where it is cropped
  on its cell's place.

  Args:
    spec: the ranges.
    seed: of the run.
    image_NHWC: uint8; looked at only where there is a crop around the cell.
    rows: those that will be asked for.
  """
  shape = image_NHWC.shape[1:]
  centre_N2 = np.zeros((len(image_NHWC), 2))
  if spec.crop.is_active:
    centre_N2[rows] = crop.centres(image_NHWC[rows])

  def draw(positions: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
    operand_BD = np.zeros((len(positions), NUM_OPERANDS))
    if spec.crop.is_active:
      operand_BD[:, _CROP] = crop.draw(spec.crop, seed, positions, centre_N2[rows_B], shape)
    if spec.augment.is_active:
      drawn = augment.draw(spec.augment, seed, positions, shape)
      operand_BD[:, _AUGMENT] = augment.operands(spec.augment, drawn, shape)
    if spec.photometric.is_active:
      operand_BD[:, _PHOTOMETRIC] = photometric.operands(photometric.draw(spec.photometric, seed, positions))
    return operand_BD

  return draw


def make_apply(
  spec: Spec, statistics: standardize.Statistics | None, shape: tuple[int, int, int]
) -> Callable[[Any, Any], Any]:
  """A function of tensors `(uint8 image_BHWC, operands) -> float32 image_BHWC` as the network takes them.

  Raises:
    UserError: settings that do not fit the images, or that need statistics where there are none.
  """
  finish = standardize.make_apply(spec.standardize, statistics)
  return _chain(spec, shape, finish)


def make_changes(spec: Spec, shape: tuple[int, int, int]) -> Callable[[Any, Any], Any]:
  """The same without the standardization: grey levels in 0..255, for people and for files."""
  return _chain(spec, shape, lambda image: tf.cast(image, tf.float32))


def _chain(
  spec: Spec, shape: tuple[int, int, int], finish: Callable[[Any], Any]
) -> Callable[[Any, Any], Any]:
  cropped = crop.make_apply(shape) if spec.crop.is_active else None
  relit = photometric.make_apply(spec.photometric, shape) if spec.photometric.is_active else None
  moved = None
  if spec.augment.is_active:
    # Compiled together with what comes after it, where nothing comes between.
    moved = augment.make_apply(spec.augment, shape, tf.identity if relit else finish)
  # Compiling is not worth its seconds where an image is only multiplied by a number.
  last = compiled.function(finish) if relit and not moved else finish

  def apply(image_BHWC: Any, operand_BD: Any) -> Any:
    if cropped:
      image_BHWC = cropped(image_BHWC, tf.cast(operand_BD[:, _CROP], tf.float32))
    if moved:
      image_BHWC = moved(image_BHWC, operand_BD[:, _AUGMENT])
    if relit:
      image_BHWC = relit(tf.cast(image_BHWC, tf.float32), operand_BD[:, _PHOTOMETRIC])
    return image_BHWC if moved and not relit else last(image_BHWC)

  return apply
