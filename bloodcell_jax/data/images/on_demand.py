"""Images that are decoded anew each time they are read, for data that fits neither into memory nor on a disk."""

from __future__ import annotations

import math
import operator
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.images import rgb

# Images of a task. More than these are decoded on all cores.
_BLOCK = 8


class OnDemand:
  """Reads like a uint8 array [N, S, S, 3] by rows, and keeps no pixel.

  **Guarantees**: the pixels are those that were checked when the data was read; a file that has changed since, or is
  gone, is an error.
  """

  dtype = np.dtype(np.uint8)
  ndim = 4

  def __init__(self, rows: types.Table, side: int, decode: Callable[[types.Content, str], np.ndarray]):
    """Notes where the images are.

    Args:
      rows: the table; each image can be decoded.
      side: S.
      decode: a function from an image and its digest to its pixels, uint8 [S, S, 3]. Raises DecodeError if they cannot
        be read, or are others.
    """
    self._rows, self._decode = rows, decode
    self.shape = (len(rows), side, side, 3)
    # Told when the data was read. Not by `photograph.quiet`, which two threads cannot use at the same time.
    warnings.filterwarnings('ignore', module='PIL')

  def __len__(self) -> int:
    return len(self._rows)

  @property
  def nbytes(self) -> int:
    """Of all pixels, as of an array."""
    return math.prod(self.shape)

  def only(self, rows: types.Table) -> OnDemand:
    """The images of this part of the table alone, undecoded."""
    return OnDemand(rows, self.shape[1], self._decode)

  def __getitem__(self, key: Any) -> np.ndarray:
    """Decodes [S, S, 3] of a row, or [R, S, S, 3] of a slice, of numbers or of a mask.

    Raises:
      RunError: an image has changed since the data was read, or is gone.
    """
    if hasattr(key, '__index__') and not np.ndim(key):
      return self._one(range(len(self))[operator.index(key)])
    chosen = np.arange(len(self))[key]
    images = np.empty((len(chosen), *self.shape[1:]), np.uint8)

    def fill(start: int) -> None:
      for i in range(start, min(start + _BLOCK, len(chosen))):
        images[i] = self._one(chosen[i])

    starts = range(0, len(chosen), _BLOCK)
    if len(starts) < 2:
      for start in starts:
        fill(start)
    else:
      with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, starts))
    return images

  def __iter__(self) -> Iterator[np.ndarray]:
    return (self._one(row) for row in range(len(self)))

  def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """All images at once, for those who have the memory."""
    return self[:].astype(dtype or self.dtype, copy=False)

  def _one(self, row: int) -> np.ndarray:
    try:
      return self._decode(self._rows.content[row], str(self._rows.digest[row]))
    except rgb.DecodeError as error:
      raise types.RunError(
        f'{self._rows.file[row]}: {error}; it was read at the start of the run: put it back, and start the same '
        'command again'
      ) from None


# Read by rows alike.
Images = np.ndarray | OnDemand
