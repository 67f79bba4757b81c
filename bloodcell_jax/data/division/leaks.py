"""Leaks: images that are in two splits, or photographs that are in train and validation; they inflate the figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bloodcell_jax.base import groups, types

# How many pairs of a kind an error names at most; it counts the others.
MOST_NAMED = 2
# `Leaks.counts` of data without a leak.
NONE = {'train_in_validation': 0, 'test_in_training': 0}
# Beside these, where there are any: validation and test images that the initial weights were trained on.
SEEN_BY_WEIGHTS = 'seen_by_weights'


@dataclasses.dataclass(frozen=True)
class Leaks:
  """The rows that leak, each paired with a row that it shares an image or a photograph with."""

  train: np.ndarray  # [N, 2] int64: a row of train, a row of validation of the same group or image
  test: np.ndarray  # [N, 2] int64: a row of a test split, a row of train or validation that is the same image

  def counts(self) -> dict[str, int]:
    """The number of images that leak, as in `environment.json` and `metrics.json`."""
    return {'train_in_validation': len(self.train), 'test_in_training': len(self.test)}


def find(table: types.Table, rows: Mapping[str, np.ndarray]) -> Leaks:
  """The leaks between these splits; every split other than train and validation is a test split.

  A group shared by a test split and train, without a common image, is no leak: the published split of the Kaggle images
  has such fields, and `test_clean` excludes them.

  **Guarantees**: each row of train and of the test splits is in at most one pair.

  Args:
    table: the data.
    rows: by split, indices into the table.
  """
  none = np.zeros(0, np.int64)
  train, validation = rows.get('train', none), rows.get('validation', none)
  tests = [held for split, held in rows.items() if split not in ('train', 'validation')]
  # test_clean is a subset of test.
  test = np.unique(np.concatenate([none, *tests]))
  digest_N = groups.numbers(table.digest)
  group_N = digest_N if table.group is table.digest else groups.numbers(table.group)
  shared = [_pairs(number_N, train, validation) for number_N in (group_N, digest_N)]
  return Leaks(_once(shared), _pairs(digest_N, test, np.concatenate([train, validation])))


def together(parts: Sequence[Leaks]) -> Leaks:
  """The leaks of several divisions of the same table together."""
  return Leaks(_once([part.train for part in parts]), _once([part.test for part in parts]))


def note(counts: Mapping[str, int]) -> str:
  """The warning to show beside every figure; empty if nothing leaks.

  Example:
    >>> note({'train_in_validation': 12, 'test_in_training': 0})
    'Leak: 12 training images share a photograph with validation. The figures are too good.'
  """
  leaks = ' and '.join(_in_words(name, num) for name, num in counts.items() if num)
  return f'Leak: {leaks}. The figures are too good.' if leaks else ''


def check(table: types.Table, leaks: Leaks) -> None:
  """Raises UserError if anything leaks, with the number of images and the first of them."""
  summary = ' and '.join(
    f'{_in_words(name, len(pairs))} ({_named(table, pairs)})'
    for name, pairs in (('train_in_validation', leaks.train), ('test_in_training', leaks.test))
    if len(pairs)
  )
  if summary:
    raise types.UserError(
      f'{table.name}: {summary}. Remove them from one of the splits, or correct their groups (data.groups_csv), or set '
      '--config.data.allow_leak=True, which trains all the same and marks every figure'
    )


def _in_words(name: str, num: int) -> str:
  is_one = num == 1
  if name == 'train_in_validation':
    return f'{num:,} training image{" shares" if is_one else "s share"} a photograph with validation'
  if name == SEEN_BY_WEIGHTS:
    return f'the initial weights were trained on {num:,} validation or test image{"" if is_one else "s"}'
  return f'{num:,} test image{" is" if is_one else "s are"} in training or validation too'


def _named(table: types.Table, pairs: np.ndarray) -> str:
  first = ', '.join(f'{table.file[a]} and {table.file[b]}' for a, b in pairs[:MOST_NAMED])
  return first + (', ...' if len(pairs) > MOST_NAMED else '')


def _pairs(number_N: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Each of `rows` whose number one of `others` has, paired with the first of those."""
  if not len(rows) or not len(others):
    return np.zeros((0, 2), np.int64)
  values, first = np.unique(number_N[others], return_index=True)
  at = np.minimum(np.searchsorted(values, number_N[rows]), len(values) - 1)
  same = values[at] == number_N[rows]
  return np.stack([rows, others[first[at]]], 1)[same].astype(np.int64)


def _once(pairs: Sequence[np.ndarray]) -> np.ndarray:
  """All pairs, one for each first row."""
  whole = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
  return whole[np.unique(whole[:, 0], return_index=True)[1]]
