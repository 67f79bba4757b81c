"""Room for the decoded images of a data set: in memory, or on the disk where they would fill it."""

from __future__ import annotations

import math
import os
import pathlib
import shutil
import tempfile

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.system import memory


def make(shape: tuple[int, ...], cache: str, directory: pathlib.Path) -> np.ndarray:
  """A uint8 array of zeros.

  Args:
    shape: [N, S, S, 3].
    cache: memory, disk, or auto: the disk where it would take over half of the memory that is free.
    directory: where it lies on the disk; the room is given back however the process ends.

  Raises:
    UserError: the disk has no room for it.
    RunError: the memory has none.
  """
  num_bytes = math.prod(shape)  # of whole numbers without end, unlike NumPy's
  if num_bytes == 0 or cache == 'memory' or (cache == 'auto' and num_bytes <= memory.available() // 2):
    # Asked first: zeros are promised, and the process is killed when they are written to.
    memory.require(
      num_bytes, memory.obtainable(), 'decoded images', 'set data.cache=disk or lower data.image_size'
    )
    return np.zeros(shape, np.uint8)
  directory.mkdir(parents=True, exist_ok=True)
  # Asked first: to write into a map on a full disk kills the process.
  free = shutil.disk_usage(directory).free
  if free < num_bytes:
    raise types.UserError(
      f'{directory}: {num_bytes / 1e9:.1f} GB are needed for the decoded images and {free / 1e9:.1f} GB are '
      'free; make room or lower data.image_size'
    )
  # Unlinked while open: the room is given back however the process ends.
  with tempfile.TemporaryFile(dir=directory) as file:
    file.truncate(num_bytes)
    # Reserved and not only promised, for the same reason.
    if hasattr(os, 'posix_fallocate'):
      os.posix_fallocate(file.fileno(), 0, num_bytes)
    return np.memmap(file, np.uint8, 'r+', shape=shape)
