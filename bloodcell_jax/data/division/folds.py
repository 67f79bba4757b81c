"""The folds of a cross-validation: the rows that each holds out, trains on and validates on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.data.division import splits

# The split of the rows that a fold holds out, and the split of all rows, each predicted by the fold that held it out.
HELD_OUT, OUT_OF_FOLD = 'fold', 'out_of_fold'


@dataclasses.dataclass(frozen=True)
class Spec:
  """The number of folds, and which of them a run trains."""

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


def divide(
  table: types.Table, rows: Mapping[str, np.ndarray], spec: Spec, validation_fraction: float, seed: int
) -> dict[str, np.ndarray]:
  """The rows of the splits of a fold; for all folds together, `train` and `validation` joined as train.

  The rows of train and validation are dealt to the folds by whole groups, stratified by class. A fold holds out
  its share as the split `fold` and divides the other rows into train and validation as any run does, so that no
  row of `fold` trains a weight or chooses an epoch. The test splits are the same in every fold.

  **Guarantees**: every row of train and validation is in `fold` of exactly one fold; no group of `fold` is in
  train or validation of that fold; the same arguments give the same rows.

  Args:
    table: the data.
    rows: by split, indices into the table; already divided into folds or not.
    spec: the folds; without folds the rows are returned unchanged.
    validation_fraction: of the rows that a fold does not hold out, in (0, 0.5].
    seed: of the divisions.

  Raises:
    UserError: a class has fewer groups than there are folds, or too few to hold validation out.
  """
  if not spec.folds:
    return dict(rows)
  among = _join(rows)
  tests = {name: rows_S for name, rows_S in rows.items() if name not in ('train', 'validation', HELD_OUT)}
  if not spec.fold:
    return {'train': among, **tests}
  is_held_out = _deal(table, among, spec.folds, seed) == spec.fold - 1
  train, validation = splits.hold_out(
    table, among[~is_held_out], validation_fraction, seed, 'data.validation_fraction'
  )
  return {'train': train, 'validation': validation, HELD_OUT: among[is_held_out], **tests}


def _join(rows: Mapping[str, np.ndarray]) -> np.ndarray:
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
    f'{table.name}: its groups cannot be divided among train.folds={num_folds} with every class in each; lower it, or '
    'add photographs'
  )
