"""The file that a name in a list means, though the program that wrote the list spelled it a little differently."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import posixpath
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator

from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import names
from bloodcell_jax.system import atomic

# What follows the name of a copy of a list in that of the file that says where the list lies.
_PLACE = '.place'
_DRIVE = re.compile(r'[A-Za-z]:/')


def is_absolute(name: str) -> bool:
  """Whether the name is a whole path, of this system or of Windows.

  Example:
    >>> [is_absolute(name) for name in ('/a/1.png', 'C:\\\\a\\\\1.png', '\\\\\\\\server\\\\1.png', 'a/1.png')]
    [True, True, True, False]
  """
  plain = name.replace('\\', '/')
  return plain.startswith('/') or bool(_DRIVE.match(plain))


def hint(folder: str, name: str) -> str:
  """What the name of a file that is not there may mean, to be added to an error: another extension, or zeros lost."""
  inner = posixpath.dirname(name.replace('\\', '/'))
  try:
    there = os.listdir(os.path.join(folder, *inner.split('/')))
  except OSError:
    return ''
  near = [file for file in there if _bare(file) == _bare(posixpath.basename(name.replace('\\', '/')))]
  return f' ({posixpath.join(inner, near[0])} is there)' if len(near) == 1 else ''


def _bare(file: str) -> str:
  """The name without extensions and leading zeros, which spreadsheets and people drop.

  Example:
    >>> {_bare(file) for file in ('007.PNG', '7', '7.0', '07.tif')}
    {'7'}
  """
  bare = names.key(file)
  while (inner := posixpath.splitext(bare))[1] in (*image_files.EXTENSIONS, '.0'):
    bare = inner[0]
  return re.sub(r'(?<![0-9])0+(?=[0-9])', '', bare)


class Names:
  """Files that may be named, found by their names as a person reads them.

  Whole paths, such as those of the computer that the list comes from, are found by what follows the folder that they
  share; so are names that begin with the folder of the data itself.

  Example:
    >>> listed = Names(['A/a.png', 'A/b.png', 'A/B.png'])
    >>> [listed.find(name) for name in ('A/b.png', 'a\\\\A.PNG ', 'A/c.png')]
    ['A/b.png', 'A/a.png', '']
    >>> [listed.find(name) for name in ('D:\\\\cells\\\\A\\\\a.png', 'd:/Cells/A/b.png', '/else/A/a.png')]
    ['A/a.png', 'A/b.png', '']
  """

  def __init__(self, files: Iterable[str], folder_name: str = ''):
    self._files = set(files)
    self._by_key: dict[str, list[str]] = {}
    for file in self._files:
      self._by_key.setdefault(_key(file), []).append(file)
    self._below = _Below(self._exact, folder_name)

  def find(self, name: str) -> str:
    """The file of this very name, or else the only one that reads like it (see `names.key`), with any kind of slash;
    '' where there is none, or more than one."""
    return self._below.find(name)

  def _exact(self, name: str) -> str:
    if name in self._files:
      return name
    alike = self._by_key.get(_key(name), ())
    return alike[0] if len(alike) == 1 else ''


class Tree:
  """The files below a folder of the disk, found as by `Names`; each folder is listed once at most."""

  def __init__(self, folder: str):
    self._folder = folder
    self._names: dict[str, Names] = {}
    self._below = _Below(self._exact, os.path.basename(os.path.abspath(folder)))

  def find(self, name: str) -> str:
    """The path relative to the folder, with '/', of a file or folder; '' for none, or more than one.

    A whole path that is there on this computer is a file outside of the folder or one inside, and no other.
    """
    if is_absolute(name) and os.path.exists(name):
      own, path = os.path.realpath(self._folder), os.path.realpath(name)
      return os.path.relpath(path, own).replace(os.sep, '/') if path.startswith(os.path.join(own, '')) else ''
    return self._below.find(name)

  def _exact(self, name: str) -> str:
    if os.path.exists(self._path(name)):
      return name
    inner = ''
    for part in name.split('/'):
      if os.path.exists(self._path(posixpath.join(inner, part))):
        found = part
      elif not os.path.isdir(self._path(inner)):
        return ''
      else:
        if inner not in self._names:
          self._names[inner] = Names(os.listdir(self._path(inner)))
        found = self._names[inner].find(part)
      if not found:
        return ''
      inner = posixpath.join(inner, found)
    return inner

  def _path(self, inner: str) -> str:
    return os.path.join(self._folder, *inner.split('/'))


def keep_place(copy: str, list_path: str, folder: str) -> None:
  """Keeps, beside the copy of a list, in which folder inside that of the data the list lies; elsewhere nothing.

  Args:
    copy: path of the copy.
    list_path: of the list, or of another copy of it.
    folder: of the data.
  """
  if copy == list_path:
    return
  place = _inside(os.path.dirname(list_path), folder) if folder else None
  with contextlib.suppress(FileNotFoundError):
    place = pathlib.Path(f'{list_path}{_PLACE}').read_text('utf-8')
  if place is None:
    pathlib.Path(f'{copy}{_PLACE}').unlink(missing_ok=True)
  else:
    atomic.write_text(f'{copy}{_PLACE}', place)


class FilesOfLists:
  """Files below the folder of the data that lists name: relative to it, or to the folder of a list that lies inside."""

  def __init__(self, folder: str):
    self._folder = folder
    self._tree = Tree(folder)
    self._beside: dict[str, Tree] = {}  # by the folder of a list
    self._places: dict[str, str] = {}  # the folder of each list, by its path

  def find(self, name: str, list_path: str) -> str:
    """What a list names, as `Tree.find` gives it for the folder of the data.

    Args:
      name: as the list writes it.
      list_path: of the list.
    """
    inner = posixpath.normpath(name.replace('\\', '/'))
    found = self._tree.find(name)
    if found or not name.strip() or is_absolute(inner) or inner.startswith('..'):
      return found
    place = self._place(list_path)
    inside = _inside(place, self._folder)
    if inside is None:
      return ''
    near = self._beside.setdefault(place, Tree(place or '.')).find(inner)
    return posixpath.normpath(posixpath.join(inside, near)) if near else ''

  def _place(self, list_path: str) -> str:
    """The folder of a list; of a copy of one, that of the list itself."""
    if list_path not in self._places:
      place = os.path.dirname(list_path)
      with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        place = os.path.join(self._folder, pathlib.Path(f'{list_path}{_PLACE}').read_text('utf-8'))
      self._places[list_path] = place
    return self._places[list_path]

  def below(self, name: str) -> list[str]:
    """The images anywhere below the folder of the data whose paths end in this name, in natural order.

    If any is spelled exactly so, those that only read like it (see `names.key`) are not among them.
    """
    for spelling in _spellings(name):
      if is_absolute(spelling) or spelling.startswith('..'):
        continue
      of_base_name = self._images.get(names.key(posixpath.basename(spelling)), ())
      exact = [file for file in of_base_name if f'/{file}'.endswith(f'/{spelling}')]
      if found := exact or [file for file in of_base_name if f'/{_key(file)}'.endswith(f'/{_key(spelling)}')]:
        return found
    return []

  def path(self, file: str) -> str:
    """The path of a file that is named relative to the folder of the data."""
    return os.path.join(self._folder, file)

  def hint(self, name: str) -> str:
    """As the function `hint`, or else the only image below the folder whose path ends in this name."""
    there = self.below(name)
    return hint(self._folder, name) or (f' ({there[0]} is there)' if len(there) == 1 else '')

  @functools.cached_property
  def _images(self) -> dict[str, list[str]]:
    """The images below the folder, by the keys of their base names."""
    found: dict[str, list[str]] = {}
    for file in image_files.listing(self._folder, '')[0]:
      found.setdefault(names.key(posixpath.basename(file)), []).append(file)
    return found


def _inside(place: str, folder: str) -> str | None:
  """A folder's path relative to another one, '' for the same; None if it does not lie inside."""
  own, whole = _absolute(place), _absolute(folder).rstrip('/')
  return own[len(whole) + 1 :] if f'{own}/'.startswith(f'{whole}/') else None


def _absolute(folder: str) -> str:
  return os.path.realpath(folder or '.').replace(os.sep, '/')


class _Below:
  """Names relative to a folder, whichever way a list writes them."""

  def __init__(self, exact: Callable[[str], str], folder_name: str):
    self._exact, self._folder_name = exact, folder_name
    # Of whole paths, the folder that the first of them was found below: the others lie below it too.
    self._start = ''

  def find(self, name: str) -> str:
    for spelling in _spellings(name):
      find = self._of_whole if is_absolute(spelling) else self._of_relative
      if found := find(spelling):
        return found
    return ''

  def _of_relative(self, name: str) -> str:
    first, _, rest = name.partition('/')
    is_own = rest and self._folder_name and names.key(first) == names.key(self._folder_name)
    return self._exact(name) or (self._exact(rest) if is_own else '')

  def _of_whole(self, name: str) -> str:
    parts = name.split('/')
    for i in range(1, len(parts)):
      start, rest = '/'.join(parts[:i]), '/'.join(parts[i:])
      if self._start and _key(start) != self._start:
        continue
      if rest and (found := self._exact(rest)):
        self._start = _key(start)
        return found
    return ''


def _spellings(name: str) -> Iterator[str]:
  """The name with '/', and then without what programs put around it or in place of its letters."""
  plain = name.strip().strip('"\u201c\u201d\u201e')
  plain = (
    plain[1:-1]
    if len(plain) > 2 and plain[0] + plain[-1] in ("''", '\u2018\u2019')
    else plain.removeprefix("'")
  )
  url = re.sub(r'^file:/{2,3}(?=[A-Za-z]:)|^file://', '', plain)
  seen = []
  for one in (name, plain, urllib.parse.unquote(url)):
    slashes = one.replace('\\', '/')
    # normpath keeps two slashes at the beginning, as in \\server\folder.
    spelling = posixpath.normpath(slashes) if slashes.strip() else ''
    if spelling and spelling not in seen:
      seen.append(spelling)
      yield spelling


def _key(name: str) -> str:
  return '/'.join(map(names.key, name.split('/')))
