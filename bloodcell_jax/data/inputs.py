"""What a user names on the command line, as image files: files, folders, patterns, lists."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence

from bloodcell_jax import types
from bloodcell_jax.data import files, lists


@dataclasses.dataclass(frozen=True)
class Input:
  """One image file."""

  path: str
  shown: str  # relative to the folder or list it was found by; its own name where it was named itself


def find(paths: Sequence[str]) -> tuple[list[Input], list[types.Problem]]:
  """The images that these paths name, each file once, in the order of the paths; and what was left out.

  A path is an image file, a folder (looked through with all folders inside), a pattern such as `slides/*.png` or
  `slides/**/*.png`, or a `.csv` whose column `file` names images, relative to the list's own folder.

  Raises:
    UserError: a path that does not exist, a pattern that matches nothing, a list without the column, or no image.
  """
  found: list[Input] = []
  problems: list[types.Problem] = []
  for path in paths:
    found += _of(path, problems)
  seen: set[str] = set()
  kept = []
  for one in found:
    real = os.path.realpath(one.path)
    if not files.is_showable(one.shown):
      problems.append(types.Problem(repr(one.shown), 'the name has characters that cannot be shown'))
    elif real not in seen:
      seen.add(real)
      kept.append(one)
  if not kept:
    named = ', '.join(path if files.is_showable(path) else repr(path) for path in paths)
    raise types.UserError(f'{named}: no image there; known kinds are {" ".join(files.EXTENSIONS)}')
  return _told_apart(kept), problems


def _of(path: str, problems: list[types.Problem]) -> Iterator[Input]:
  if os.path.isdir(path):
    names, left_out = files.listing(path, '')
    # Who tells of them says already that they are left out.
    problems += [types.Problem(each.file, each.reason.removesuffix('; left out')) for each in left_out]
    yield from (Input(os.path.join(path, *name.split('/')), name) for name in names)
  elif os.path.isfile(path) and path.lower().endswith('.csv'):
    yield from _listed(path)
  elif os.path.isfile(path):
    yield Input(path, os.path.basename(path))
  elif glob.has_magic(path):
    matched = sorted(glob.glob(path, recursive=True), key=files.natural_key)
    if not matched:
      raise types.UserError(f'{path}: matches no file')
    for one in matched:
      if os.path.isdir(one) or os.path.splitext(one)[1].lower() in files.EXTENSIONS:
        yield from _of(one, problems)
  else:
    raise types.UserError(f'{path}: no such file or folder')


def _listed(path: str) -> Iterator[Input]:
  folder = os.path.dirname(path)
  for where, row in lists.read(path, ('file',), 'name images by it, or leave it out'):
    name = row['file'].replace('\\', '/')
    whole = os.path.join(folder, *name.split('/')) if not os.path.isabs(name) else name
    if not name or not os.path.isfile(whole):
      raise types.UserError(f'{where} names {name or "nothing"}, which is no file')
    yield Input(whole, name)


def _told_apart(found: list[Input]) -> list[Input]:
  """The same, two files of one shown name by their whole paths."""
  times = collections.Counter(one.shown for one in found)
  return [Input(one.path, one.path) if times[one.shown] > 1 else one for one in found]
