"""How many of the images of a division are used: photographs of training, and images of each photograph."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import groups, rng, types


@dataclasses.dataclass(frozen=True)
class Spec:
  """How many are used."""

  max_groups: int  # groups of train; 0 for all
  max_copies: int  # images of one photograph in train and in validation; 0 for all

  def __post_init__(self):
    for name in ('max_groups', 'max_copies'):
      if getattr(self, name) < 0:
        raise types.UserError(f'train.{name} is {getattr(self, name)}; it must be 1 or more, or 0 for all')


def few_groups(table: types.Table, rows_S: np.ndarray, most: int, seed: int) -> np.ndarray:
  """[S'] the rows of `most` groups, in the order of `rows_S`; all rows where there are no more groups.

  A group counts for the class of its first row. Each class has one group, and of the others as many as its share.

  **Guarantees**: groups stay whole; no class is lost; fewer groups are a part of more; the same arguments give the same
  rows.

  Args:
    table: the data.
    rows_S: rows of it.
    most: number of groups, 1 or more.
    seed: of the draw.

  Raises:
    UserError: so few groups lack a class.

  Example:
    >>> from bloodcell_jax.data.sources import embedded, embedded_source
    >>> table = embedded_source.table(embedded.Spec(num_train=9, num_test=0, num_copies=3, height=48, width=64, seed=0))
    >>> len(table), len(few_groups(table, np.arange(len(table)), 8, seed=0))
    (108, 24)
  """
  label_S, group_S = table.label[rows_S], groups.numbers(table.group[rows_S])
  group_G, first_G = np.unique(group_S, return_index=True)
  drawn_G = rng.generator(seed, 'groups of training').permutation(len(group_G))
  label_G = label_S[first_G][drawn_G]
  rank_G, size_K = groups.ranks(label_G), np.bincount(label_G)
  # The first of each class before the second of any, then all classes at the same rate.
  place_G = np.where(rank_G == 0, 0.0, (rank_G + 0.5) / size_K[label_G])
  chosen = group_G[drawn_G[np.argsort(place_G, kind='stable')[:most]]]
  kept_S = rows_S[np.isin(group_S, chosen)]
  for k in np.setdiff1d(label_S, table.label[kept_S]):
    raise types.UserError(
      f'train.max_groups is {most}, and so few groups lack the class {table.class_names[k]}; raise it, or set it to 0 '
      'for all'
    )
  return kept_S


def few_copies(table: types.Table, rows_S: np.ndarray, most: int, seed: int) -> np.ndarray:
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
    >>> len(table), len(few_copies(table, np.arange(len(table)), 2, seed=0))
    (12, 8)
  """
  order_S = rng.generator(seed, 'copies of a photograph').permutation(len(rows_S))
  rank_S = groups.ranks(table.source[rows_S[order_S]])
  return rows_S[np.sort(order_S[rank_S < most])]
