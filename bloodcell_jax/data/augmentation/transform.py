"""The whole chain from a decoded image to the network's input: crop, augmentation, standardization."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.data.augmentation import augment, compiled, crop, mixing, photometric, standardize
from bloodcell_jax.data.images import nuclei as nuclei_lib
from bloodcell_jax.data.tensorflow_cpu import tf

# Columns of the operands of an image.
CROP = slice(0, crop.NUM_OPERANDS)
AUGMENT = slice(CROP.stop, CROP.stop + augment.NUM_OPERANDS)
PHOTOMETRIC = slice(AUGMENT.stop, AUGMENT.stop + photometric.NUM_OPERANDS)
NUM_OPERANDS = PHOTOMETRIC.stop


@dataclasses.dataclass(frozen=True)
class Spec:
  """The transformations of a training image in their order; other images are only standardized."""

  crop: crop.Spec
  augment: augment.Spec
  photometric: photometric.Spec
  standardize: standardize.Spec
  mixing: mixing.Spec

  @property
  def is_random(self) -> bool:
    """Whether images are changed at random one by one; mixing is not included."""
    return self.crop.is_active or self.augment.is_active or self.photometric.is_active


def make_operands(
  spec: Spec, seed: int, nuclei: nuclei_lib.Nuclei, rows: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
  """A function `(positions, rows_B) -> [B, NUM_OPERANDS]` float64: the random parameters of the images of a batch.

  **Guarantees**: an image's parameters depend only on (seed, position in the training stream) and, for a crop, on the
  centre of its cell.

  Args:
    spec: the ranges.
    seed: of the run.
    nuclei: of the images, which are read only to find the cells for crops.
    rows: all rows that `rows_B` may have.
  """
  shape = nuclei.shape
  centre_N2 = np.zeros((len(nuclei), 2))
  if spec.crop.is_active:
    centre_N2[rows] = nuclei.centres(rows)

  def draw(positions: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
    operand_BD = np.zeros((len(positions), NUM_OPERANDS))
    if spec.crop.is_active:
      operand_BD[:, CROP] = crop.draw(spec.crop, seed, positions, centre_N2[rows_B], shape)
    if spec.augment.is_active:
      drawn = augment.draw(spec.augment, seed, positions, shape)
      operand_BD[:, AUGMENT] = augment.operands(spec.augment, drawn, shape)
    if spec.photometric.is_active:
      operand_BD[:, PHOTOMETRIC] = photometric.operands(photometric.draw(spec.photometric, seed, positions))
    return operand_BD

  return draw


def make_apply(
  spec: Spec, statistics: standardize.Statistics | None, shape: tuple[int, int, int]
) -> Callable[[Any, Any], Any]:
  """A tensor function `(uint8 image_BHWC, operands) -> float32 image_BHWC`, standardized for the network.

  Raises:
    UserError: settings that do not fit the images, or that need statistics where `statistics` has none.
  """
  finish = standardize.make_apply(spec.standardize, statistics)
  return _chain(spec, shape, finish)


def make_changes(spec: Spec, shape: tuple[int, int, int]) -> Callable[[Any, Any], Any]:
  """As `make_apply` without standardization: grey levels in 0..255, to be shown or saved."""
  return _chain(spec, shape, lambda image: tf.cast(image, tf.float32))


def _chain(
  spec: Spec, shape: tuple[int, int, int], finish: Callable[[Any], Any]
) -> Callable[[Any, Any], Any]:
  crop_fn = crop.make_apply(shape) if spec.crop.is_active else None
  photometric_fn = photometric.make_apply(spec.photometric, shape) if spec.photometric.is_active else None
  augment_fn = None
  if spec.augment.is_active:
    # Compiled together with `finish`, unless the photometric changes come between them.
    augment_fn = augment.make_apply(spec.augment, shape, tf.identity if photometric_fn else finish)
  # Without augmentation, compiling takes longer than it saves.
  last = compiled.function(finish) if photometric_fn and not augment_fn else finish

  def apply(image_BHWC: Any, operand_BD: Any) -> Any:
    if crop_fn:
      image_BHWC = crop_fn(image_BHWC, tf.cast(operand_BD[:, CROP], tf.float32))
    if augment_fn:
      image_BHWC = augment_fn(image_BHWC, operand_BD[:, AUGMENT])
    if photometric_fn:
      image_BHWC = photometric_fn(tf.cast(image_BHWC, tf.float32), operand_BD[:, PHOTOMETRIC])
    return image_BHWC if augment_fn and not photometric_fn else last(image_BHWC)

  return apply
