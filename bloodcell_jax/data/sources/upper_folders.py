"""Folders above the classes that would be taken for them: laboratories, days or patients that hold equal folders."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Collection, Mapping, Sequence

from bloodcell_jax.base import shell, types
from bloodcell_jax.data.sources import names

# So many times as many folders hold folders as hold images, where the upper ones are taken for one kind.
_LEAST_RATIO = 2
_NUMBERS = re.compile('[0-9]+')


def refuse(
  inside: str,
  upper: Sequence[str],
  lower_of: Mapping[str, Sequence[str]],
  below_of: Mapping[str, Collection[str]],
) -> None:
  """Refuses folders of which it is unclear, or unlikely, that they are classes.

  Folders of patients or slides inside the classes may have the same names in several classes: they are known by names
  such as `patient_1`, `p01` or `2024-01-05`, or by classes above them that are named like kinds of cells.

  Args:
    inside: the folder that holds them.
    upper: the folders that hold images or folders.
    lower_of: those of them that hold (almost) only folders -> these.
    below_of: the same -> the folders one level deeper.

  Raises:
    UserError: they hold folders of the same names, and these are rather the classes, or may be.
  """
  num_others = len(upper) - len(lower_of)
  if len(lower_of) < 2 or num_others * _LEAST_RATIO > len(lower_of):
    return
  outer = list(lower_of)
  shared, is_clear = _shared(lower_of)
  are_classes = any(map(names.is_cell, upper)) and not all(map(names.is_part, upper))
  if not are_classes and (deeper := [name for name in _shared(below_of)[0] if names.is_cell(name)]):
    _refuse_parts(inside, outer, deeper)
  if not shared:
    return
  hold_classes = any(map(names.is_cell, shared)) and not all(map(names.is_part, shared))
  if (hold_classes and not are_classes) or (names.is_series(outer) and not names.is_series(shared)):
    _refuse_parts(inside, outer, shared)
  if are_classes or not is_clear:
    return
  are_parts, hold_parts = (all(map(names.is_part, each)) for each in (outer, shared))
  if are_parts and not hold_parts:
    _refuse_parts(inside, outer, shared)
  if hold_parts and not all(names.is_part(_NUMBERS.sub('', name)) for name in outer):
    return
  if hold_parts:
    raise types.UserError(
      f'{inside}: its folders {names.some(outer)} and those inside ({names.some(shared)}) are named like patients, '
      'slides, days or places, not like classes; put the images into folders of their classes, such as '
      f'NEUTROPHIL/{outer[0]}/, or list them in --config.data.labels_csv'
    )
  place = os.path.join(inside, outer[0])
  raise types.UserError(
    f'{inside}: its folders {names.some(outer)} hold folders of the same names ({names.some(shared)}), and either may '
    f'be the classes; if those inside are, pass one of the others, --config.data.dir={shell.word(place)}, or move them '
    f'into the classes: {shared[0]}/{outer[0]}/; if those outside are, rename those inside to patient_{shared[0]} and '
    'so on, or list the images in --config.data.labels_csv'
  )


def _refuse_parts(inside: str, outer: Sequence[str], shared: Sequence[str]) -> None:
  place = os.path.join(inside, outer[0])
  raise types.UserError(
    f'{inside}: its folders {names.some(outer)} hold folders of the same names ({names.some(shared)}) and look like '
    f'data sets of their own, not like classes; pass one of them, --config.data.dir={shell.word(place)}, or rename '
    'them to TRAIN, VALIDATION and TEST, or set --config.data.source=laboratories if they are laboratories, or, if '
    f'they are patients or slides, move them into the classes: {shared[0]}/{outer[0]}/'
  )


def _shared(lower_of: Mapping[str, Collection[str]]) -> tuple[list[str], bool]:
  """The names that several folders hold, and whether they are two or more, or one that all hold."""
  spelled: dict[str, str] = {}
  times = collections.Counter(
    key for folders in lower_of.values() for key in {names.key(name) for name in folders}
  )
  for folders in lower_of.values():
    for name in folders:
      spelled.setdefault(names.key(name), name)
  shared = [name for key, name in spelled.items() if times[key] > 1]
  return shared, len(shared) > 1 or len(lower_of) in times.values()
