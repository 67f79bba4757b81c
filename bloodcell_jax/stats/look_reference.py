"""What images of a run's training look like: a reference that other images are compared with.

A look is a row of numbers, each of an aspect: of the image's stain, the scale of its cell, its sharpness, what the
network's features say of its content. A reference is fitted on looks of images like those that the run was trained on,
and gives distances from them: of single images by aspect, and of the mean look of many images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bloodcell_jax.base import rng

# The aspect of what the network's features say: a number that grows the less an image looks like a known class.
CONTENT = 'content'
# Fewest groups that a reference is fitted on: with fewer, the spread of what is usual is not known.
LEAST_GROUPS = 10
# Least distance at which a folder is foreign, in standard deviations between images of the training. At 3 no
# threshold on the best combination of the numbers separates the two with fewer than 7 % errors.
LEAST_DISTANCE = 3.0

# Standardized numbers are cut here: a single wild number, as where no nucleus was found, must not decide alone.
FARTHEST = 8.0
_FOLDS = 5
# Share of the identity in a covariance, so that no direction in which the training hardly varies decides alone.
_SHRINKAGE = 0.1
# The folders of one class drawn from the training, whose distances set the limit: number a class, and their sizes.
_DRAWS, _DRAW_SIZES = 100, (5, 20)
# Quantile of an aspect's distances by which they are divided, so that aspects are comparable.
_ORDINARY = 0.99


@dataclasses.dataclass(frozen=True)
class Reference:
  """What images of the training look like."""

  aspects: tuple[str, ...]  # D: of each number
  centre_D: np.ndarray  # median
  spread_D: np.ndarray  # standard deviation, robust
  mean_D: np.ndarray  # of the standardized numbers
  # Of the standardized numbers, shrunk; 0 between aspects fitted on different images.
  covariance_DD: np.ndarray
  ordinary_A: np.ndarray  # by aspect, the distance that _ORDINARY of the held-out images do not exceed
  # Ascending: distances of held-out images, in units of ordinary_A, the largest aspect.
  held_out_N: np.ndarray
  # Those known of every image it was fitted on; a folder's distance is in these.
  folder_aspects: tuple[str, ...]
  folder_limit: float  # distance of a folder's mean above which it is foreign


def names(aspects: Sequence[str]) -> tuple[str, ...]:
  """The aspects, each once, in order.

  Example:
    >>> names(('stain', 'stain', 'scale'))
    ('stain', 'scale')
  """
  return tuple(dict.fromkeys(aspects))


def fit(
  look_ND: np.ndarray,
  label_N: np.ndarray,
  group_N: np.ndarray,
  aspects: Sequence[str],
  least_spread_D: np.ndarray,
  seed: int,
) -> Reference:
  """The reference of a run.

  Distances of held-out images are cross-fitted: an image's is measured from the images of other groups.

  Args:
    look_ND: of images of the training; a number that is not known of an image is NaN, which only an aspect as a whole
      can be.
    label_N: their classes, or classes of laboratories: limits allow for a folder of one of them.
    group_N: their groups.
    aspects: D, of each number.
    least_spread_D: spreads below which a difference is of no account.
    seed: of the folders drawn.

  Raises:
    ValueError: fewer than LEAST_GROUPS groups, or a look whose numbers are not finite.
  """
  num_groups = len(np.unique(group_N))
  if num_groups < LEAST_GROUPS:
    raise ValueError(f'{num_groups} groups; a reference needs {LEAST_GROUPS}')
  whole = _measures(look_ND, aspects, least_spread_D)
  fold_N = folds(group_N)
  distance_NA = np.full((len(look_ND), len(names(aspects))), np.nan)
  for fold in range(_FOLDS):
    inside_N = fold_N == fold
    rest = _measures(look_ND[~inside_N], aspects, least_spread_D)
    distance_NA[inside_N] = distances(rest, look_ND[inside_N])
  ordinary_A = np.nanquantile(distance_NA, _ORDINARY, axis=0)
  ordinary_A = np.maximum(ordinary_A, 1e-6)
  held_out_N = np.sort((_completed(distance_NA, seed) / ordinary_A).max(1))
  reference = dataclasses.replace(whole, ordinary_A=ordinary_A, held_out_N=held_out_N)
  drawn = _drawn_distances(reference, look_ND, label_N, group_N, seed)
  return dataclasses.replace(reference, folder_limit=max(LEAST_DISTANCE, 1.1 * drawn))


def distances(reference: Reference, look_ND: np.ndarray) -> np.ndarray:
  """[N, A] by aspect, the root mean square distance from the training in standard deviations; NaN if not known."""
  z_ND = _standardized(reference, look_ND) - reference.mean_D
  columns = []
  for aspect in names(reference.aspects):
    at = np.flatnonzero(np.array(reference.aspects) == aspect)
    precision = np.linalg.inv(reference.covariance_DD[np.ix_(at, at)])
    square_N = np.einsum('nd,de,ne->n', z_ND[:, at], precision, z_ND[:, at]) / len(at)
    columns.append(np.sqrt(np.maximum(square_N, 0)))
  return np.stack(columns, 1)


def folder_distance(reference: Reference, look_ND: np.ndarray, aspects: Sequence[str]) -> float:
  """Mahalanobis distance of the mean look from the training's, less what as few images have by chance.

  Args:
    reference: of the run.
    look_ND: of the images, one or more.
    aspects: those whose numbers count.
  """
  at = np.flatnonzero(np.isin(reference.aspects, aspects))
  shift_D = (_standardized(reference, look_ND) - reference.mean_D).mean(0)[at]
  square = shift_D @ np.linalg.solve(reference.covariance_DD[np.ix_(at, at)], shift_D)
  return float(np.sqrt(max(0.0, square - 1.5 * len(at) / len(look_ND))))


def folds(group_N: np.ndarray) -> np.ndarray:
  """The fold of each row, whole groups, in the order of the names."""
  _, index_N = np.unique(group_N, return_inverse=True)
  return index_N % _FOLDS


def _measures(look_ND: np.ndarray, aspects: Sequence[str], least_spread_D: np.ndarray) -> Reference:
  """A reference without limits."""
  centre_D = np.nanmedian(look_ND, axis=0)
  deviation_D = 1.4826 * np.nanmedian(np.abs(look_ND - centre_D), axis=0)
  if not np.isfinite(centre_D).all():
    raise ValueError('a number is known of no image')
  spread_D = np.sqrt(deviation_D**2 + least_spread_D**2)
  nothing = np.zeros(0)
  everywhere = np.array(aspects)[np.isfinite(look_ND).all(0)].tolist()
  plain = Reference(
    aspects=tuple(aspects),
    centre_D=centre_D,
    spread_D=spread_D,
    mean_D=np.zeros_like(centre_D),
    covariance_DD=np.eye(len(centre_D)),
    ordinary_A=nothing,
    held_out_N=nothing,
    folder_aspects=names(everywhere),
    folder_limit=0.0,
  )
  z_ND = _standardized(plain, look_ND)
  mean_D = np.nanmean(z_ND, axis=0)
  # Pairs of numbers that are known of different images count as uncorrelated.
  is_known_D = np.isfinite(z_ND).all(0)
  full_DD = np.diag(np.nanvar(z_ND, axis=0))
  full_DD[np.ix_(is_known_D, is_known_D)] = np.atleast_2d(np.cov(z_ND[:, is_known_D].T))
  covariance_DD = (1 - _SHRINKAGE) * full_DD + _SHRINKAGE * np.eye(len(mean_D))
  return dataclasses.replace(plain, mean_D=mean_D, covariance_DD=covariance_DD)


def _standardized(reference: Reference, look_ND: np.ndarray) -> np.ndarray:
  z_ND = (np.asarray(look_ND, np.float64) - reference.centre_D) / reference.spread_D
  # An image that shows a class better than most is not unlike.
  least_D = np.where(np.array(reference.aspects) == CONTENT, 0, -FARTHEST)
  return np.clip(z_ND, least_D, FARTHEST)


def _completed(distance_NA: np.ndarray, seed: int) -> np.ndarray:
  """The distances; where an aspect of an image is not known, that of another image is drawn.

  So all images tell how often any of the aspects is exceeded, not only those of which all aspects are known. Aspects
  that are correlated are exceeded less often than this says.
  """
  generator, completed_NA = rng.generator(seed, 'unknown aspects'), distance_NA.copy()
  for column_N in completed_NA.T:
    missing_N = np.isnan(column_N)
    if missing_N.any():
      column_N[missing_N] = generator.choice(column_N[~missing_N], missing_N.sum())
  return completed_NA


def _drawn_distances(
  reference: Reference, look_ND: np.ndarray, label_N: np.ndarray, group_N: np.ndarray, seed: int
) -> float:
  """The distance that 99 % of folders of one class, or of all, drawn from the training do not exceed."""
  generator = rng.generator(seed, 'folders of the training')
  highest = 0.0
  for chosen_N in (np.ones(len(label_N), bool), *(label_N == k for k in np.unique(label_N))):
    rows = np.flatnonzero(chosen_N)
    if len(np.unique(group_N[rows])) < LEAST_GROUPS:
      continue
    for size in _DRAW_SIZES:
      drawn = [
        folder_distance(reference, look_ND[generator.choice(rows, size)], reference.folder_aspects)
        for _ in range(_DRAWS)
      ]
      highest = max(highest, float(np.quantile(drawn, 0.99)))
  return highest
