"""Divides the rows of a table into train, validation and test splits by whole groups."""

from __future__ import annotations

import math

import numpy as np

from bloodcell_jax.base import groups, types

# Attempts to get every class into each part. The division is usually balanced, but groups of several classes or of
# very unequal size can leave a part without one.
_NUM_DRAWS = 10


def rows(
  table: types.Table, validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, np.ndarray]:
  """The rows of each split that the data has: train, validation, test, test_clean, test_simple, test_originals.

  Validation is the data's own, or held out of TRAIN by whole groups, stratified by class. If the data has no TEST and
  `test_fraction` is above 0, test is held out first in the same way. `test_clean` is TEST without the groups that are
  in the data's TRAIN or VALIDATION too; it exists if that removes some of the rows, but not all.

  **Guarantees**: rows that are held out here share no group with the others; every row of the data's own splits stays
  in its split, so that `leaks.find` sees the leaks between them.

  Args:
    table: the data.
    validation_fraction: of the rows of TRAIN, in (0, 0.5], or 0 for no validation.
    test_fraction: of the rows of TRAIN, in (0, 0.5], or 0 for no test.
    seed: of the divisions.

  Returns:
    By split, train first: indices into the table, ascending, int64; no split is empty.

  Raises:
    UserError: no rows to train on, or a class with too few groups to be divided.
  """
  own = {split: np.flatnonzero(table.split == split) for split in np.unique(table.split)}
  none = np.zeros(0, np.int64)
  train, validation, test = (own.get(split, none) for split in ('TRAIN', 'VALIDATION', 'TEST'))
  if not len(train):
    raise types.UserError(
      f'{table.name}: has no image to train on; its splits are {", ".join(own) or "empty"}'
    )
  seen, group_N = np.concatenate([train, validation]), groups.numbers(table.group)
  if len(test):
    clean = test[~np.isin(group_N[test], group_N[seen])]
  else:
    clean = none
    if test_fraction:
      # Test is taken from groups that the data's own validation does not have.
      free = train[~np.isin(group_N[train], group_N[validation])]
      for k in np.setdiff1d(table.label[train], table.label[free]):
        raise types.UserError(
          f'class {table.class_names[k]}: every group of TRAIN is in VALIDATION too, so '
          'data.test_fraction can hold out none; remove them from one of the two'
        )
      _, test = hold_out(table, free, test_fraction, seed, 'data.test_fraction')
      train = np.setdiff1d(train, test)
  if not len(validation) and validation_fraction:
    train, validation = hold_out(table, train, validation_fraction, seed, 'data.validation_fraction')
  divided = {
    'train': train,
    'validation': validation,
    'test': test,
    'test_clean': clean if len(clean) < len(test) else none,
    'test_simple': own.get('TEST_SIMPLE', none),
    'test_originals': own.get('ORIGINALS', none),
  }
  return {name: rows_S for name, rows_S in divided.items() if len(rows_S)}


def hold_out(
  table: types.Table, among: np.ndarray, fraction: float, seed: int, key: str
) -> tuple[np.ndarray, np.ndarray]:
  """(kept, held out): the rows of `among` divided by whole groups, each part with every class.

  Args:
    table: the data.
    among: rows of it.
    fraction: of them to hold out, in (0, 0.5].
    seed: of the division.
    key: the config key of the fraction, for messages.

  Raises:
    UserError: a class with too few groups to be divided.
  """
  if not 0 < fraction <= 0.5:
    raise types.UserError(f'{key} is {fraction}; it must lie in (0, 0.5], or be 0')
  num_parts = math.ceil(round(1 / fraction, 9))
  label, group = table.label[among], groups.numbers(table.group)[among]
  for k in np.unique(label):
    num_groups = len(np.unique(group[label == k]))
    if num_groups < num_parts:
      remedy = f'set it to {_up(1 / num_groups)} or more' if num_groups > 1 else 'one cannot be divided'
      raise types.UserError(
        f'class {table.class_names[k]} has too few groups of images for {key}={fraction}: {num_groups}, '
        f'fewer than {num_parts}{_repeats(table, among[label == k])}; {remedy}, or add photographs'
      )
  for drawn in seeds(seed):
    held = groups.split(label, group, fraction, drawn)
    if len(np.unique(label[held])) == len(np.unique(label[~held])) == len(np.unique(label)):
      return among[~held], among[held]
  missing = next(k for k in np.unique(label) if (label[held] != k).all() or (label[~held] != k).all())
  raise types.UserError(
    f'class {table.class_names[missing]} cannot be divided by whole groups with {key}={fraction}; '
    'raise it, or add photographs'
  )


def _repeats(table: types.Table, rows: np.ndarray) -> str:
  """That several of the images are equal files or share groups; '' if no two do."""
  num, num_files, num_groups = (
    len(rows),
    len(np.unique(table.digest[rows])),
    len(np.unique(table.group[rows])),
  )
  if num_files < num:
    equal = (
      'all are the same file' if num_files == 1 else f'only {num_files:,} differ, the others are equal files'
    )
    return f' (of its {num:,} images {equal})'
  return f' (its {num:,} images share them)' if num_groups < num else ''


def seeds(seed: int) -> list[int]:
  """The seeds of the attempts: first the seed itself, then numbers far from those that people type."""
  return [seed + draw * 1_000_003 for draw in range(_NUM_DRAWS)]


def _up(fraction: float) -> float:
  return float(np.ceil(fraction * 100) / 100)
