"""Compares and combines groupings of rows."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Agreement:
  """Pairwise comparison of two groupings of the same rows."""

  pairs: int  # of rows in one group of the first grouping
  reference_pairs: int  # of rows in one group of the second
  precision: float  # fraction of the first's pairs that the second has; 1 without pairs
  recall: float  # fraction of the second's pairs that the first has; 1 without pairs


def agreement(group_N: np.ndarray, reference_N: np.ndarray) -> Agreement:
  """Compares the grouping with the reference.

  Example:
    >>> agreement(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    Agreement(pairs=2, reference_pairs=3, precision=0.5, recall=0.3333333333333333)
  """
  ours, theirs, both = (_num_pairs(g) for g in (group_N, reference_N, intersection(group_N, reference_N)))
  return Agreement(ours, theirs, both / ours if ours else 1.0, both / theirs if theirs else 1.0)


def intersection(a_N: np.ndarray, b_N: np.ndarray) -> np.ndarray:
  """[N] int64: two rows have the same value if they are equal in both columns."""
  a, b = (np.unique(column, return_inverse=True)[1].astype(np.int64) for column in (a_N, b_N))
  return a * (b.max(initial=0) + 1) + b


def united(a_N: np.ndarray, b_N: np.ndarray) -> np.ndarray:
  """[N] int64: the finest grouping that splits no group of either, numbered in the order of first rows."""
  from scipy import sparse
  from scipy.sparse import csgraph

  a, b = (np.unique(column, return_inverse=True)[1] for column in (a_N, b_N))
  num_a = a.max(initial=-1) + 1
  num = num_a + b.max(initial=-1) + 1
  edges = sparse.coo_matrix((np.ones(len(a)), (a, num_a + b)), shape=(num, num))
  component_N = csgraph.connected_components(edges, directed=False)[1][a]
  _, first, place = np.unique(component_N, return_index=True, return_inverse=True)
  return np.argsort(np.argsort(first))[place]


def with_pairs(value_N: np.ndarray, pair_P2: np.ndarray) -> np.ndarray:
  """[N] int64: two rows have the same value if they are equal in the column, or connected by pairs of rows."""
  from scipy import sparse
  from scipy.sparse import csgraph

  edges = sparse.coo_matrix(
    (np.ones(len(pair_P2)), (pair_P2[:, 0], pair_P2[:, 1])), shape=(len(value_N), len(value_N))
  )
  return united(value_N, csgraph.connected_components(edges, directed=False)[1])


def with_several(group_N: np.ndarray, value_N: np.ndarray) -> list[np.ndarray]:
  """The rows of each group with more than one value, largest group first."""
  group = np.unique(group_N, return_inverse=True)[1]
  order = np.argsort(group, kind='stable')
  parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
  mixed = [rows for rows in parts if len(set(value_N[rows].tolist())) > 1]
  return sorted(mixed, key=lambda rows: (-len(rows), int(rows[0])))


def repeated(value_N: np.ndarray) -> list[np.ndarray]:
  """The rows of each value that occurs more than once, in the order of their first rows."""
  return sorted(with_several(value_N, np.arange(len(value_N))), key=lambda rows: int(rows[0]))


def _num_pairs(group_N: np.ndarray) -> int:
  sizes = np.unique(group_N, return_counts=True)[1].astype(int)
  return int((sizes * (sizes - 1) // 2).sum())
