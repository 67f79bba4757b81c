"""A folder as a stream of bytes, from one host to another: its files and folders, in tar's format.

Names are checked and files written here, so that nothing is written outside the folder, and neither links nor
permissions are taken over.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tarfile
from collections.abc import Sequence
from typing import Any

from bloodcell_jax.system import lock

# What stays behind: images and features, which are computed again where they are needed, and what is of this process.
_CACHE, _SUFFIX = 'cache', '.tmp'


def names(folder: pathlib.Path) -> list[str]:
  """The files and folders in the folder that go with it, sorted: all but caches, locks and files half written."""
  inside = (path.relative_to(folder) for path in folder.rglob('*'))
  return sorted(name.as_posix() for name in inside if not any(_stays(part) for part in name.parts))


def _stays(part: str) -> bool:
  return part == _CACHE or part.startswith(lock.FILE) or (part.startswith('.') and part.endswith(_SUFFIX))


def write(folder: pathlib.Path, some: Sequence[str], to: Any) -> None:
  """Writes these files and folders of the folder to a binary file."""
  with tarfile.open(fileobj=to, mode='w|', format=tarfile.PAX_FORMAT) as archive:
    for name in some:
      archive.add(folder / name, name, recursive=False)


def read(source: Any, folder: pathlib.Path, number: int) -> None:
  """Reads what `write` wrote into an empty folder.

  Args:
    source: a binary file.
    folder: it is there.
    number: of the files and folders in the stream.

  Raises:
    ValueError: the stream ends early, or names something outside the folder, or anything but a file or a folder. What
      was read until then is in the folder.
    OSError: the folder cannot be written.
  """
  count = 0
  try:
    with tarfile.open(fileobj=source, mode='r|') as archive:
      for entry in archive:
        place = folder / _checked(entry)
        content = archive.extractfile(entry)
        if content is None:
          place.mkdir(parents=True, exist_ok=True)
        else:
          place.parent.mkdir(parents=True, exist_ok=True)
          with open(place, 'xb') as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        count += 1
  except tarfile.TarError as error:
    raise ValueError(f'the stream ends early ({error})') from None
  if count != number:
    raise ValueError(f'the stream ends early (with {count} of {number} files)')


def _checked(entry: tarfile.TarInfo) -> str:
  """The name of a file or folder below the one that is read. Raises ValueError for any other."""
  # Those of Windows too: a drive, a backslash.
  path = pathlib.PureWindowsPath(entry.name)
  if path.anchor or '..' in path.parts or '\\' in entry.name or not path.parts:
    raise ValueError(f'{entry.name!r} lies outside the folder')
  if not (entry.isreg() or entry.isdir()):
    raise ValueError(f'{entry.name!r} is neither a file nor a folder')
  return entry.name
