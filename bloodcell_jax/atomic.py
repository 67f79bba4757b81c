"""Files and folders that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
  """Puts `data` at `path`; a reader, or a kill at any moment, sees the old file or the new one."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
  try:
    with os.fdopen(handle, 'wb') as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    # mkstemp makes private files; give this one the rights an ordinary open would.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(beside, 0o666 & ~umask)
    os.replace(beside, path)
  except BaseException:
    pathlib.Path(beside).unlink(missing_ok=True)
    raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """As `write_bytes`, for text in UTF-8."""
  write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
  """As `write_text`, for a JSON value, indented; NaN is refused because JSON has none."""
  write_text(path, json.dumps(value, indent=2, allow_nan=False) + '\n')


@contextlib.contextmanager
def folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """An empty folder beside `path` that takes its place at the end; after an error nothing of it is left.

  A folder that stood there before goes only once the new one is whole.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}.') as beside:
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
