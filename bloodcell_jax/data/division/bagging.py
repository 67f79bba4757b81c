"""Bags: the training rows of a member, drawn with replacement by whole groups."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import splits

# The split of the training rows that a bag left out, and the name of what the members say of rows they never saw.
OUT_OF_BAG = 'out_of_bag'


def divide(data: dataset.Dataset, seed: int, stream: str) -> dataset.Dataset:
  """The same images with `train` drawn anew: each group as often as it was drawn, its rows together.

  The rows of groups that were not drawn are the split `out_of_bag`. The other splits are as they were.

  **Guarantees**: every group is whole in the bag or out of it; every class is in the bag; the same arguments give the
  same bag.

  Args:
    data: the images, divided.
    seed: of the draw.
    stream: the name of the random numbers that are drawn.

  Raises:
    UserError: no draw has every class and leaves a group out.

  Source: Breiman 1996, "Bagging predictors", with groups as examples.
  """
  train, table = data.rows['train'], data.table
  _, group_N = np.unique(table.group[train], return_inverse=True)
  num_classes = len(np.unique(table.label[train]))
  for drawn in splits.seeds(seed):
    times_N = groups.resample(int(group_N.max()) + 1, 1, drawn, stream)[0][group_N]
    bag, left = np.repeat(train, times_N), train[times_N == 0]
    if len(left) and len(np.unique(table.label[bag])) == num_classes:
      return dataclasses.replace(data, rows={**data.rows, 'train': bag, OUT_OF_BAG: left})
  raise types.UserError(
    f'{table.name}: has too few groups of images for bagging: no draw has every class; use ensemble.method=average'
  )
