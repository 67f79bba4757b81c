"""Atomic writes of files and folders: written under a temporary name, then renamed."""

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
import types
from collections.abc import Collection, Iterable, Iterator
from typing import Any

# Extended attribute with the SHA-256 of the content, and suffix of the hidden file that replaces it where there are no
# attributes.
_SUM, _SUM_FILE = 'user.sha256', '.sha256'
# Read once: it can only be read by setting it, which other threads would see.
_UMASK = os.umask(0)
os.umask(_UMASK)
# Suffix of temporary names.
_SUFFIX = '.tmp'


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
  """Writes `data` to `path`; readers see the old file or the new one, even if the process is killed.

  Raises:
    OSError: the file cannot be written; it has the name of the file, and no temporary file is left.
  """
  _write_all(pathlib.Path(path), [data])


def _write_all(path: pathlib.Path, parts: Iterable[bytes]) -> None:
  try:
    _write(path, parts)
  except OSError as error:
    # Errors of write() itself have no file name.
    raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
  """Gives an error of the operating system that names no file, such as those of write() itself, the name of `path`."""
  try:
    yield
  except OSError as error:
    if error.filename or not error.errno:
      raise
    raise OSError(error.errno, error.strerror, str(path)) from error


def _write(path: pathlib.Path, parts: Iterable[bytes]) -> None:
  hashed, has_attributes = hashlib.sha256(), False
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=_SUFFIX)
  try:
    with os.fdopen(handle, 'wb') as file:
      for part in parts:
        file.write(part)
        hashed.update(part)
      digest = hashed.hexdigest()
      # Attributes stay with the file when it is renamed, so a kill cannot separate the two. A copy without them is not
      # checked.
      with contextlib.suppress(OSError, AttributeError):
        os.setxattr(file.fileno(), _SUM, digest.encode())
        has_attributes = True
      file.flush()
      os.fsync(file.fileno())
    # mkstemp creates private files; set the permissions that open() would.
    os.chmod(beside, 0o666 & ~_UMASK)
    if has_attributes:
      # Of the file before, written where there were no attributes: a copy without attributes would be checked by it.
      sum_file(path).unlink(missing_ok=True)
    elif not path.name.endswith(_SUM_FILE):
      # Before the rename, and with the sum of the present file, which stays valid if the process is killed in between.
      before = [hashlib.sha256(path.read_bytes()).hexdigest()] if path.exists() else []
      _write(sum_file(path), [' '.join([digest, *(sum for sum in before if sum in _noted(path))]).encode()])
    os.replace(beside, path)
  except BaseException:
    pathlib.Path(beside).unlink(missing_ok=True)
    raise


def read_bytes(path: str | os.PathLike[str]) -> bytes:
  """Reads a file and checks its SHA-256, if `write_bytes` wrote it.

  Raises:
    ValueError: the file has changed since it was written.
    OSError: the file cannot be read.
  """
  data = pathlib.Path(path).read_bytes()
  expected = _noted(pathlib.Path(path))
  if expected and hashlib.sha256(data).hexdigest() not in expected:
    raise ValueError(f'{path}: changed since it was written')
  return data


def _noted(path: pathlib.Path) -> list[str]:
  """Valid SHA-256 sums of `path`, the newest first; empty if none are stored."""
  try:
    return [os.getxattr(path, _SUM).decode()]
  except (OSError, AttributeError):
    # Not Linux, or a file system without attributes.
    file = sum_file(path)
    return file.read_text(errors='replace').split() if file.exists() else []


def sum_file(path: pathlib.Path) -> pathlib.Path:
  """The hidden file that holds the SHA-256 of `path` where the file system has no attributes."""
  return path.with_name(f'.{path.name}{_SUM_FILE}')


def restoring(path: str | os.PathLike[str]) -> str:
  """How to replace a damaged file by a copy of it, for a message.

  A file that is copied onto it keeps its attributes, and so the sum of what was there before.
  """
  kept = sum_file(pathlib.Path(path))
  return f'move it{f" and {kept.name}" if kept.exists() else ""} away, then restore it from a copy'


def read_text(path: str | os.PathLike[str]) -> str:
  """As `read_bytes`, for text in UTF-8."""
  return read_bytes(path).decode()


def damage(error: BaseException) -> str:
  """Why an archive of arrays cannot be read, in one line; without NumPy's advice to read it unsafely.

  Example:
    >>> damage(ValueError('This file contains pickled (object) data. If you trust ...')), damage(ValueError('a\\nb'))
    ('no archive of arrays', 'a b')
  """
  reason = ' '.join(str(error).split())[:120]
  return 'no archive of arrays' if 'pickle' in reason else reason or type(error).__name__


def is_intact(path: str | os.PathLike[str]) -> bool:
  """Whether the file exists and has not changed since it was written, if that can be checked."""
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
  """As `write_text`, for rows of cells, of which one at a time is in memory; the first row is the header."""
  # A writer returns what the `write` of its file returns.
  line = csv.writer(types.SimpleNamespace(write=str.encode), lineterminator='\n').writerow
  _write_all(pathlib.Path(path), map(line, rows))


def read_csv(path: str | os.PathLike[str]) -> list[list[str]]:
  """As `read_text`, for what `write_csv` wrote: the rows of cells, the header first."""
  # Split by the reader alone: a cell may hold characters at which `splitlines` would break it.
  return list(csv.reader(io.StringIO(read_text(path), newline='')))


@contextlib.contextmanager
def folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Yields an empty temporary folder that is renamed to `path` at the end, or removed after an error.

  An existing folder at `path` is removed only once the new one is complete.

  Raises:
    OSError: a file cannot be written; it has the name of a file or of the folder.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with (
    named(path),
    tempfile.TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}.', suffix=_SUFFIX) as beside,
  ):
    new, before = pathlib.Path(beside, 'made'), pathlib.Path(beside, 'before')
    new.mkdir()
    yield new
    if path.exists():
      path.rename(before)
    try:
      new.rename(path)
    except BaseException:
      if before.exists():
        before.rename(path)
      raise


def clear(path: str | os.PathLike[str], in_use: Collection[pathlib.Path]) -> None:
  """Removes temporary files of a killed process in the folder `path` and beside it.

  A folder that was about to be replaced is put back.

  Args:
    path: the folder, whose lock the caller holds.
    in_use: folders below it in which, or in whose place, other processes may be writing; those stay as they are.
  """
  path = pathlib.Path(path)
  kept: list[pathlib.Path] = list(in_use)
  for beside in [
    *path.parent.glob(f'.{glob.escape(path.name)}.*{_SUFFIX}'),
    *sorted(path.rglob(f'.*{_SUFFIX}')),
  ]:
    # The pattern of tempfile's names.
    match = re.fullmatch(rf'\.(.+)\.[a-z0-9_]{{8}}{re.escape(_SUFFIX)}', beside.name)
    if not match or (beside.parent == path.parent and match[1] != path.name):
      continue
    place = beside.parent / match[1]
    if any(place.is_relative_to(folder) for folder in kept):
      kept.append(beside)
    elif beside.is_dir():
      before = beside / 'before'
      if before.exists() and not place.exists():
        before.rename(place)
      shutil.rmtree(beside)
    else:
      beside.unlink(missing_ok=True)
