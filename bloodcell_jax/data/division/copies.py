"""A few images of each photograph, where a data set has many copies of one."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.base import groups, rng, types


def few(table: types.Table, rows_S: np.ndarray, most: int, seed: int) -> np.ndarray:
  """[S'] the rows of at most `most` images of each photograph, drawn at random, in the order of `rows_S`.

  **Guarantees**: every photograph stays; the same arguments give the same rows.

  Args:
    table: the data; its `source` is the photograph.
    rows_S: rows of it.
    most: images of a photograph, 1 or more.
    seed: of the draw.

  Example:
    >>> from bloodcell_jax.data.sources import embedded, embedded_source
    >>> table = embedded_source.table(embedded.Spec(num_train=1, num_test=0, num_copies=3, height=48, width=64, seed=0))
    >>> len(table), len(few(table, np.arange(len(table)), 2, seed=0))
    (12, 8)
  """
  order_S = rng.generator(seed, 'copies of a photograph').permutation(len(rows_S))
  rank_S = groups.ranks(table.source[rows_S[order_S]])
  return rows_S[np.sort(order_S[rank_S < most])]
