"""Lists, reads and hashes image files in folders, in natural order; each file that is skipped is a Problem."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence

from bloodcell_jax.base import types

EXTENSIONS = ('.jpeg', '.jpg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm')

ARCHIVES = ('.zip', '.tar', '.gz', '.tgz', '.bz2', '.tbz', '.xz', '.txz', '.zst', '.7z', '.rar', '.iso')
WORKBOOKS = ('.xlsx', '.xls', '.xlsm', '.xlsb', '.ods', '.numbers')

# Files that Windows and macOS create in folders; like names that begin with a dot, they are never reported.
_LITTER = ('thumbs.db', 'desktop.ini', '__macosx')

# Before a digest in a list, see `marked`.
MARK = 'sha256:'

# More threads than cores: hashing waits for the disk.
_NUM_READERS = 8


def natural_key(name: str) -> tuple:
  """A sort key that puts `_0_9` before `_0_10`.

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
  """The image files under `folder`, relative to it with '/', in natural order; and the files that are skipped.

  **Guarantees**: each folder on the disk is read once, so a loop of links ends; hidden files are
  ignored; the order depends only on the names.

  Args:
    folder: to search.
    shown: the name of the folder for people; the prefix of the names in problems.
    recursive: search the folders inside too.
  """
  found: list[str] = []
  problems: list[types.Problem] = []
  seen = {_identity(folder)}
  # A stack, because folders may be nested deeper than the recursion limit of Python.
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
        problems.append(types.Problem(_join(shown, inner), 'a link to a folder that has been read already'))
        continue
      seen.add(_identity(path))
      stack.append(_names(folder, f'{inner}/', shown, problems))
    elif reason := unfit(path, name):
      problems.append(types.Problem(_join(shown, inner), reason))
    else:
      found.append(inner)
  return found, problems


def _identity(folder: str) -> tuple[int, int]:
  """Device and inode of the folder; (-1, -1) if it no longer exists."""
  try:
    status = os.stat(folder)
  except OSError:
    return (-1, -1)
  return (status.st_dev, status.st_ino)


def is_showable(name: str) -> bool:
  """Whether the name can be printed on one line: no control characters, valid UTF-8.

  Example:
    >>> [is_showable(name) for name in ('Zellen ü.png', 'a\\nb.png', '\\udcff.png')]
    [True, False, False]
  """
  # Python represents invalid UTF-8 as lone surrogates, which cannot be written to a CSV.
  return name.isprintable()


def read(path: str) -> bytes:
  """The bytes of the file; raises OSError."""
  with open(path, 'rb') as file:
    return file.read()


def sha256_16(data: bytes) -> str:
  """The first 16 hex digits of the SHA-256, which identify the content of a file.

  Example:
    >>> sha256_16(b'')
    'e3b0c44298fc1c14'
  """
  return hashlib.sha256(data).hexdigest()[:16]


def unpacking(path: str) -> str:
  """What to do with a file that holds files and is no image; '' for any other.

  Example:
    >>> unpacking('cells.tar.gz'), unpacking('a.png')
    ('is an archive; unpack it and name the folder', '')
  """
  extension = os.path.splitext(path)[1].lower()
  if extension in ARCHIVES:
    return 'is an archive; unpack it and name the folder'
  if extension in WORKBOOKS:
    return 'is a workbook; save its sheet as "CSV UTF-8" and name that file'
  return ''


def marked(digest: str) -> str:
  """A `sha256_16` as lists have it: no program takes it for a number, as some do with 05950602088419e7.

  Example:
    >>> marked('05950602088419e7')
    'sha256:05950602088419e7'
  """
  return MARK + digest


def digests(paths: Sequence[str]) -> list[str | OSError]:
  """For each path, in order, its `sha256_16`, or the error of reading it."""
  with concurrent.futures.ThreadPoolExecutor(_NUM_READERS) as pool:
    return list(pool.map(_digest, paths))


def _digest(path: str) -> str | OSError:
  try:
    with open(path, 'rb') as file:
      # In blocks: the file need not fit into memory.
      return hashlib.file_digest(file, 'sha256').hexdigest()[:16]
  except OSError as error:
    return error


def _hidden(name: str) -> bool:
  return name.startswith('.') or name.casefold() in _LITTER


def _names(folder: str, prefix: str, shown: str, problems: list[types.Problem]) -> Iterator[tuple[str, str]]:
  """(prefix, name) of the entries of the folder `prefix` in `folder`, in natural order, without hidden ones."""
  try:
    names = os.listdir(os.path.join(folder, prefix))
  except OSError as error:
    problems.append(types.Problem(_join(shown, prefix), f'the folder cannot be read: {error.strerror}'))
    return
  yield from ((prefix, name) for name in sorted(names, key=natural_key) if not _hidden(name))


def unfit(path: str, name: str) -> str:
  """The reason to skip the file; empty for a regular file with the extension of an image."""
  if not is_showable(name):
    return 'the name has characters that cannot be shown'
  extension = os.path.splitext(name)[1]
  if extension.lower() not in EXTENSIONS:
    return f'{extension or "no extension"}: not one of {" ".join(EXTENSIONS)}'
  try:
    mode = os.stat(path).st_mode
  except OSError:
    return 'a link to nothing'
  # Reading a pipe or device could block for ever.
  return '' if stat.S_ISREG(mode) else 'not a regular file'


def _join(shown: str, inner: str) -> str:
  # Problems are printed and saved: control characters must not reach a terminal or break a line.
  whole = f'{shown}/{inner}'.strip('/') if shown else inner.strip('/')
  return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in whole)
