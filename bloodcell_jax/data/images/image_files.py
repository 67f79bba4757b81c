"""Image files in folders: found in natural order, read and hashed; whatever is left out is said."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence

from bloodcell_jax.base import types

EXTENSIONS = ('.jpeg', '.jpg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm')

# What Windows and macOS leave behind in folders; beside names that begin with a dot, never reported.
_LITTER = ('thumbs.db', 'desktop.ini', '__macosx')

# Hashing waits for the disk more than for a core.
_NUM_READERS = 8


def natural_key(name: str) -> tuple:
  """A sort key under which `_0_9` comes before `_0_10`.

  Example:
    >>> sorted(['b10.png', 'b9.png', 'A1.png'], key=natural_key)
    ['A1.png', 'b9.png', 'b10.png']
  """
  # [0-9], not \\d: int() of other scripts' digits would make different names equal. The name itself
  # comes last and decides between 1, 01 and 001.
  parts = re.split('([0-9]+)', name.casefold())
  return (*((0, int(p), '') if p[:1].isdigit() and p.isascii() else (1, 0, p) for p in parts), (2, 0, name))


def subfolders(folder: str) -> list[str]:
  """Names of the folders in `folder`, in natural order, without hidden ones."""
  names = [n for n in os.listdir(folder) if not _hidden(n) and os.path.isdir(os.path.join(folder, n))]
  return sorted(names, key=natural_key)


def listing(folder: str, shown: str, recursive: bool = True) -> tuple[list[str], list[types.Problem]]:
  """Image files under `folder`, relative to it with '/', in natural order; and what was left out, and why.

  **Guarantees**: each folder on the disk is read once, so a loop of links ends; hidden files are passed
  over; the order depends on the names alone.

  Args:
    folder: where to look.
    shown: the name by which people know the folder; it begins the names in the problems.
    recursive: look into the folders inside too.
  """
  found: list[str] = []
  problems: list[types.Problem] = []
  seen = {_identity(folder)}
  # A stack and no recursion: folders may lie deeper within one another than Python's calls may.
  stack = [_names(folder, '', shown, problems)]
  while stack:
    prefix, name = next(stack[-1], ('', ''))
    if not name:
      stack.pop()
      continue
    inner = prefix + name
    path = os.path.join(folder, inner)
    if os.path.isdir(path):
      if not recursive:
        continue
      if _identity(path) in seen:
        problems.append(types.Problem(_join(shown, inner), 'a link to a folder that is read already'))
        continue
      seen.add(_identity(path))
      stack.append(_names(folder, f'{inner}/', shown, problems))
    elif reason := unfit(path, name):
      problems.append(types.Problem(_join(shown, inner), reason))
    else:
      found.append(inner)
  return found, problems


def _identity(folder: str) -> tuple[int, int]:
  """Of a folder on the disk, by whatever name; none that another has where it is gone meanwhile."""
  try:
    found = os.stat(folder)
  except OSError:
    return (-1, -1)
  return (found.st_dev, found.st_ino)


def is_showable(name: str) -> bool:
  """Whether the name can be printed in one line: no control characters, no bytes that are not UTF-8.

  Example:
    >>> [is_showable(name) for name in ('Zellen ü.png', 'a\\nb.png', '\\udcff.png')]
    [True, False, False]
  """
  # Python shows bytes that are not UTF-8 as lone surrogates, which no CSV could hold.
  return name.isprintable()


def read(path: str) -> bytes:
  """The bytes of the file; OSError where it cannot be read."""
  with open(path, 'rb') as file:
    return file.read()


def sha256_16(data: bytes) -> str:
  """The first 16 hex digits of the SHA-256, by which the project knows the content of a file.

  Example:
    >>> sha256_16(b'')
    'e3b0c44298fc1c14'
  """
  return hashlib.sha256(data).hexdigest()[:16]


def digests(paths: Sequence[str]) -> list[str | OSError]:
  """For each path its `sha256_16`, or the error that kept it from being read; in order."""
  with concurrent.futures.ThreadPoolExecutor(_NUM_READERS) as pool:
    return list(pool.map(_digest, paths))


def _digest(path: str) -> str | OSError:
  try:
    with open(path, 'rb') as file:
      # Some at a time: whatever lies there, it need not fit into memory.
      return hashlib.file_digest(file, 'sha256').hexdigest()[:16]
  except OSError as error:
    return error


def _hidden(name: str) -> bool:
  return name.startswith('.') or name.casefold() in _LITTER


def _names(folder: str, prefix: str, shown: str, problems: list[types.Problem]) -> Iterator[tuple[str, str]]:
  """(prefix, name) of what is in the folder `prefix` of `folder`, in order, without hidden ones."""
  try:
    names = os.listdir(os.path.join(folder, prefix))
  except OSError as error:
    problems.append(types.Problem(_join(shown, prefix), f'the folder cannot be read: {error.strerror}'))
    return
  yield from ((prefix, name) for name in sorted(names, key=natural_key) if not _hidden(name))


def unfit(path: str, name: str) -> str:
  """Why the file of this name is left out; empty where it is an image by its name, and there."""
  if not is_showable(name):
    return 'the name has characters that cannot be shown'
  extension = os.path.splitext(name)[1]
  if extension.lower() not in EXTENSIONS:
    return f'{extension or "no extension"}: not one of {" ".join(EXTENSIONS)}'
  try:
    mode = os.stat(path).st_mode
  except OSError:
    return 'a link to nothing'
  # A pipe or device by that name would block the reader for ever.
  return '' if stat.S_ISREG(mode) else 'not a regular file'


def _join(shown: str, inner: str) -> str:
  # A problem is printed and written to disk: nothing of it may steer a terminal or begin a line.
  whole = f'{shown}/{inner}'.strip('/') if shown else inner.strip('/')
  return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in whole)
