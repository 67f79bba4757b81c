"""Initial values of an RBF layer: centres by k-means, widths by nearest neighbours, output layer by least squares."""

from __future__ import annotations

import numpy as np
import threadpoolctl

from bloodcell_jax.base import rng, types

# Its name in the config.
NAME = 'rbf'
MOST_ROUNDS = 100
# Number of nearest centres whose root mean square distance is a width.
NEIGHBOURS = 2
# Relative to the mean square of the activations; keeps least squares solvable if neurons are nearly equal.
RIDGE = 1e-4


def centres(feature_ND: np.ndarray, num: int, seed: int) -> np.ndarray:
  """[M, D] float64: k-means centres of the features.

  **Guarantees**: the same arguments give the same bits on the same machine.

  Raises:
    UserError: there are fewer distinct rows than centres.
    RunError: the features are not finite.

  Source: Lloyd 1982; Arthur and Vassilvitskii 2007, "k-means++" (initial centres); scikit-learn `KMeans`.
  """
  x_ND = np.asarray(feature_ND, np.float64)
  if not np.isfinite(x_ND).all():
    raise types.RunError('the features for the RBF centres are not finite; lower optimizer.learning_rate')
  num_different = len(np.unique(x_ND, axis=0))
  if num_different < num:
    raise types.UserError(
      f'model.rbf_units is {num}, but the training images have {num_different} distinct feature vectors; lower it'
    )
  # Imported here: scikit-learn takes a second to load and few commands need it.
  from sklearn import cluster

  state = int(rng.generator(seed, 'k-means').integers(2**31 - 1))
  # One thread: floating-point sums depend on the number of threads.
  with threadpoolctl.threadpool_limits(1):
    fitted = cluster.KMeans(num, n_init=1, max_iter=MOST_ROUNDS, tol=0, random_state=state).fit(x_ND)
  return np.asarray(fitted.cluster_centers_, np.float64)


def widths(centre_MD: np.ndarray, feature_ND: np.ndarray) -> np.ndarray:
  """[M] > 0: root mean square distance of each centre to its nearest neighbours; of a single one to the features.

  Source: Moody and Darken 1989, "Fast learning in networks of locally-tuned processing units", section 2.
  """
  if len(centre_MD) == 1:
    return np.sqrt(np.maximum(_squares(centre_MD, np.asarray(feature_ND, np.float64)).mean(1), 1e-12))
  square_MM = _squares(centre_MD, centre_MD)
  np.fill_diagonal(square_MM, np.inf)
  nearest = np.sort(square_MM, 1)[:, : min(NEIGHBOURS, len(centre_MD) - 1)]
  return np.sqrt(np.maximum(nearest.mean(1), 1e-12))


def outputs(
  activation_NM: np.ndarray, target_NK: np.ndarray, weight_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The kernel [M, K] and bias [K] of the dense layer after the neurons, by weighted least squares.

  Source: Broomhead and Lowe 1988, section 4; the ridge: Orr 1996, "Introduction to radial basis function networks".
  """
  x_NM = np.asarray(activation_NM, np.float64)
  share_N = (weight_N / weight_N.sum()).reshape(-1, 1)
  mean_1M, mean_1K = (share_N * x_NM).sum(0, keepdims=True), (share_N * target_NK).sum(0, keepdims=True)
  x_NM = x_NM - mean_1M
  square_MM = x_NM.T @ (share_N * x_NM)
  square_MM += RIDGE * np.trace(square_MM) / len(square_MM) * np.eye(len(square_MM))
  kernel_MK = np.linalg.solve(square_MM, x_NM.T @ (share_N * (target_NK - mean_1K)))
  return kernel_MK, (mean_1K - mean_1M @ kernel_MK)[0]


def _squares(first_ND: np.ndarray, second_MD: np.ndarray) -> np.ndarray:
  """[N, M] squared distances."""
  square = (first_ND**2).sum(1)[:, None] - 2 * first_ND @ second_MD.T + (second_MD**2).sum(1)[None, :]
  return np.maximum(square, 0)
