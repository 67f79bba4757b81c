"""HDF5 files as plain arrays by path."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from bloodcell_jax.base import types

# Weights hardly compress: arrays that claim more than this many times the file's size are there to exhaust memory.
MOST_EXPANSION = 4


# Nesting of groups; a network within a network within a network has about ten levels.
MOST_DEPTH = 50


def read(
  source: str | os.PathLike[str] | io.BytesIO, where: str, skipped: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """(arrays by path without the leading slash, attribute `name` of each group that has one).

  **Guarantees**: no other file is opened: links to other files are not followed, and data stored in other files is
  refused. What is read is at most MOST_EXPANSION times the file's size.

  Args:
    source: the file, or its bytes.
    where: its name in errors.
    skipped: names of groups that are not read, at any level.

  Raises:
    UserError: no HDF5 file, cut short, or refused.
  """
  arrays: dict[str, np.ndarray] = {}
  names: dict[str, str] = {}
  try:
    with h5py.File(source, 'r') as file:
      datasets: dict[str, h5py.Dataset] = {}
      for path, item in _walk(file, '', 0, {hash(file['/'].id)}, where, skipped):
        if isinstance(item, h5py.Dataset):
          datasets[path] = item
        elif isinstance(name := item.attrs.get('name'), str):
          names[path] = name
      for path, item in datasets.items():
        if item.external or item.is_virtual:
          raise types.UserError(f'{where}: refused, {path!r} keeps its data in another file')
        if item.dtype.kind != 'f':
          raise types.UserError(f'{where}: {path!r} holds {item.dtype}, where weights are floats')
      limit = MOST_EXPANSION * file.id.get_filesize()
      if (
        sum(int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize for item in datasets.values())
        > limit
      ):
        raise types.UserError(f'{where}: refused, its arrays claim to be far larger than the file')
      for path, item in datasets.items():
        if not _is_whole(item):
          raise types.UserError(f'{where}: refused, parts of {path!r} are not in the file')
        arrays[path] = item[()]
  except types.UserError:
    raise
  except Exception as error:  # h5py raises nearly anything on damaged bytes
    line = ' '.join(str(error).split())[:120]
    raise types.UserError(f'{where}: not an HDF5 file, or damaged or cut short ({line})') from None
  return arrays, names


def _walk(
  group: h5py.Group, prefix: str, depth: int, seen: set[int], where: str, skipped: Sequence[str]
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
  """Each object below the group once, with its path; soft and external links are not followed.

  Not `visititems`, which looks every object up by its whole path and takes hours on groups thousands deep.
  """
  if depth > MOST_DEPTH:
    raise types.UserError(f'{where}: refused, its groups lie more than {MOST_DEPTH} deep')
  for name in group:
    if name in skipped or not isinstance(group.get(name, getlink=True), h5py.HardLink):
      continue
    item = group[name]
    if hash(item.id) in seen:
      continue
    seen.add(hash(item.id))
    yield prefix + name, item
    if isinstance(item, h5py.Group):
      yield from _walk(item, f'{prefix}{name}/', depth + 1, seen, where, skipped)


def _is_whole(item: h5py.Dataset) -> bool:
  """Whether all values are stored: filling in missing ones, HDF5 before 2.2 may overrun a buffer (CVE-2026-106547)."""
  if item.chunks:
    wanted = math.prod(-(-side // chunk) for side, chunk in zip(item.shape, item.chunks, strict=True))
    return item.id.get_num_chunks() == wanted
  return item.id.get_storage_size() >= item.nbytes
