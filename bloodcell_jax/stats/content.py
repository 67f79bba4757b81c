"""How far a network's features of an image are from those of the classes that it was trained on."""

from __future__ import annotations

import dataclasses

import numpy as np

# Directions in which the features are compared, the fewest images for each, and the most numbers of the matrix that
# turns to them.
_MOST_DIRECTIONS, _IMAGES_A_DIRECTION, _MOST_NUMBERS = 64, 4, 2**18
_SHRINKAGE = 0.1
# A feature that hardly varies is divided by no less than this share of the mean standard deviation.
_LEAST_SPREAD = 0.1
# How much of the distance from all classes together is taken from that from the nearest one.
_RELATIVE = 0.9


@dataclasses.dataclass(frozen=True)
class Classes:
  """Where the features of each class lie."""

  mean_D: np.ndarray  # float32, of all features
  basis_DR: np.ndarray  # float32, orthonormal on standardized features: the directions of largest variance
  centre_KR: np.ndarray  # of each class that has images
  precision_RR: np.ndarray  # of the features around the centre of their class
  rest: float  # mean square of what the directions leave out
  # Of measures of before, the distance is that from the nearest class and what lies outside the directions.
  spread_D: np.ndarray | None  # float32: what each feature is divided by; None in those
  whole_RR: np.ndarray | None  # precision around the mean of all; None in those


def num_directions(num_images: int) -> int:
  """In how many directions features are compared: as many as four fifths of the images, a fold's rest, allow."""
  return max(1, min(_MOST_DIRECTIONS, 4 * num_images // 5 // _IMAGES_A_DIRECTION))


def fit(embedding_ND: np.ndarray, label_N: np.ndarray, num_directions: int) -> Classes:
  """Where the classes lie.

  Images that the network has not been trained on say best where others will lie: those of the training lie closer to
  their classes.

  Args:
    embedding_ND: the input of the output layer.
    label_N: their classes.
    num_directions: those of largest variance in which they are compared. Distances in another number do not compare.
  """
  mean_D, spread_D = embedding_ND.mean(0), embedding_ND.std(0)
  spread_D = spread_D + _LEAST_SPREAD * spread_D.mean() + 1e-12
  centred_ND = (embedding_ND - mean_D) / spread_D
  _, _, right = np.linalg.svd(centred_ND, full_matrices=False)
  num = max(1, min(num_directions, _MOST_NUMBERS // embedding_ND.shape[1], len(right)))
  basis_DR = right[:num].T
  inside_NR = centred_ND @ basis_DR
  kinds, index_N = np.unique(label_N, return_inverse=True)
  centre_KR = np.stack([inside_NR[index_N == k].mean(0) for k in range(len(kinds))])
  left_N = np.square(centred_ND).sum(1) - np.square(inside_NR).sum(1)
  return Classes(
    mean_D.astype(np.float32),
    basis_DR.astype(np.float32),
    centre_KR,
    _precision(inside_NR - centre_KR[index_N]),
    max(float(left_N.mean()), 1e-12),
    spread_D.astype(np.float32),
    _precision(inside_NR),
  )


def _precision(around_NR: np.ndarray) -> np.ndarray:
  """The inverse of the shrunk covariance of rows of mean 0."""
  num = around_NR.shape[1]
  covariance_RR = around_NR.T @ around_NR / len(around_NR)
  level = max(np.trace(covariance_RR) / num, 1e-12)
  return np.linalg.inv((1 - _SHRINKAGE) * covariance_RR + _SHRINKAGE * level * np.eye(num))


def held_out_distances(embedding_ND: np.ndarray, label_N: np.ndarray, fold_N: np.ndarray) -> np.ndarray:
  """[N] the `distances` of each image from the classes of the other folds; NaN where those lack its class."""
  distance_N, num = np.full(len(embedding_ND), np.nan), num_directions(len(embedding_ND))
  for fold in np.unique(fold_N):
    inside_N = fold_N == fold
    known_N = inside_N & np.isin(label_N, label_N[~inside_N])
    if known_N.any():
      distance_N[known_N] = distances(
        fit(embedding_ND[~inside_N], label_N[~inside_N], num), embedding_ND[known_N]
      )
  return distance_N


def distances(classes: Classes, embedding_ND: np.ndarray) -> np.ndarray:
  """[N] the mean squared Mahalanobis distance from the nearest class, less 0.9 times that from all classes together.

  What all images of the training vary in says little of the class. A part of it is kept, so that content far from
  everything is far as well. Of measures of before: the logarithm of the distance from the nearest class, with
  what lies outside the directions.

  Source: Ren et al. 2021, "A simple fix to Mahalanobis distance for improving near-OOD detection"; Lee et al. 2018, "A
    simple unified framework for detecting out-of-distribution samples and adversarial attacks", section 2.1.
  """
  centred_ND = embedding_ND - classes.mean_D
  if classes.spread_D is not None:
    centred_ND = centred_ND / classes.spread_D
  inside_NR = centred_ND @ classes.basis_DR
  off_NKR = inside_NR[:, None] - classes.centre_KR
  square_N = np.einsum('nkr,rs,nks->nk', off_NKR, classes.precision_RR, off_NKR).min(1)
  if classes.whole_RR is None:
    left_N = np.maximum(0, np.square(centred_ND).sum(1) - np.square(inside_NR).sum(1))
    return np.log(square_N / len(classes.precision_RR) + left_N / classes.rest + 1e-6)
  whole_N = np.einsum('nr,rs,ns->n', inside_NR, classes.whole_RR, inside_NR)
  return (square_N - _RELATIVE * whole_N) / len(classes.precision_RR)
