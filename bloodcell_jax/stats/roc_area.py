"""The area under the ROC curve of each class against the rest: of a set, of resamples, and without each group."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.base import types

# Comparisons of two scores in a block (32 MB).
BLOCK = 2**22
# Nanoseconds of a comparison of two scores, of a multiplication in a product of matrices, and of an image of a resample
# in the sums over images in order; they choose the faster way and change no result.
_COMPARED, _MULTIPLIED, _IN_ORDER = 3.0, 0.05, 8.0


def areas(predictions: types.Predictions) -> np.ndarray:
  """[K] area under the ROC curve of each class against the rest, by image; NaN if either is absent.

  Source: scikit-learn `roc_auc_score`.
  """
  # Imported here: scikit-learn takes a second to load.
  from sklearn import metrics

  area_K = np.full(len(predictions.class_names), np.nan)
  for k in range(len(area_K)):
    is_class_N = predictions.label_N == k
    if _has_both(is_class_N):
      area_K[k] = metrics.roc_auc_score(is_class_N, predictions.probs_NK[:, k])
  return area_K


def resampled(predictions: types.Predictions, times_RG: np.ndarray) -> np.ndarray:
  """[R, K] `areas` of each resample, in which group g counts `times_RG[r, g]` times; NaN as there.

  **Guarantees**: equals `areas` of the rows repeated so, ties of the probability counted as half.

  Args:
    predictions: of G groups.
    times_RG: whole numbers, not negative.

  Source: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve": the share of pairs of an
  image of the class and one of the others that are in the right order.
  """
  group_names, group_N = np.unique(predictions.group_N, return_inverse=True)
  if times_RG.shape[1:] != group_names.shape:
    raise ValueError(f'{times_RG.shape[1]} columns of counts for {len(group_names)} groups')
  times_RG = times_RG.astype(float)
  area_RK = np.full((len(times_RG), len(predictions.class_names)), np.nan)
  for k in range(area_RK.shape[1]):
    score_N, is_class_N = predictions.probs_NK[:, k], predictions.label_N == k
    if _has_both(is_class_N):
      by_pairs = _is_faster_by_pairs(is_class_N, group_N, times_RG)
      way = _resampled_by_pairs if by_pairs else _resampled_in_order
      area_RK[:, k] = way(score_N, is_class_N, group_N, times_RG)
  return area_RK


def left_out(predictions: types.Predictions) -> np.ndarray:
  """[G, K] `areas` without each group in turn; NaN where a class or its rest is then absent.

  The pairs of a group's own images are taken from all pairs, so that its time grows with the images, not with images
  times groups.
  """
  group_names, group_N = np.unique(predictions.group_N, return_inverse=True)
  area_GK = np.full((len(group_names), len(predictions.class_names)), np.nan)
  for k in range(area_GK.shape[1]):
    score_N, is_class_N = predictions.probs_NK[:, k], predictions.label_N == k
    if _has_both(is_class_N):
      area_GK[:, k] = _left_out(score_N, is_class_N, group_N, len(group_names))
  return area_GK


def _has_both(is_class_N: np.ndarray) -> bool:
  return bool(is_class_N.any() and not is_class_N.all())


def _is_faster_by_pairs(is_class_N: np.ndarray, group_N: np.ndarray, times_RG: np.ndarray) -> bool:
  num_resamples, num_groups = times_RG.shape
  own_groups = len(np.unique(group_N[is_class_N]))
  pairs = int(is_class_N.sum()) * len(is_class_N)
  products = num_resamples * num_groups * own_groups
  return _COMPARED * pairs + _MULTIPLIED * products < _IN_ORDER * num_resamples * len(is_class_N)


def _resampled_in_order(
  score_N: np.ndarray, is_class_N: np.ndarray, group_N: np.ndarray, times_RG: np.ndarray
) -> np.ndarray:
  """[R] from sums over the images in the order of their scores: images times resamples."""
  order = np.argsort(score_N, kind='stable')
  _, first = np.unique(score_N[order], return_index=True)
  times_RN = times_RG[:, group_N[order]]
  # Summed over images of equal probability.
  inside_RU = np.add.reduceat(times_RN * is_class_N[order], first, axis=1)
  outside_RU = np.add.reduceat(times_RN * ~is_class_N[order], first, axis=1)
  below_RU = outside_RU.cumsum(1) - outside_RU / 2
  return _ratio((inside_RU * below_RU).sum(1), inside_RU.sum(1) * outside_RU.sum(1))


def _resampled_by_pairs(
  score_N: np.ndarray, is_class_N: np.ndarray, group_N: np.ndarray, times_RG: np.ndarray
) -> np.ndarray:
  """[R] from the pairs in order of each two groups: for classes of few images, which many classes have."""
  num_groups = times_RG.shape[1]
  by_group = np.argsort(group_N, kind='stable')
  first_G = np.searchsorted(group_N[by_group], np.arange(num_groups))
  sorted_N, is_other_N = score_N[by_group], ~is_class_N[by_group]
  own = np.flatnonzero(is_class_N)
  own_groups, own_index = np.unique(group_N[own], return_inverse=True)
  # Pairs of an image of the class in group c and another image in group g that are in order, ties as half.
  won_CG = np.zeros((len(own_groups), num_groups))
  for rows in np.array_split(np.arange(len(own)), -(-len(own) * len(score_N) // BLOCK)):
    score_P1 = score_N[own[rows], None]
    won_PN = ((score_P1 > sorted_N) + 0.5 * (score_P1 == sorted_N)) * is_other_N
    np.add.at(won_CG, own_index[rows], np.add.reduceat(won_PN, first_G, axis=1))
  # Sums of whole numbers and halves, which are exact in any order.
  times_RC = times_RG[:, own_groups]
  num_outside_G = np.bincount(group_N[~is_class_N], minlength=num_groups).astype(float)
  won_R = ((times_RG @ won_CG.T) * times_RC).sum(1)
  return _ratio(won_R, (times_RC @ np.bincount(own_index).astype(float)) * (times_RG @ num_outside_G))


def _left_out(
  score_N: np.ndarray, is_class_N: np.ndarray, group_N: np.ndarray, num_groups: int
) -> np.ndarray:
  """[G] the area without each group."""
  _, level_N = np.unique(score_N, return_inverse=True)
  inside_U, outside_U = np.bincount(level_N, is_class_N), np.bincount(level_N, ~is_class_N)
  below_U, above_U = outside_U.cumsum() - outside_U / 2, inside_U.sum() - inside_U.cumsum() + inside_U / 2
  lost_G = np.bincount(group_N, np.where(is_class_N, below_U[level_N], above_U[level_N]), num_groups)
  inside_G = np.bincount(group_N, is_class_N, num_groups)
  outside_G = np.bincount(group_N, ~is_class_N, num_groups)
  pairs_G = (inside_U.sum() - inside_G) * (outside_U.sum() - outside_G)
  within_G = _won_within(level_N, is_class_N, group_N, (inside_G > 0) & (outside_G > 0))
  return _ratio((inside_U * below_U).sum() - lost_G + within_G, pairs_G)


def _won_within(
  level_N: np.ndarray, is_class_N: np.ndarray, group_N: np.ndarray, is_mixed_G: np.ndarray
) -> np.ndarray:
  """[G] the pairs in order of two images of one group, of the groups that have images of the class and others."""
  rows = np.flatnonzero(is_mixed_G[group_N])
  if not len(rows):
    return np.zeros(len(is_mixed_G))
  # A cell is a group and a level of the score, in this order.
  num_levels = int(level_N.max()) + 1
  cell_C, index = np.unique(group_N[rows] * num_levels + level_N[rows], return_inverse=True)
  inside_C, outside_C = np.bincount(index, is_class_N[rows]), np.bincount(index, ~is_class_N[rows])
  group_C = cell_C // num_levels
  before_C = outside_C.cumsum() - outside_C
  below_C = before_C - before_C[np.searchsorted(group_C, group_C)] + outside_C / 2
  return np.bincount(group_C, inside_C * below_C, len(is_mixed_G))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.where(below > 0, above / below, np.nan)
