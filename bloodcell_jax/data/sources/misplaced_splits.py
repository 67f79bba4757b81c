"""Splits that stand inside class folders or in their names, where their images would be trained on without a word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import names

_JOINT = re.compile(r'[\s_.\-\u2010-\u2015\u2212]+')
_CAMEL = re.compile(r'(?<=[a-z])(?=[A-Z])')
_MOST_NAMED = 3


def refuse_inside(place: str, class_name: str, inside: Sequence[str]) -> None:
  """Refuses a class folder that has split folders inside, `CLASS/test/1.png`.

  Args:
    place: the path of the class folder.
    class_name: its name.
    inside: its images, relative to it, with '/'.

  Raises:
    UserError: a folder inside is named like a split.
  """
  found = dict.fromkeys(
    part for name in inside if '/' in name for part in name.split('/')[:-1] if names.split(part)
  )
  if not found:
    return
  words = list(found)[:_MOST_NAMED]
  own = f', and its other images into TRAIN/{class_name}/' if len(found) < _num_places(inside) else ''
  raise types.UserError(
    f'{place}: a class folder with the split folder{"s" if len(words) > 1 else ""} {", ".join(words)} inside; put '
    f'splits above classes: {", ".join(f"{word}/{class_name}/" for word in words)}{own}'
  )


def refuse_names(folder: str, class_names: Sequence[str]) -> None:
  """Refuses class folders whose names hold their splits, such as `train_EOSINOPHIL` and `test_EOSINOPHIL`.

  Args:
    folder: the folder of the data.
    class_names: the names of its class folders.

  Raises:
    UserError: two folders differ in the split alone, or all of them name one of several splits.
  """
  found = {name: parts for name in class_names if (parts := _parts(name))}
  of_class: dict[str, str] = {}  # what remains of the name -> the first folder that has it
  for name in [*(name for name in class_names if name not in found), *found]:
    rest = names.key(found[name][1]) if name in found else names.key(name)
    other = of_class.setdefault(rest, name)
    if other != name and name in found and found[name][0] != found.get(other, ('', ''))[0]:
      _refuse(folder, found, other, name)
  if len(found) == len(class_names) and len({split for split, _ in found.values()}) > 1:
    first, *others = found
    _refuse(folder, found, first, next(name for name in others if found[name][0] != found[first][0]))


def _refuse(folder: str, found: dict[str, tuple[str, str]], one: str, other: str) -> None:
  places = dict.fromkeys(f'{split}/{rest}/' for split, rest in (found.get(one, ('TRAIN', one)), found[other]))
  raise types.UserError(
    f'{folder}: the folders {names.spelled(one)} and {names.spelled(other)} name a class and a split; put splits above '
    f'classes, in folders of their own: {" and ".join(places)}'
  )


def _parts(name: str) -> tuple[str, str] | None:
  """The split that the first or the last word of the name stands for, and the rest of the name; None if none does.

  Example:
    >>> _parts('train_EOSINOPHIL'), _parts('band cell.test'), _parts('testMonocyte'), _parts('latest'), _parts('test')
    (('TRAIN', 'EOSINOPHIL'), ('TEST', 'band cell'), ('TEST', 'Monocyte'), None, None)
  """
  apart = _CAMEL.sub(' ', name).strip()
  if not (joints := list(_JOINT.finditer(apart))):
    return None
  first, last = joints[0], joints[-1]
  for word, rest in (
    (apart[: first.start()], apart[first.end() :]),
    (apart[last.end() :], apart[: last.start()]),
  ):
    if rest and (split := names.split(word)):
      return split, rest
  return None


def _num_places(inside: Sequence[str]) -> int:
  return len({name.rpartition('/')[0] for name in inside})
