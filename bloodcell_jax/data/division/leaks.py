"""Images on both sides of a split: what makes figures too good."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bloodcell_jax.base import types

# Of the pairs of a kind so many are named; the count tells of the rest.
MOST_NAMED = 2
# Of data in which nothing leaks, as `Leaks.counts` has it.
NONE = {'train_in_validation': 0, 'test_in_training': 0}


@dataclasses.dataclass(frozen=True)
class Leaks:
  """The rows that leak, each beside a row that it leaks from."""

  train: np.ndarray  # [N, 2] int64: a row of train, a row of validation of the same group or image
  test: np.ndarray  # [N, 2] int64: a row of a test split, a row of train or validation that is the same image

  def counts(self) -> dict[str, int]:
    """How many images leak, as `environment.json` and `metrics.json` have it; zeros where none does."""
    return {'train_in_validation': len(self.train), 'test_in_training': len(self.test)}


def find(table: types.Table, rows: Mapping[str, np.ndarray]) -> Leaks:
  """What leaks between these splits; every split but train and validation is a test.

  A test that shares a group with train, but no image, is none: the published split of the Kaggle images has such
  fields, and `test_clean` is without them.

  **Guarantees**: each row of train and of the tests stands there once at most.

  Args:
    table: the data.
    rows: by split, indices into the table.
  """
  none = np.zeros(0, np.int64)
  train, validation = rows.get('train', none), rows.get('validation', none)
  tests = [held for split, held in rows.items() if split not in ('train', 'validation')]
  # test_clean lies within test.
  test = np.unique(np.concatenate([none, *tests]))
  shared = [_pairs(column, train, validation) for column in (table.group, table.digest)]
  return Leaks(_once(shared), _pairs(table.digest, test, np.concatenate([train, validation])))


def together(parts: Sequence[Leaks]) -> Leaks:
  """What leaks in any of several divisions of the same table."""
  return Leaks(_once([part.train for part in parts]), _once([part.test for part in parts]))


def note(counts: Mapping[str, int]) -> str:
  """What must be said wherever a figure is shown; empty where nothing leaks.

  Example:
    >>> note({'train_in_validation': 12, 'test_in_training': 0})
    'Leak: 12 training images share a photograph with validation. The figures are too good.'
  """
  said = ' and '.join(_said(name, num) for name, num in counts.items() if num)
  return f'Leak: {said}. The figures are too good.' if said else ''


def check(table: types.Table, found: Leaks) -> None:
  """Raises UserError where something leaks, naming how many images and the first of them."""
  said = ' and '.join(
    f'{_said(name, len(pairs))} ({_named(table, pairs)})'
    for name, pairs in (('train_in_validation', found.train), ('test_in_training', found.test))
    if len(pairs)
  )
  if said:
    raise types.UserError(
      f'{table.name}: {said}. Remove them from one side, or mend their groups (data.groups_csv), or set '
      '--config.data.allow_leak=True, which trains all the same and marks every figure'
    )


def _said(name: str, num: int) -> str:
  is_one = num == 1
  if name == 'train_in_validation':
    return f'{num:,} training image{" shares" if is_one else "s share"} a photograph with validation'
  return f'{num:,} test image{" is" if is_one else "s are"} in training or validation too'


def _named(table: types.Table, pairs: np.ndarray) -> str:
  first = ', '.join(f'{table.file[a]} and {table.file[b]}' for a, b in pairs[:MOST_NAMED])
  return first + (', ...' if len(pairs) > MOST_NAMED else '')


def _pairs(column_N: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Each of `rows` with a value that `others` have, beside the first that has it."""
  if not len(rows) or not len(others):
    return np.zeros((0, 2), np.int64)
  values, first = np.unique(column_N[others], return_index=True)
  at = np.minimum(np.searchsorted(values, column_N[rows]), len(values) - 1)
  same = values[at] == column_N[rows]
  return np.stack([rows, others[first[at]]], 1)[same].astype(np.int64)


def _once(pairs: Sequence[np.ndarray]) -> np.ndarray:
  """The pairs of all, one for each first row."""
  whole = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
  return whole[np.unique(whole[:, 0], return_index=True)[1]]
