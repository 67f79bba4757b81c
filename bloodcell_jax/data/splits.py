"""Which rows train, which choose, which judge."""

from __future__ import annotations

import numpy as np

from bloodcell_jax import groups, types


def rows(
  table: types.Table, validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, np.ndarray]:
  """The rows of each split that the data has: train, validation, test, test_clean, test_simple, test_originals.

  Validation is the data's own, or held out of TRAIN by whole groups, the classes spread evenly. `test_clean` is
  TEST without the groups that TRAIN shows too; it is there where that leaves out a row.

  **Guarantees**: train and validation share no group; train and validation hold no row of TEST.

  Raises:
    UserError: a class has too few groups to be divided.
  """
  train = np.flatnonzero(table.split == 'TRAIN')
  found = {
    'validation': np.flatnonzero(table.split == 'VALIDATION'),
    'test': np.flatnonzero(table.split == 'TEST'),
    'test_simple': np.flatnonzero(table.split == 'TEST_SIMPLE'),
    'test_originals': np.flatnonzero(table.split == 'ORIGINALS'),
  }
  if not len(train):
    raise types.UserError(f'{table.name}: no images to train on')
  official = train
  if not len(found['test']) and test_fraction:
    train, found['test'] = _hold_out(table, train, test_fraction, seed, 'data.test_fraction')
    official = train
  if not len(found['validation']):
    train, found['validation'] = _hold_out(
      table, train, validation_fraction, seed, 'data.validation_fraction'
    )
  clean = found['test'][~np.isin(table.group[found['test']], table.group[official])]
  if 0 < len(clean) < len(found['test']):
    found['test_clean'] = clean
  return {'train': train, **{name: indices for name, indices in sorted(found.items()) if len(indices)}}


def _hold_out(
  table: types.Table, among: np.ndarray, fraction: float, seed: int, key: str
) -> tuple[np.ndarray, np.ndarray]:
  """The rows kept and the rows held out."""
  num_folds = round(1 / fraction)
  for k, name in enumerate(table.class_names):
    num_groups = len(np.unique(table.group[among][table.label[among] == k]))
    if num_groups < num_folds:
      raise types.UserError(
        f'class {name} has {num_groups} independent photographs to divide, '
        f'and {key}={fraction} needs {num_folds}; add photographs, or raise {key}'
      )
  held = groups.split(table.label[among], table.group[among], fraction, seed)
  return among[~held], among[held]
