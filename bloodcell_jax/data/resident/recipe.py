"""What a batch is made of where the images lie on the device: their rows and the numbers that change them."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

import jax
import numpy as np

from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import augment, columns, photometric, transform
from bloodcell_jax.data.images import nuclei
from bloodcell_jax.data.resident import affine

# A NumPy array until it is on the device.
Array = Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Recipe:
  """A batch before its images are gathered, a few kilobytes; a row of zeros pads it, without weight."""

  row_B: Array  # int32, of the images on the device
  matrix_B6: Array  # float32: `augmentation.affine.matrices`
  fraction_B6: Array  # uint32: their fractional parts
  flip_B2: Array  # bool: left to right, upside down
  level_B2: Array  # float32: channel shift and factor of brightness; NaN for none
  turn_B2: Array  # int32: quarter turns, then whether it is mirrored
  erased_B4: Array  # float32: as `photometric.Drawn`
  target_BK: Array  # as those of `types.Batch`, like the two that follow
  weight_B: Array
  position_B: Array


def training(
  arrays: stream.Arrays,
  batch_size: int,
  seed: int,
  start: int,
  spec: transform.Spec | None,
  part: slice = stream.WHOLE,
) -> Generator[Recipe, None, None]:
  """The endless recipes of the training batches from step `start` on.

  **Guarantees**: a recipe depends only on (seed, step); its images, and what changes them, are those of
  `pipeline.training`.

  Args:
    arrays: of the training rows alone, which are on the device in this order.
    batch_size: B.
    seed: of the run.
    start: the first step.
    spec: how images are changed; None for features, which are not.
    part: of each batch.
  """
  rows = np.arange(len(arrays.weight_N))
  # No nucleus is looked for, since crops are refused.
  draw = transform.make_operands(spec, seed, nuclei.Nuclei(arrays.image_NHWC), rows) if spec else None
  position_B = np.arange(batch_size, dtype=np.int32)[part]
  for all_rows_B, step in stream.order(arrays, rows, batch_size, seed, start):
    rows_B, positions = all_rows_B[part], step * batch_size + np.arange(batch_size)[part]
    operand_BD = draw(positions, rows_B) if draw else np.zeros((len(rows_B), transform.NUM_OPERANDS))
    geometric = columns.split(augment.Operands, operand_BD[:, transform.AUGMENT])
    drawn = columns.split(photometric.Drawn, operand_BD[:, transform.PHOTOMETRIC])
    yield Recipe(
      rows_B.astype(np.int32),
      geometric.matrix_B6.astype(np.float32),
      affine.fractions(geometric.matrix_B6),
      np.stack([geometric.flip_horizontal_B, geometric.flip_vertical_B], 1) > 0,
      np.stack([geometric.channel_shift_intensity_B, geometric.brightness_B], 1).astype(np.float32),
      np.stack([drawn.turns_B, drawn.mirror_B], 1).astype(np.int32),
      drawn.erased_B4.astype(np.float32),
      arrays.target_NK[rows_B],
      arrays.weight_N[rows_B],
      position_B,
    )
