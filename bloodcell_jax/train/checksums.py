"""What the files of a checkpoint should hold: a SHA-256 each, written into it before it gets its name."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

from bloodcell_jax.system import atomic

FILE = 'checksums.json'
# Orbax adds the moment of the commit to the first and writes the second behind the sums. Neither holds anything of the
# state, but Orbax reads the first.
METADATA = '_CHECKPOINT_METADATA'
LATE = (METADATA, 'commit_success.txt')


def write(folder: pathlib.Path) -> None:
  """Puts all files of the folder on the disk and their sums beside them."""
  sums = {}
  for path in _files(folder):
    with open(path, 'rb') as file:
      sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, 'sha256').hexdigest()
      os.fsync(file.fileno())
  atomic.write_json(folder / FILE, {'sha256': sums})


def complaint(folder: pathlib.Path) -> str:
  """What is wrong with the folder, naming the file; empty where it is sound.

  One without sums, of a run of before they were kept, is taken for sound: see `are_known`.
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
        return f'{folder / name}: not what was written'
  return ''


def are_known(folder: pathlib.Path) -> bool:
  """Whether the folder has sums: a file that passed them is what was written."""
  return (folder / FILE).exists()


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  # Without file attributes a hidden file beside the sums holds the sum of the sums.
  left_out = {*(folder / name for name in (*LATE, FILE)), atomic.sum_file(folder / FILE)}
  return sorted(path for path in folder.rglob('*') if path.is_file() and path not in left_out)


def _is_json(path: pathlib.Path) -> bool:
  try:
    return isinstance(json.loads(path.read_bytes()), dict)
  except (OSError, ValueError):
    return False
