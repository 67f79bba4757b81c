"""Decodes each image of a table once and extracts what an audit needs; keeps no image."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from concurrent import futures

import numpy as np

from bloodcell_jax.audit import colour_nn, grouping
from bloodcell_jax.base import types
from bloodcell_jax.data.images import copies, decode, photograph
from bloodcell_jax.fields import keypoints

_Keypoints = tuple[np.ndarray, np.ndarray, tuple[int, int]]  # of keypoints.detect
_BLOCK = 256  # images between two calls of `poll`


@dataclasses.dataclass(frozen=True)
class Scan:
  """The usable rows of a table and what was extracted from each image."""

  table: types.Table  # only the rows of usable images
  problems: list[types.Problem]  # the other images, with the reason
  pixels_N: np.ndarray  # str: hash of size and pixels
  signature_ND: np.ndarray  # float32, of copies.signature
  notes: list[types.Problem]  # conversions
  histogram_ND: np.ndarray  # float32, of colour_nn.histogram
  points: keypoints.Keypoints


def read(
  table: types.Table, max_pixels: int, poll: Callable[[], None], on_progress: Callable[[int, int], None]
) -> Scan:
  """Reads all images of the table on all cores.

  Args:
    table: the images.
    max_pixels: images with more are problems.
    poll: called between blocks; its exceptions propagate.
    on_progress: called with (images done, images in all).
  """
  kept: list[int] = []
  problems: list[types.Problem] = []
  notes: list[types.Problem] = []
  pixels: list[str] = []
  signature_ND = np.empty((len(table), copies.SIDE**2 * 3), np.float32)
  histogram_ND = np.empty((len(table), 512), np.float32)
  collector = keypoints.Collector(len(table))

  def scan_one(
    row: int,
  ) -> decode.DecodeError | tuple[str, np.ndarray, np.ndarray, _Keypoints, tuple[str, ...]]:
    try:
      # As training reads it, so that both see the same pixels.
      image, conversions = photograph.upright(table.content[row], max_pixels)
    except decode.DecodeError as error:
      return error
    image_HWC = np.asarray(image)
    histogram_D, signature_D = colour_nn.histogram(image_HWC), copies.signature(image_HWC)
    return pixel_digest(image_HWC), histogram_D, signature_D, keypoints.detect(image_HWC), conversions

  with decode.quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(table), _BLOCK):
      poll()
      block = range(start, min(start + _BLOCK, len(table)))
      for row, result in zip(block, pool.map(scan_one, block), strict=True):
        if isinstance(result, decode.DecodeError):
          problems.append(types.Problem(str(table.file[row]), str(result)))
          continue
        digest, histogram_ND[len(kept)], signature_ND[len(kept)], points, conversions = result
        notes += [types.Problem(str(table.file[row]), note) for note in conversions]
        collector.add(*points)
        kept.append(row)
        pixels.append(digest)
      on_progress(block.stop, len(table))
  return Scan(
    table.take(kept),
    problems,
    np.array(pixels, np.str_),
    signature_ND[: len(kept)],
    notes,
    histogram_ND[: len(kept)],
    collector.keypoints(),
  )


def pixel_digest(image_HWC: np.ndarray) -> str:
  """16 hex digits of the size and the pixels, like the digest of the bytes; copies no pixel of a contiguous image.

  Args:
    image_HWC: uint8.
  """
  digest = hashlib.sha256(str(image_HWC.shape).encode())
  digest.update(np.ascontiguousarray(image_HWC))
  return digest.hexdigest()[:16]


def stratified_sample(table: types.Table, num: int, generator: np.random.Generator) -> np.ndarray:
  """`num` rows, ascending, spread evenly over all classes of all splits; small ones are taken completely."""
  cell_N = grouping.intersection(table.split, table.label)
  order = generator.permutation(len(table))
  # The rank of each row within its cell; the first rows of all cells come before the second ones.
  by_cell = order[np.argsort(cell_N[order], kind='stable')]
  _, first, size = np.unique(cell_N[by_cell], return_index=True, return_counts=True)
  rank = np.arange(len(table)) - np.repeat(first, size)
  return np.sort(by_cell[np.argsort(rank, kind='stable')][:num])
