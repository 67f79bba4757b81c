"""SHA-256 checksums of a checkpoint's files, written into its folder before the folder gets its name."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

from bloodcell_jax.system import atomic

FILE = 'checksums.json'
# Orbax changes or writes these after the checksums, when it commits; neither holds any of the state.
METADATA = '_CHECKPOINT_METADATA'
LATE = (METADATA, 'commit_success.txt')


def write(folder: pathlib.Path) -> None:
  """Flushes all files of the folder to the disk and writes their checksums."""
  sums = {}
  for path in _files(folder):
    with open(path, 'rb') as file:
      sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, 'sha256').hexdigest()
      os.fsync(file.fileno())
  atomic.write_json(folder / FILE, {'sha256': sums})


def damage(folder: pathlib.Path) -> str:
  """The first damage found, with its file; empty where there is none.

  A folder without checksums, as early versions wrote it, counts as undamaged: see `are_known`.
  """
  metadata = folder / METADATA
  if not _is_json(metadata):
    return f'{metadata}: {"not JSON" if metadata.exists() else "missing"}'
  path = folder / FILE
  if not path.exists():
    return ''
  try:
    expected = dict(json.loads(path.read_bytes())['sha256'])
  except (OSError, ValueError, KeyError, TypeError):
    return f'{path}: not a list of checksums'
  found = {each.relative_to(folder).as_posix(): each for each in _files(folder)}
  for name in sorted({*expected, *found}):
    if name not in found:
      return f'{folder / name}: missing'
    if name not in expected:
      return f'{folder / name}: does not belong there'
    with open(found[name], 'rb') as file:
      if hashlib.file_digest(file, 'sha256').hexdigest() != expected[name]:
        return f'{folder / name}: differs from what was written'
  return ''


def are_known(folder: pathlib.Path) -> bool:
  """Whether the folder has checksums."""
  return (folder / FILE).exists()


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  # Where the file system has no attributes, a hidden file holds the checksum of `FILE`.
  left_out = {*(folder / name for name in (*LATE, FILE)), atomic.sum_file(folder / FILE)}
  return sorted(path for path in folder.rglob('*') if path.is_file() and path not in left_out)


def _is_json(path: pathlib.Path) -> bool:
  try:
    return isinstance(json.loads(path.read_bytes()), dict)
  except (OSError, ValueError):
    return False
