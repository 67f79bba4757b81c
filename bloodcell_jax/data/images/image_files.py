"""Lists, reads and hashes image files in folders, in natural order; each file that is skipped is a Problem."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.data.images import foreign, litter

EXTENSIONS = (
  '.jpeg', '.jpg', '.jpe', '.jfif', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm', '.pgm', '.pnm',
)  # fmt: skip
# What programs note of an image in a file of its name: `1.xml` or `1.png.json` beside `1.png`.
ANNOTATIONS = (
  '.xml', '.json', '.geojson', '.txt', '.csv', '.tsv', '.yaml', '.yml', '.roi', '.npy', '.npz', '.mat', '.ini', '.md5',
)  # fmt: skip

ARCHIVES = ('.zip', '.tar', '.gz', '.tgz', '.bz2', '.tbz', '.xz', '.txz', '.zst', '.7z', '.rar', '.iso')
WORKBOOKS = ('.xlsx', '.xls', '.xlsm', '.xlsb', '.ods', '.numbers')

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


def subfolders(folder: str, passed_over: litter.Tally | None = None) -> list[str]:
  """Names of the folders in `folder`, in natural order, without hidden ones, litter and runs.

  Args:
    folder: to look into.
    passed_over: counts the folders and files that are left out; None to count none.
  """
  found = []
  names = os.listdir(folder)
  of_run = litter.RUN_FOLDERS if litter.is_result(names) else ()
  of_project = litter.OF_QUPATH if litter.is_project(names) else ()
  for name in names:
    path = os.path.join(folder, name)
    if kind := litter.kind(name):
      _count(passed_over, kind)
    elif os.path.isdir(path):
      if name in of_project:
        _count(passed_over, name)
      elif name in of_run or litter.is_result(_entries(path)):
        _count(passed_over, litter.RUN)
      else:
        found.append(name)
  return sorted(found, key=natural_key)


@dataclasses.dataclass(frozen=True)
class Listing:
  """The image files of a folder."""

  names: list[str]  # relative to the folder, with '/', in natural order
  problems: list[types.Problem]  # files that are skipped
  num_runs: int  # folders of runs and results inside, which are passed over


def listing(folder: str, shown: str, recursive: bool = True) -> tuple[list[str], list[types.Problem]]:
  """The names and the problems of `read_listing`."""
  found = read_listing(folder, shown, recursive, litter.tally())
  return found.names, found.problems


def read_listing(folder: str, shown: str, recursive: bool, passed_over: litter.Tally) -> Listing:
  """The image files under `folder`.

  **Guarantees**: each folder on the disk is read once, so a loop of links ends; hidden files, what other programs leave
  and folders of runs are passed over; the order depends only on the names.

  Args:
    folder: to search.
    shown: the name of the folder for people; the prefix of the names in problems.
    recursive: search the folders inside too.
    passed_over: counts what is passed over.
  """
  found: list[str] = []
  problems: list[types.Problem] = []
  num_runs = 0
  # A link to a folder above leads to other classes.
  own = pathlib.Path(os.path.realpath(folder))
  seen = {_identity(str(each)) for each in (own, *own.parents)}
  # A stack, because folders may be nested deeper than the recursion limit of Python.
  stack = [_names(folder, '', shown, problems, passed_over)]
  of_run = litter.RUN_FOLDERS if litter.is_result(_entries(folder)) else ()
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
        problems.append(
          types.Problem(
            _join(shown, inner), 'a link to a folder above it, or to one that has been read already'
          )
        )
        continue
      seen.add(_identity(path))
      if name in litter.OF_QUPATH and litter.is_project(_entries(os.path.dirname(path))):
        passed_over.times[name] += 1
        continue
      if (not prefix and name in of_run) or litter.is_result(_entries(path)):
        passed_over.times[litter.RUN] += 1
        num_runs += 1
        continue
      stack.append(_names(folder, f'{inner}/', shown, problems, passed_over))
    elif reason := unfit(path, name):
      problems.append(types.Problem(_join(shown, inner), reason))
    else:
      found.append(inner)
  return Listing(found, problems, num_runs)


def _entries(folder: str) -> list[str]:
  try:
    return os.listdir(folder)
  except OSError:
    return []  # told where the folder is read


def _count(passed_over: litter.Tally | None, kind: str) -> None:
  if passed_over is not None:
    passed_over.times[kind] += 1


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
    >>> [is_showable(name) for name in ('Zellen ü.png', '9.00\\u202fAM.png', 'a\\nb.png', '\\udcff.png')]
    [True, True, False, False]
  """
  # Python represents invalid UTF-8 as lone surrogates, which cannot be written to a CSV. Blanks of every width are
  # fine: macOS names its screenshots with a narrow one.
  return all(letter.isprintable() or unicodedata.category(letter) == 'Zs' for letter in name)


def read(path: str) -> bytes:
  """The bytes of the file; raises OSError."""
  with open(path, 'rb') as file:
    return file.read()


def contents(content: types.Content) -> bytes:
  """The encoded image of a row of a table; raises OSError."""
  if isinstance(content, bytes):
    return content
  return read(content) if isinstance(content, str) else content.read()


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


def _names(
  folder: str, prefix: str, shown: str, problems: list[types.Problem], passed_over: litter.Tally
) -> Iterator[tuple[str, str]]:
  """(prefix, name) of the entries of the folder `prefix` in `folder`, in natural order, without litter."""
  try:
    names = os.listdir(os.path.join(folder, prefix))
  except OSError as error:
    problems.append(types.Problem(_join(shown, prefix), f'the folder cannot be read: {error.strerror}'))
    return
  images = {
    stem.casefold() for stem, extension in map(os.path.splitext, names) if extension.lower() in EXTENSIONS
  }
  images |= {name.casefold() for name in names if os.path.splitext(name)[1].lower() in EXTENSIONS}
  for name in sorted(names, key=natural_key):
    stem, extension = os.path.splitext(name)
    kind = litter.kind(name)
    if not kind and extension.lower() in ANNOTATIONS and stem.casefold() in images:
      kind = litter.ANNOTATION
    if kind:
      passed_over.times[kind] += 1
    else:
      yield prefix, name


def unfit(path: str, name: str) -> str:
  """The reason to skip the file; empty for a regular file with the extension of an image."""
  if not is_showable(name):
    return 'the name has characters that cannot be shown'
  if foreign.is_placeholder(name):
    return 'a cloud-drive placeholder: the image is not on this computer; download it'
  extension = os.path.splitext(name)[1]
  if reason := foreign.reason(extension):
    return reason
  if extension.lower() in ARCHIVES:
    return 'is an archive; unpack it'
  if extension.lower() not in EXTENSIONS:
    return f'{extension or "no extension"}: not one of {" ".join(EXTENSIONS)}'
  try:
    mode = os.stat(path).st_mode
  except OSError:
    return 'a broken link'
  # Reading a pipe or device could block for ever.
  return '' if stat.S_ISREG(mode) else 'not a regular file'


def is_image(name: str) -> bool:
  """Whether the file is an image by its extension, of a kind that is read here or not.

  Example:
    >>> is_image('A/1.TIF'), is_image('A/1.czi'), is_image('A/notes.txt')
    (True, True, False)
  """
  extension = os.path.splitext(name)[1].lower()
  return extension in EXTENSIONS or bool(foreign.reason(extension)) or foreign.is_placeholder(name)


def _join(shown: str, inner: str) -> str:
  # Problems are printed and saved: control characters must not reach a terminal or break a line.
  whole = f'{shown}/{inner}'.strip('/') if shown else inner.strip('/')
  return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in whole)
