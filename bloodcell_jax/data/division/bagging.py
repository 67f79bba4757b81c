"""Bags: the training rows of a member, drawn with replacement by whole groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.data.division import splits

# The split of the training rows that a bag leaves out; also the split of all rows, predicted by the members that left
# them out.
OUT_OF_BAG = 'out_of_bag'


def divide(
  table: types.Table, rows: Mapping[str, np.ndarray], seed: int, stream: str
) -> dict[str, np.ndarray]:
  """The splits with `train` replaced by a bootstrap sample of its groups: each group as often as it was drawn.

  The rows of groups that were not drawn are the split `out_of_bag`. The other splits are unchanged.

  **Guarantees**: a group is in the bag with all its rows or not at all; every class is in the bag; the same arguments
  give the same bag.

  Args:
    table: the data.
    rows: by split, indices into the table.
    seed: of the draw.
    stream: the name of the stream of random numbers.

  Raises:
    UserError: no draw has every class and leaves a group out.

  Source: Breiman 1996, "Bagging predictors", with groups as examples.
  """
  train = rows['train']
  _, group_N = np.unique(table.group[train], return_inverse=True)
  num_classes = len(np.unique(table.label[train]))
  for drawn in splits.seeds(seed):
    times_N = groups.resample(int(group_N.max()) + 1, 1, drawn, stream)[0][group_N]
    bag, left = np.repeat(train, times_N), train[times_N == 0]
    if len(left) and len(np.unique(table.label[bag])) == num_classes:
      return {**rows, 'train': bag, OUT_OF_BAG: left}
  raise types.UserError(
    f'{table.name}: has too few groups of images for bagging: no draw has every class; use ensemble.method=average'
  )
