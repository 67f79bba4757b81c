"""Files and folders that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

# The attribute with the SHA-256 of what was written, and the end of the hidden file that stands for it.
_SUM, _SUM_FILE = 'user.sha256', '.sha256'
# Of what is being written.
_SUFFIX = '.tmp'


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
  """Puts `data` at `path`; a reader, or a kill at any moment, sees the old file or the new one.

  Raises:
    OSError: it cannot be written, with the name of the file; nothing is left of it.
  """
  path = pathlib.Path(path)
  try:
    _write(path, data)
  except OSError as error:
    # What writing itself raises names no file.
    raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _write(path: pathlib.Path, data: bytes) -> None:
  digest, has_attributes = hashlib.sha256(data).hexdigest(), False
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=_SUFFIX)
  try:
    with os.fdopen(handle, 'wb') as file:
      file.write(data)
      # Attributes go with the file whatever it is called, so that a kill never parts the two; a copy made without them
      # is not checked.
      with contextlib.suppress(OSError, AttributeError):
        os.setxattr(file.fileno(), _SUM, digest.encode())
        has_attributes = True
      file.flush()
      os.fsync(file.fileno())
    # mkstemp makes private files; give this one the rights an ordinary open would.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(beside, 0o666 & ~umask)
    if not (has_attributes or path.name.endswith(_SUM_FILE)):
      # First, with that of the file which is there now: after a kill between the two that one is sound as well.
      before = [hashlib.sha256(path.read_bytes()).hexdigest()] if path.exists() else []
      _write(sum_file(path), ' '.join([digest, *(sum for sum in before if sum in _noted(path))]).encode())
    os.replace(beside, path)
  except BaseException:
    pathlib.Path(beside).unlink(missing_ok=True)
    raise


def read_bytes(path: str | os.PathLike[str]) -> bytes:
  """What `write_bytes` put there.

  Raises:
    ValueError: the file has changed since, by its SHA-256; one that something else wrote is not checked.
    OSError: it cannot be read.
  """
  data = pathlib.Path(path).read_bytes()
  expected = _noted(pathlib.Path(path))
  if expected and hashlib.sha256(data).hexdigest() not in expected:
    raise ValueError(f'{path}: no longer what was written there')
  return data


def _noted(path: pathlib.Path) -> list[str]:
  """The sums of what may be at `path`, the newest first; empty where none was kept."""
  try:
    return [os.getxattr(path, _SUM).decode()]
  except (OSError, AttributeError):
    # Not Linux, or a file system without attributes.
    file = sum_file(path)
    return file.read_text(errors='replace').split() if file.exists() else []


def sum_file(path: pathlib.Path) -> pathlib.Path:
  """The hidden file that holds the SHA-256 of `path` where the file system has no attributes."""
  return path.with_name(f'.{path.name}{_SUM_FILE}')


def read_text(path: str | os.PathLike[str]) -> str:
  """As `read_bytes`, for text in UTF-8."""
  return read_bytes(path).decode()


def is_intact(path: str | os.PathLike[str]) -> bool:
  """Whether the file is there and, as far as can be told, what was written."""
  try:
    read_bytes(path)
  except (OSError, ValueError):
    return False
  return True


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """As `write_bytes`, for text in UTF-8."""
  write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
  """As `write_text`, for a JSON value, indented; NaN is refused because JSON has none."""
  write_text(path, json.dumps(value, indent=2, allow_nan=False) + '\n')


def write_csv(path: str | os.PathLike[str], rows: Iterable[Iterable[Any]]) -> None:
  """As `write_text`, for rows of cells, the first of them the names of the columns."""
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(rows)
  write_text(path, text.getvalue())


@contextlib.contextmanager
def folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """An empty folder beside `path` that takes its place at the end; after an error nothing of it is left.

  A folder that stood there before goes only once the new one is whole.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}.', suffix=_SUFFIX) as beside:
    made, before = pathlib.Path(beside, 'made'), pathlib.Path(beside, 'before')
    made.mkdir()
    yield made
    if path.exists():
      path.rename(before)
    try:
      made.rename(path)
    except BaseException:
      if before.exists():
        before.rename(path)
      raise


def clear(path: str | os.PathLike[str]) -> None:
  """Removes what a killed process left half-written of the folder `path`, in it and beside it.

  Only for whoever is alone there. A folder that was taken away to be replaced is put back.
  """
  path = pathlib.Path(path)
  for beside in [
    *path.parent.glob(f'.{glob.escape(path.name)}.*{_SUFFIX}'),
    *sorted(path.rglob(f'.*{_SUFFIX}')),
  ]:
    # As tempfile names them.
    made = re.fullmatch(rf'\.(.+)\.[a-z0-9_]{{8}}{re.escape(_SUFFIX)}', beside.name)
    if not made:
      continue
    if beside.is_dir():
      before, place = beside / 'before', beside.parent / made[1]
      if before.exists() and not place.exists():
        before.rename(place)
      shutil.rmtree(beside)
    else:
      beside.unlink(missing_ok=True)
