"""Feature maps of a network's frozen layers on disk: computed once, then memory-mapped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

DTYPES: Mapping[str, Any] = {'float32': np.dtype(np.float32), 'bfloat16': np.dtype(ml_dtypes.bfloat16)}
# Bytes of a block with its own checksum; an interruption loses one block at most.
BLOCK_BYTES = 64 * 2**20
# Kept free on the disk for the rest of the run.
SPARE_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is cached for each image."""

  dtype: str  # one of DTYPES
  num_augmented: int  # augmented copies of each image, 1 or more

  def __post_init__(self):
    if self.dtype not in DTYPES:
      raise types.UserError(f'stages.feature_dtype is {self.dtype!r}; choose one of {", ".join(DTYPES)}')
    if self.num_augmented < 1:
      raise types.UserError(f'stages.num_augmented is {self.num_augmented}; it must be 1 or more')


def items_of_block(shape: tuple[int, ...], dtype: str) -> int:
  """How many items `read_or_build` computes at once of features of this shape, [N, ...]."""
  return max(1, BLOCK_BYTES // num_bytes(shape[1:], dtype))


def key(**parts: str) -> str:
  """16 hex digits that change with any of the named texts; pass all that the features depend on.

  Example:
    >>> key(a='1', b='2') == key(b='2', a='1') != key(a='12', b='')
    True
  """
  return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def num_bytes(shape: tuple[int, ...], dtype: str) -> int:
  """The size on disk of [items, height, width, channels]."""
  return int(np.prod(shape, dtype=np.int64)) * DTYPES[dtype].itemsize


def format_bytes(num: int) -> str:
  """The number of bytes as MB or GB, to three digits.

  Example:
    >>> [format_bytes(num) for num in (0, 7_340_032, 2**30)]
    ['0 MB', '7.34 MB', '1.07 GB']
  """
  return f'{num / 1e6:.3g} MB' if num < 999.5e6 else f'{num / 1e9:.3g} GB'


def check_room(directory: str | os.PathLike[str], needed: int) -> int:
  """The free bytes of the disk of `directory`.

  Raises:
    UserError: fewer than `needed` + SPARE_BYTES; the message says what to change.
  """
  free = shutil.disk_usage(directory).free
  if needed + SPARE_BYTES > free:
    raise types.UserError(
      f'{directory}: the frozen features need {format_bytes(needed)}, the rest of the run {format_bytes(SPARE_BYTES)}, '
      f'and {format_bytes(free)} are free. Free some space, choose another --workdir, '
      'set stages.feature_dtype=bfloat16, lower stages.num_augmented, or set stages.cache_features=False'
    )
  return free


def read_or_build(
  directory: str | os.PathLike[str],
  name: str,
  shape: tuple[int, ...],
  dtype: str,
  compute: Callable[[np.ndarray], np.ndarray],
  on_progress: Callable[[int, int], None],
) -> np.ndarray:
  """The features [items, height, width, channels], a read-only memory map of `name`.npy in `directory`.

  **Guarantees**: a file under its final name is complete; every block is checked when the file is opened, and damaged
  blocks are recomputed; an interrupted computation continues after the last finished block.

  Args:
    directory: created if it is missing.
    name: contains a `key` of all that the features depend on, so that features of other networks are never read.
    shape: of the result.
    dtype: one of DTYPES; bfloat16 rounds to nearest even.
    compute: indices of items -> float32 features; called for one block after the other; may raise to stop.
    on_progress: called with (items done, items in all).
  """
  folder = pathlib.Path(directory)
  folder.mkdir(parents=True, exist_ok=True)
  final, partial = folder / f'{name}.npy', folder / f'{name}.partial.npy'
  per_block = items_of_block(shape, dtype)
  starts = range(0, shape[0], per_block)
  path = final if final.exists() else partial
  values, sums = _open(path, shape, dtype), _read_sums(folder / f'{name}.json')
  if values is None:
    check_room(folder, num_bytes(shape, dtype))
    values, sums = np.lib.format.open_memmap(partial, 'w+', _stored(dtype), shape), []
    # Space is allocated now: writing to a memory map on a full disk would kill the process.
    if hasattr(os, 'posix_fallocate'):
      with open(partial, 'r+b') as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    path = partial
  sums = (sums + [None] * len(starts))[: len(starts)]
  for i, start in enumerate(starts):
    block = values[start : start + per_block]
    if sums[i] is None or zlib.crc32(block) != sums[i]:
      if path == final:
        # The file is incomplete now and must not keep its final name.
        os.replace(final, partial)
        path = partial
      rows = np.arange(start, min(start + per_block, shape[0]))
      features = compute(rows).astype(DTYPES[dtype])
      if not np.isfinite(features).all():
        raise types.RunError(
          f'{partial}: the frozen features are not finite; the weights of the frozen layers are damaged'
        )
      block[:] = features.view(_stored(dtype))
      values.flush()
      sums[i] = zlib.crc32(block)
      atomic.write_json(folder / f'{name}.json', {'crc32': sums})
      on_progress(int(rows[-1]) + 1, shape[0])
  if path == partial:
    os.replace(partial, final)
  return np.load(final, mmap_mode='r').view(DTYPES[dtype])


def _stored(dtype: str) -> np.dtype[Any]:
  # The .npy format has no bfloat16.
  return np.dtype(np.uint16) if dtype == 'bfloat16' else DTYPES[dtype]


def _open(path: pathlib.Path, shape: tuple[int, ...], dtype: str) -> Any:
  """The values of the file, writable; None if it is missing, damaged or of another shape."""
  try:
    values = np.load(path, mmap_mode='r+')
  except Exception:  # NumPy raises nearly any error on damaged bytes
    return None
  return values if values.shape == shape and values.dtype == _stored(dtype) else None


def _read_sums(path: pathlib.Path) -> list[int | None]:
  try:
    return list(json.loads(path.read_text())['crc32'])
  except (OSError, ValueError, KeyError, TypeError):
    return []
