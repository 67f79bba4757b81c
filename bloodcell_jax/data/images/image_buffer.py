"""The array of the decoded images: in memory, in a temporary file if they are too many, or nowhere."""

from __future__ import annotations

import math
import os
import pathlib
import shutil
import tempfile

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.system import memory

MEMORY, DISK, NONE = 'memory', 'disk', 'none'


def place(num_bytes: int, cache: str) -> str:
  """MEMORY or DISK: where `make` puts an array of this size; NONE if the images are decoded when they are read."""
  if cache == NONE:
    return NONE
  is_small = num_bytes == 0 or (cache == 'auto' and num_bytes <= memory.available() // 2)
  return MEMORY if is_small or cache == MEMORY else DISK


def make(shape: tuple[int, ...], cache: str, directory: pathlib.Path) -> np.ndarray:
  """A uint8 array of zeros.

  Args:
    shape: [N, S, S, 3].
    cache: memory, disk, or auto: disk if the array would take more than half of the free memory.
    directory: of the temporary file; its space is freed however the process ends.

  Raises:
    UserError: the disk has too little space.
    RunError: there is too little memory.
  """
  num_bytes = math.prod(shape)  # Python integers do not overflow
  if not num_bytes or place(num_bytes, cache) == MEMORY:
    # Checked first: np.zeros succeeds without memory, and the process is killed when the pages are written.
    memory.require(
      num_bytes, memory.obtainable(), 'decoded images', 'set data.cache=disk or lower data.image_size'
    )
    return np.zeros(shape, np.uint8)
  directory.mkdir(parents=True, exist_ok=True)
  # Checked first: writing to a memory map on a full disk kills the process.
  free = shutil.disk_usage(directory).free
  if free < num_bytes:
    raise types.UserError(
      f'{directory}: {num_bytes / 1e9:.1f} GB are needed for the decoded images and {free / 1e9:.1f} GB are '
      'free; free some space or lower data.image_size'
    )
  # Unlinked while open, so that the space is freed however the process ends.
  with tempfile.TemporaryFile(dir=directory) as file:
    file.truncate(num_bytes)
    # Allocated for the same reason.
    if hasattr(os, 'posix_fallocate'):
      os.posix_fallocate(file.fileno(), 0, num_bytes)
    return np.memmap(file, np.uint8, 'r+', shape=shape)
