"""Numbers about groups: what they share, where they disagree, how two groupings compare."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Agreement:
  """Two groupings of the same rows compared by pairs of rows."""

  pairs: int  # that are together in the first
  reference_pairs: int  # that are together in the second
  precision: float  # of the first's pairs, how many the second has; 1 where there are none
  recall: float  # of the second's pairs, how many the first has; 1 where there are none


def agreement(group_N: np.ndarray, reference_N: np.ndarray) -> Agreement:
  """How the grouping compares with the reference.

  Example:
    >>> agreement(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    Agreement(pairs=2, reference_pairs=3, precision=0.5, recall=0.3333333333333333)
  """
  ours, theirs, both = (_num_pairs(g) for g in (group_N, reference_N, both_of(group_N, reference_N)))
  return Agreement(ours, theirs, both / ours if ours else 1.0, both / theirs if theirs else 1.0)


def both_of(a_N: np.ndarray, b_N: np.ndarray) -> np.ndarray:
  """[N] int64: equal where both are equal."""
  a, b = (np.unique(column, return_inverse=True)[1].astype(np.int64) for column in (a_N, b_N))
  return a * (b.max(initial=0) + 1) + b


def united(a_N: np.ndarray, b_N: np.ndarray) -> np.ndarray:
  """[N] int64: groups 0, 1, ... in the order of their first rows, in which neither grouping is parted."""
  from scipy import sparse
  from scipy.sparse import csgraph

  a, b = (np.unique(column, return_inverse=True)[1] for column in (a_N, b_N))
  num_a = a.max(initial=-1) + 1
  num = num_a + b.max(initial=-1) + 1
  edges = sparse.coo_matrix((np.ones(len(a)), (a, num_a + b)), shape=(num, num))
  found = csgraph.connected_components(edges, directed=False)[1][a]
  _, first, place = np.unique(found, return_index=True, return_inverse=True)
  return np.argsort(np.argsort(first))[place]


def with_several(group_N: np.ndarray, value_N: np.ndarray) -> list[np.ndarray]:
  """The rows of each group that has more than one value, largest group first."""
  group = np.unique(group_N, return_inverse=True)[1]
  order = np.argsort(group, kind='stable')
  parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
  mixed = [rows for rows in parts if len(set(value_N[rows].tolist())) > 1]
  return sorted(mixed, key=lambda rows: (-len(rows), int(rows[0])))


def repeated(value_N: np.ndarray) -> list[np.ndarray]:
  """The rows of each value that comes more than once, in order of their first rows."""
  return sorted(with_several(value_N, np.arange(len(value_N))), key=lambda rows: int(rows[0]))


def _num_pairs(group_N: np.ndarray) -> int:
  sizes = np.unique(group_N, return_counts=True)[1].astype(int)
  return int((sizes * (sizes - 1) // 2).sum())
