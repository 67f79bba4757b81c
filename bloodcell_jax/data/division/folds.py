"""The folds of a cross-validation: which rows each holds out, and which it trains and chooses on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import splits

# The split of the rows that a fold holds out, and the name of what all folds' networks say of theirs.
HELD_OUT, OUT_OF_FOLD = 'fold', 'out_of_fold'


@dataclasses.dataclass(frozen=True)
class Spec:
  """How many folds there are, and which of them is meant."""

  folds: int  # 0 for no cross-validation, else 2 or more
  fold: int  # 1 to folds; 0 for all of them

  def __post_init__(self):
    if self.folds < 0 or self.folds == 1:
      raise types.UserError(
        f'train.folds is {self.folds}; it must be 2 or more, or 0 for no cross-validation'
      )
    if not 0 <= self.fold <= self.folds:
      raise types.UserError(
        f'train.fold is {self.fold}; it must lie in 1 to train.folds, which is {self.folds}, or be 0'
      )


def divide(data: dataset.Dataset, spec: Spec, validation_fraction: float, seed: int) -> dataset.Dataset:
  """The same images with the rows of a fold; of all folds, with `train` and `validation` together as train.

  The rows of train and validation are dealt to the folds by whole groups, the classes spread evenly. A fold has
  its share as the split `fold`, and divides the others into train and validation as any run does, so that no
  row of `fold` trains a weight or chooses an epoch. The tests are the same in every fold.

  **Guarantees**: every row of train and validation is in `fold` of exactly one fold; no group of `fold` is in
  train or validation of that fold; the same arguments give the same rows.

  Args:
    data: the images, divided or not.
    spec: the folds; where it has none, the data is returned as it is.
    validation_fraction: of the rows that a fold does not hold out, in (0, 0.5].
    seed: of the divisions.

  Raises:
    UserError: a class has fewer groups than there are folds, or too few to hold validation out.
  """
  if not spec.folds:
    return data
  among = _together(data.rows)
  tests = {name: rows for name, rows in data.rows.items() if name not in ('train', 'validation', HELD_OUT)}
  if not spec.fold:
    return dataclasses.replace(data, rows={'train': among, **tests})
  held = _deal(data.table, among, spec.folds, seed) == spec.fold - 1
  train, validation = splits.hold_out(
    data.table, among[~held], validation_fraction, seed, 'data.validation_fraction'
  )
  rows = {'train': train, 'validation': validation, HELD_OUT: among[held], **tests}
  return dataclasses.replace(data, rows=rows)


def _together(rows: Mapping[str, np.ndarray]) -> np.ndarray:
  parts = [rows[name] for name in ('train', 'validation', HELD_OUT) if name in rows]
  return np.sort(np.concatenate(parts))


def _deal(table: types.Table, among: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
  """The fold, from 0, of each row of `among`; every fold has every class."""
  label, group = table.label[among], table.group[among]
  for k in np.unique(label):
    num_groups = len(np.unique(group[label == k]))
    if num_groups < num_folds:
      raise types.UserError(
        f'class {table.class_names[k]} has {num_groups} groups of images, fewer than train.folds={num_folds}; '
        'lower it, or add photographs'
      )
  num_classes = len(np.unique(label))
  for drawn in splits.seeds(seed):
    fold_N = groups.folds(label, group, num_folds, drawn)
    if all(len(np.unique(label[fold_N == k])) == num_classes for k in range(num_folds)):
      return fold_N
  raise types.UserError(
    f'{table.name}: its groups cannot be dealt to train.folds={num_folds} with every class in each; lower it, or '
    'add photographs'
  )
