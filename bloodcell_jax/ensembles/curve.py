"""Learning curve of an ensemble: its error by the number of members, with intervals."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from bloodcell_jax.base import groups, rng


@dataclasses.dataclass(frozen=True)
class Spec:
  """Numbers of subsets and resamples."""

  max_subsets: int  # 1 or more, of members, for each size; all subsets if there are no more
  num_resamples: int  # 1 or more
  confidence: float  # in (0, 1)

  def __post_init__(self):
    # Those of a config are checked where it is read.
    if not (self.max_subsets >= 1 and self.num_resamples >= 1 and 0 < self.confidence < 1):
      raise ValueError(f'out of range: {self}')


@dataclasses.dataclass(frozen=True)
class Curve:
  """Error rates by number of members; `low <= error <= high`."""

  size_S: np.ndarray  # members averaged: 1, 2, ...
  error_S: np.ndarray  # mean over the subsets of that size
  low_S: np.ndarray  # interval of one subset on resampled photographs
  high_S: np.ndarray
  subset_low_S: np.ndarray  # interval of one subset on the given photographs
  subset_high_S: np.ndarray
  subset_sd_S: np.ndarray  # over the subsets; ddof 0, because they may be all subsets
  num_subsets_S: np.ndarray


def over_subsets(
  probs_MNK: np.ndarray, label_N: np.ndarray, group_N: np.ndarray, spec: Spec, seed: int
) -> Curve:
  """The curve of the mean of probabilities of 1 to M exchangeable members.

  For each size the error is the mean over subsets: all of them, or `max_subsets` drawn independently. `low` and `high`
  are quantiles over resamples, each of one subset and of whole groups: the interval of the error of one such ensemble
  on similar photographs. The interval over subsets alone keeps the photographs fixed; it always shrinks towards M
  members, because large subsets share most of their members.

  **Guarantees**: the same arguments give the same curve; the same groups are drawn for every size, so that differences
  between sizes are not due to resampling.

  Args:
    probs_MNK: of the test rows.
    label_N, group_N: class and group of each row. With fewer than about ten groups the interval is too narrow.
    spec: numbers of subsets and resamples.
    seed: of subsets and groups.

  Source: Field and Welsh 2007 (the cluster bootstrap).
  """
  num_members = len(probs_MNK)
  errors = []
  for size in range(1, num_members + 1):
    chosen = subsets(num_members, size, spec.max_subsets, seed)
    errors.append(np.stack([_wrong(probs_MNK[members].sum(0), label_N, group_N) for members in chosen]))
  return _curve(errors, group_N, spec, seed)


def in_training_order(
  probs_SNK: np.ndarray, label_N: np.ndarray, group_N: np.ndarray, spec: Spec, seed: int
) -> Curve:
  """The curve of ensembles that grow in a fixed order, as in boosting, with one subset of each size.

  Args:
    probs_SNK: of the first member, of the first two combined, and so on.
    label_N, group_N, spec, seed: as in `over_subsets`.
  """
  return _curve([_wrong(probs_NK, label_N, group_N)[None] for probs_NK in probs_SNK], group_N, spec, seed)


def subsets(num_members: int, size: int, max_subsets: int, seed: int) -> list[list[int]]:
  """All subsets of this size in lexicographic order, or `max_subsets` independent draws where there are more.

  Example:
    >>> subsets(3, 2, 10, seed=0)
    [[0, 1], [0, 2], [1, 2]]
  """
  if math.comb(num_members, size) <= max_subsets:
    return [list(members) for members in itertools.combinations(range(num_members), size)]
  generator = rng.generator(seed, 'subsets', size)
  return [sorted(generator.choice(num_members, size, replace=False).tolist()) for _ in range(max_subsets)]


def _wrong(probs_NK: np.ndarray, label_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
  """[G] misclassified images of each group."""
  _, number_N = np.unique(group_N, return_inverse=True)
  return np.bincount(number_N, probs_NK.argmax(1) != label_N)


def _curve(errors: Sequence[np.ndarray], group_N: np.ndarray, spec: Spec, seed: int) -> Curve:
  """The curve from the numbers of misclassified images [subsets, G] of each size."""
  _, size_G = np.unique(group_N, return_counts=True)
  times_RG = groups.resample(len(size_G), spec.num_resamples, seed, 'bootstrap')
  num_drawn_R = times_RG @ size_G
  tails = ((1 - spec.confidence) / 2, (1 + spec.confidence) / 2)
  columns = []
  for size, wrong_SG in enumerate(errors, 1):
    error_S = wrong_SG.sum(1) / size_G.sum()
    chosen_R = rng.generator(seed, 'subset of a resample', size).integers(
      len(wrong_SG), size=spec.num_resamples
    )
    drawn_R = (times_RG * wrong_SG[chosen_R]).sum(1) / num_drawn_R
    error = error_S.mean()
    low, high = np.quantile(drawn_R, tails)
    subset_low, subset_high = np.quantile(error_S, tails)
    bounds = [min(low, error), max(high, error), min(subset_low, error), max(subset_high, error)]
    columns.append((size, error, *bounds, error_S.std(), len(error_S)))
  return Curve(*map(np.array, zip(*columns, strict=True)))
