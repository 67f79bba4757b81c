"""The features of another laboratory's images brought to the mean and spread of the training's, without any label."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import moments

# A feature that hardly varies is divided by no less than this share of the mean standard deviation.
_LEAST_SPREAD = 0.1


@dataclasses.dataclass(frozen=True)
class Moments:
  """Where the features of a laboratory's images lie."""

  mean_D: np.ndarray
  spread_D: np.ndarray  # > 0


def fit(embedding_ND: np.ndarray, label_N: np.ndarray) -> Moments:
  """The mean and spread of the features, every class with the same share.

  Args:
    embedding_ND: the input of the output layer.
    label_N: the classes; the same for all where they are not known.
  """
  _, index_N, count_K = np.unique(label_N, return_inverse=True, return_counts=True)
  share_N = 1 / (len(count_K) * count_K[index_N])
  mean_D, spread_D = moments.mean_and_std(embedding_ND.astype(np.float64), share_N)
  return Moments(mean_D, spread_D + _LEAST_SPREAD * spread_D.mean() + 1e-12)


def aligned(
  kernel_DK: np.ndarray, bias_K: np.ndarray, home: Moments, other: Moments
) -> tuple[np.ndarray, np.ndarray]:
  """The output layer that says of the other laboratory's features what this one says of them shifted and scaled.

  Source: Li et al. 2016, "Revisiting batch normalization for practical domain adaptation", for one layer.

  Example:
    >>> home, other = (Moments(np.array([mean]), np.array([1.0])) for mean in (0.0, 5.0))
    >>> kernel_DK, bias_K = aligned(np.array([[2.0]]), np.array([1.0]), home, other)
    >>> float(5.0 * kernel_DK[0, 0] + bias_K[0])  # the mean of one is that of the other
    1.0
  """
  factor_D = home.spread_D / other.spread_D
  return kernel_DK * factor_D[:, None], bias_K + (home.mean_D - other.mean_D * factor_D) @ kernel_DK
