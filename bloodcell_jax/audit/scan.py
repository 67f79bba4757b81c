"""What an audit needs of each image, of which every one is decoded once and none is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from concurrent import futures

import numpy as np

from bloodcell_jax.audit import colour_nn, grouping, keypoints
from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode

_Found = tuple[np.ndarray, np.ndarray, tuple[int, int]]  # of keypoints.detect
_BLOCK = 256  # images between two looks at the stop


@dataclasses.dataclass(frozen=True)
class Survey:
  """Row by row of `table`: what was seen."""

  table: types.Table  # without the images that cannot be used
  problems: list[types.Problem]  # those, with the reason
  pixels_N: np.ndarray  # str: equal where size and pixels are equal
  histogram_ND: np.ndarray  # float32, of colour_nn.histogram
  points: keypoints.Keypoints


def read(
  table: types.Table, max_pixels: int, poll: Callable[[], None], on_progress: Callable[[int, int], None]
) -> Survey:
  """Reads every image of the table, on every core.

  Args:
    table: the images.
    max_pixels: an image with more cannot be used.
    poll: called between blocks; what it raises gets out.
    on_progress: called with (images done, images in all).
  """
  kept: list[int] = []
  problems: list[types.Problem] = []
  pixels: list[str] = []
  histogram_ND = np.empty((len(table), 512), np.float32)
  gathered = keypoints.Gathered(len(table))

  def one(row: int) -> decode.DecodeError | tuple[str, np.ndarray, _Found]:
    try:
      image_HWC = decode.upright(table.content[row], max_pixels)
    except decode.DecodeError as error:
      return error
    # The first 16 hex digits, as of the bytes.
    digest = hashlib.sha256(str(image_HWC.shape).encode() + image_HWC.tobytes()).hexdigest()[:16]
    return digest, colour_nn.histogram(image_HWC), keypoints.detect(image_HWC)

  with decode.quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(table), _BLOCK):
      poll()
      block = range(start, min(start + _BLOCK, len(table)))
      for row, seen in zip(block, pool.map(one, block), strict=True):
        if isinstance(seen, decode.DecodeError):
          problems.append(types.Problem(str(table.file[row]), str(seen)))
          continue
        digest, histogram_ND[len(kept)], found = seen
        gathered.add(*found)
        kept.append(row)
        pixels.append(digest)
      on_progress(block.stop, len(table))
  return Survey(
    table.take(kept), problems, np.array(pixels, np.str_), histogram_ND[: len(kept)], gathered.done()
  )


def evenly(table: types.Table, most: int, drawn: np.random.Generator) -> np.ndarray:
  """`most` rows, ascending: as many of every class of every split, until a small one has no more."""
  cell_N = grouping.both_of(table.split, table.label)
  order = drawn.permutation(len(table))
  # The place of each row within its cell: the first of every cell come before the second ones.
  by_cell = order[np.argsort(cell_N[order], kind='stable')]
  _, first, size = np.unique(cell_N[by_cell], return_index=True, return_counts=True)
  place = np.arange(len(table)) - np.repeat(first, size)
  return np.sort(by_cell[np.argsort(place, kind='stable')][:most])
