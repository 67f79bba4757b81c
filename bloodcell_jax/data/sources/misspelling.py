"""A name that is a misspelling of another one, and not that of another class."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bloodcell_jax.data.sources import names

# Fewest letters of both names where one, or two, are added, left out, replaced or swapped: in a shorter one they make
# another word. Myelocyte and monocyte, the nearest two kinds of cell, differ in three.
_LETTERS = {0: 0, 1: 5, 2: 7}


def of(name: str, others: Iterable[str]) -> str:
  """The one of the others that the name is a misspelling of; '' if none is, or several are equally near.

  Names that differ in a digit or a sign, such as `CD4` and `CD8`, are others.

  Example:
    >>> kinds = ('BASOPHIL', 'EOSINOPHIL', 'MONOCYTE', 'MYELOCYTE')
    >>> [of(name, kinds) for name in ('Basofil', 'monozyt', 'EOSINPOHIL', 'NEUTROPHIL', 'PROMYELOCYTE')]
    ['BASOPHIL', 'MONOCYTE', 'EOSINOPHIL', '', '']
    >>> of('BASOPHIL', ('EOSINOPHIL', 'LYMPHOCYTE')), of('CD4 positive', ('CD8 positive',)), of('band', ('wand',))
    ('', '', '')
  """
  near = []
  one = names.key(name)
  for other in others:
    two = names.key(other)
    num = _distance(one, two)
    # `atypical` and `typical`, `promonocyte` and `monocyte`: what stands in front makes another kind.
    is_other = _signs(one) != _signs(two) or (num and (one.endswith(two) or two.endswith(one)))
    if num in _LETTERS and min(len(one), len(two)) >= _LETTERS[num] and not is_other:
      near.append((num, other))
  near.sort()
  is_one = len(near) == 1 or (len(near) > 1 and near[0][0] < near[1][0])
  return near[0][1] if is_one else ''


def _signs(name: str) -> list[str]:
  return re.findall(r'[^\w\s]|\d', name)


def _distance(one: str, two: str) -> int:
  """How many letters are added, left out, replaced, or swapped with the next."""
  before: list[int] = []
  row = list(range(len(two) + 1))
  for i, letter in enumerate(one, 1):
    last, before, row = before, row, [i]
    for j, other in enumerate(two, 1):
      row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other)))
      if i > 1 and j > 1 and letter == two[j - 2] and one[i - 2] == other:
        row[j] = min(row[j], last[j - 2] + 1)
  return row[-1]
