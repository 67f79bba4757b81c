"""Splits, folds and bootstrap resamples of rows by whole groups; no other module divides rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bloodcell_jax.base import rng

# Texts compared at once.
_BLOCK = 1_000
# Fewer groups than these say too little of a laboratory by itself.
LEAST_OF_LABORATORY = 10


def numbers(text_N: np.ndarray) -> np.ndarray:
  """[N] int64: the place of each text among the different ones in order, as `np.unique(..., return_inverse=True)`.

  No copy is made of the texts, which take ten times as much as their numbers.

  Example:
    >>> numbers(np.array(['b', 'a', 'b', 'c'])).tolist()
    [1, 0, 1, 2]
  """
  order = np.argsort(text_N, kind='stable')
  is_new_N = np.zeros(len(text_N), bool)
  for start in range(0, len(text_N), _BLOCK):
    ordered = text_N[order[start : start + _BLOCK + 1]]
    is_new_N[start + 1 : start + len(ordered)] = ordered[1:] != ordered[:-1]
  number_N = np.empty(len(text_N), np.int64)
  number_N[order] = np.cumsum(is_new_N)
  return number_N


def rows(group_N: Sequence[str]) -> dict[str, np.ndarray]:
  """The rows of each group, ascending, by its name; the groups are in the order of their first rows.

  Example:
    >>> {name: rows_n.tolist() for name, rows_n in rows(['b', 'a', 'b']).items()}
    {'b': [0, 2], 'a': [1]}
  """
  number: dict[str, int] = {}
  number_N = np.array([number.setdefault(name, len(number)) for name in group_N], np.int64)
  ends = np.cumsum(np.bincount(number_N, minlength=len(number)))
  # Behind the last end there is nothing.
  return dict(zip(number, np.split(np.argsort(number_N, kind='stable'), ends), strict=False))


def ranks(group_N: np.ndarray) -> np.ndarray:
  """[N] int64: how many rows of the same group come before each row.

  Sorted by it with a stable sort, rows are one of each group before a second of any.

  Example:
    >>> ranks(np.array(['b', 'a', 'b', 'b', 'a'])).tolist()
    [0, 0, 1, 2, 1]
  """
  order = np.argsort(group_N, kind='stable')
  ordered, place_N = group_N[order], np.arange(len(group_N))
  first_N = place_N.copy()
  first_N[1:][ordered[1:] == ordered[:-1]] = 0
  rank_N = np.empty(len(group_N), np.int64)
  rank_N[order] = place_N - np.maximum.accumulate(first_N)
  return rank_N


def folds(label_N: np.ndarray, group_N: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
  """The fold, 0 to num_folds-1, of each row: groups stay whole, classes are spread evenly.

  **Guarantees**: no group is in two folds; the same arguments give the same folds.

  Args:
    label_N: class of each row.
    group_N: group of each row.
    num_folds: at least 2.
    seed: of the shuffle among groups.

  Raises:
    ValueError: a class has fewer groups than there are folds, so that one fold would lack it.

  Source: scikit-learn `StratifiedGroupKFold`.
  """
  # Imported here: scikit-learn takes a second to load and few commands need it.
  from sklearn import model_selection

  for k in np.unique(label_N):
    num_groups = len(np.unique(group_N[label_N == k]))
    if num_groups < num_folds:
      raise ValueError(f'class {k} has {num_groups} groups, fewer than {num_folds} folds')
  splitter = model_selection.StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
  fold_N = np.empty(len(label_N), np.int32)
  for fold, (_, rows) in enumerate(splitter.split(label_N, label_N, group_N)):
    fold_N[rows] = fold
  return fold_N


def spread_folds(label_N: np.ndarray, group_N: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
  """The fold, 0 to num_folds-1, of each row, for few rows: a class may have fewer groups than there are folds.

  The groups are dealt in turn, class by class, in random order.

  **Guarantees**: no group is in two folds; without any one fold, each class of two groups or more, none of them shared
  with another class, still has one; folds differ in their number of groups by one at most; the same arguments give the
  same folds.

  Args:
    label_N: class of each row; a group of several classes is dealt with the first of its rows.
    group_N: group of each row.
    num_folds: at least 2.
    seed: of the order of the groups.

  Example:
    >>> spread_folds(np.array([0, 0, 0, 1, 1]), np.array(list('aabcd')), 2, 0).tolist()
    [1, 1, 0, 0, 1]
  """
  _, first_G, index_N = np.unique(group_N, return_index=True, return_inverse=True)
  drawn_G = rng.generator(seed, 'spread folds').permutation(len(first_G))
  order_G = drawn_G[np.argsort(label_N[first_G][drawn_G], kind='stable')]
  fold_G = np.empty(len(first_G), np.int32)
  fold_G[order_G] = np.arange(len(first_G)) % num_folds
  return fold_G[index_N]


def split(label_N: np.ndarray, group_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
  """A mask, True for held-out rows: `fraction` of each class, as nearly as whole groups allow.

  If the fraction is one over an integer, the first of that many `folds`; otherwise `_deal` assigns the groups.

  **Guarantees**: no group is on both sides; the same arguments give the same mask; for a class whose groups have n
  images each and contain no other class, the number of held-out images is within n / 2 of the fraction, or within n if
  the fraction is one over an integer.

  Args:
    label_N: class of each row.
    group_N: group of each row.
    fraction: in (0, 0.5].
    seed: of the shuffle among groups.

  Example:
    >>> held = split(np.repeat([0, 1], 20), np.repeat(np.arange(20), 2), 0.2, seed=0)
    >>> int(held.sum()), bool((held[0::2] == held[1::2]).all())
    (8, True)
  """
  if not 0 < fraction <= 0.5:
    raise ValueError(f'the held-out fraction must lie in (0, 0.5], not {fraction}')
  num_folds = round(1 / fraction)
  if math.isclose(num_folds * fraction, 1):
    return folds(label_N, group_N, num_folds, seed) == 0
  return _deal(label_N, group_N, fraction, seed)


def _deal(label_N: np.ndarray, group_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
  """A mask of held-out rows: holds out a group, largest first, if that reduces the squared deficit of the classes."""
  names_G, index_N = np.unique(group_N, return_inverse=True)
  class_K, number_N = np.unique(label_N, return_inverse=True)
  share_GK = np.zeros((len(names_G), len(class_K)))
  np.add.at(share_GK, (index_N, number_N), 1)
  size_G = share_GK.sum(1)
  share_GK /= share_GK.sum(0)
  order = rng.generator(seed, 'held out').permutation(len(names_G))
  order = order[np.argsort(-size_G[order], kind='stable')]
  held_G, held_K, seen_K = np.zeros(len(names_G), bool), np.zeros(len(class_K)), np.zeros(len(class_K))
  for g in order:
    seen_K = seen_K + share_GK[g]
    missing_K = fraction * seen_K - held_K
    held_G[g] = ((missing_K - share_GK[g]) ** 2).sum() < (missing_K**2).sum()
    held_K = held_K + held_G[g] * share_GK[g]
  return held_G[index_N]


def resample(num_groups: int, num_resamples: int, seed: int, name: str, *counters: int) -> np.ndarray:
  """[R, G] int64: how often each group is drawn in each bootstrap resample of G groups.

  Args:
    num_groups: G.
    num_resamples: R.
    seed: of the run.
    name: of the stream of random numbers, as in `rng.generator`; all confidence intervals use 'bootstrap'.
    counters: of the stream.

  Source: Field and Welsh 2007, "Bootstrapping clustered data", the cluster bootstrap.
  """
  generator = rng.generator(seed, name, *counters)
  return generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=num_resamples)


def of_laboratories(laboratory_N: np.ndarray, group_N: np.ndarray) -> list[np.ndarray]:
  """[N] bool of each laboratory: its rows. No row is in two of them, and each is in one.

  Laboratories of fewer than LEAST_OF_LABORATORY groups count as one, which joins the smallest of the others if it has
  too few as well.

  Example:
    >>> laboratory_N = np.repeat([0, 1, 2], [12, 20, 2])
    >>> [int(inside_N.sum()) for inside_N in of_laboratories(laboratory_N, np.arange(34))]
    [14, 20]
  """
  size_L = {each: len(np.unique(group_N[laboratory_N == each])) for each in np.unique(laboratory_N).tolist()}
  small = [each for each, size in size_L.items() if size < LEAST_OF_LABORATORY]
  parts = [[each] for each in sorted(set(size_L) - set(small), key=lambda each: size_L[each])]
  if small and parts and sum(size_L[each] for each in small) < LEAST_OF_LABORATORY:
    parts[0] += small
  elif small:
    parts.append(small)
  return [np.isin(laboratory_N, part) for part in parts]


def equal_laboratories(laboratory_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
  """[N] weights with the sum 1 for each of `of_laboratories`, and within it the same sum for every group.

  Example:
    >>> laboratory_N = np.repeat([0, 1], [10, 20])
    >>> equal_laboratories(laboratory_N, np.arange(30))[[0, -1]].tolist()
    [0.1, 0.05]
  """
  weight_N = np.empty(len(group_N))
  for inside_N in of_laboratories(laboratory_N, group_N):
    weight_N[inside_N] = equal_weights(group_N[inside_N], 1.0)
  return weight_N


def equal_weights(group_N: np.ndarray, total: float) -> np.ndarray:
  """[N] weights that sum to `total`, with the same sum for every group, divided equally among its rows.

  Example:
    >>> equal_weights(np.array(['a', 'a', 'a', 'b']), 1.0).round(3).tolist()
    [0.167, 0.167, 0.167, 0.5]
  """
  _, index_N, size_G = np.unique(group_N, return_inverse=True, return_counts=True)
  return total / (len(size_G) * size_G[index_N])
