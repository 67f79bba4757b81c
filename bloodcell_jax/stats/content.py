"""How far a network's features of an image are from those of the classes that it was trained on."""

from __future__ import annotations

import dataclasses

import numpy as np

# Largest number of directions in which features are compared, fewest images for each, and most entries of the matrix
# that projects onto them.
_MOST_DIRECTIONS, _IMAGES_A_DIRECTION, _MOST_NUMBERS = 32, 4, 2**18
_SHRINKAGE = 0.1


@dataclasses.dataclass(frozen=True)
class Classes:
  """Where the features of each class lie."""

  mean_D: np.ndarray  # float32, of all features
  basis_DR: np.ndarray  # float32, orthonormal: the directions of largest variance
  centre_KR: np.ndarray  # of each class that has images
  precision_RR: np.ndarray  # of the features around the centre of their class
  rest: float  # mean square of what the directions leave out


def fit(embedding_ND: np.ndarray, label_N: np.ndarray) -> Classes:
  """Where the classes lie.

  Images that the network has not been trained on say best where others will lie: those of the training lie closer to
  their classes.

  Args:
    embedding_ND: the input of the output layer.
    label_N: their classes.
  """
  mean_D = embedding_ND.mean(0)
  centred_ND = embedding_ND - mean_D
  _, _, right = np.linalg.svd(centred_ND, full_matrices=False)
  most = min(
    _MOST_DIRECTIONS, len(embedding_ND) // _IMAGES_A_DIRECTION, _MOST_NUMBERS // embedding_ND.shape[1]
  )
  num = max(1, min(most, len(right)))
  basis_DR = right[:num].T
  inside_NR = centred_ND @ basis_DR
  kinds, index_N = np.unique(label_N, return_inverse=True)
  centre_KR = np.stack([inside_NR[index_N == k].mean(0) for k in range(len(kinds))])
  around_NR = inside_NR - centre_KR[index_N]
  covariance_RR = around_NR.T @ around_NR / len(around_NR)
  level = max(np.trace(covariance_RR) / num, 1e-12)
  covariance_RR = (1 - _SHRINKAGE) * covariance_RR + _SHRINKAGE * level * np.eye(num)
  left_N = np.square(centred_ND).sum(1) - np.square(inside_NR).sum(1)
  return Classes(
    mean_D.astype(np.float32),
    basis_DR.astype(np.float32),
    centre_KR,
    np.linalg.inv(covariance_RR),
    max(float(left_N.mean()), 1e-3 * level),
  )


def held_out_distances(embedding_ND: np.ndarray, label_N: np.ndarray, fold_N: np.ndarray) -> np.ndarray:
  """[N] the `distances` of each image from the classes of the other folds; NaN where those lack its class."""
  distance_N = np.full(len(embedding_ND), np.nan)
  for fold in np.unique(fold_N):
    inside_N = fold_N == fold
    known_N = inside_N & np.isin(label_N, label_N[~inside_N])
    if known_N.any():
      distance_N[known_N] = distances(fit(embedding_ND[~inside_N], label_N[~inside_N]), embedding_ND[known_N])
  return distance_N


def distances(classes: Classes, embedding_ND: np.ndarray) -> np.ndarray:
  """[N] the logarithm of the mean squared Mahalanobis distance from the nearest class, with what lies outside.

  Source: Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples and adversarial
  attacks", section 2.1: one covariance for all classes.
  """
  centred_ND = embedding_ND - classes.mean_D
  inside_NR = centred_ND @ classes.basis_DR
  off_NKR = inside_NR[:, None] - classes.centre_KR
  square_N = np.einsum('nkr,rs,nks->nk', off_NKR, classes.precision_RR, off_NKR).min(1)
  left_N = np.maximum(0, np.square(centred_ND).sum(1) - np.square(inside_NR).sum(1))
  return np.log(square_N / len(classes.precision_RR) + left_N / classes.rest + 1e-6)
