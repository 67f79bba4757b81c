"""The file that a name in a list means, though the program that wrote the list spelled it a little differently."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable

from bloodcell_jax.data.sources import names


class Names:
  """Files that may be named, found by their names as a person reads them.

  Example:
    >>> listed = Names(['A/a.png', 'A/b.png', 'A/B.png'])
    >>> [listed.find(name) for name in ('A/b.png', 'a\\\\A.PNG ', 'A/c.png')]
    ['A/b.png', 'A/a.png', '']
  """

  def __init__(self, files: Iterable[str]):
    self._files = set(files)
    self._by_key: dict[str, list[str]] = {}
    for file in self._files:
      self._by_key.setdefault(_key(file), []).append(file)

  def find(self, name: str) -> str:
    """The file of this very name, or else the only one that reads like it (see `names.key`), with any kind of slash;
    '' where there is none, or more than one."""
    exact = posixpath.normpath(name.replace('\\', '/'))
    if exact in self._files:
      return exact
    alike = self._by_key.get(_key(exact), ())
    return alike[0] if len(alike) == 1 else ''


class Tree:
  """The files below a folder of the disk, found as by `Names`; each folder is listed once at most."""

  def __init__(self, folder: str):
    self._folder = folder
    self._names: dict[str, Names] = {}

  def find(self, name: str) -> str:
    """The path relative to the folder, with '/', of a file or folder; '' for none, or more than one."""
    exact = posixpath.normpath(name.replace('\\', '/'))
    if os.path.exists(self._path(exact)):
      return exact
    inner = ''
    for part in exact.split('/'):
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


def _key(name: str) -> str:
  return '/'.join(map(names.key, name.split('/')))
