"""Where neurons of radial basis functions begin: centres by k-means on features, widths by their neighbours."""

from __future__ import annotations

import numpy as np

from bloodcell_jax import rng, types

# What the config calls it.
NAME = 'rbf'
MOST_ROUNDS = 100
# A width is the root mean square distance to so many nearest centres.
NEIGHBOURS = 2
# Of the mean square of the activations: keeps least squares solvable where neurons are nearly equal.
RIDGE = 1e-4


def centres(feature_ND: np.ndarray, num: int, seed: int) -> np.ndarray:
  """[M, D] float64: the means that k-means finds.

  **Guarantees**: the same arguments give the same bits on the same machine.

  Raises:
    UserError: fewer different rows than centres.
    RunError: features that are not finite.

  Source: Lloyd 1982; Arthur and Vassilvitskii 2007, "k-means++", section 2.2 (where it starts).
  """
  x_ND = np.asarray(feature_ND, np.float64)
  if not np.isfinite(x_ND).all():
    raise types.RunError(
      'the features that the centres are taken from are not finite; lower optimizer.learning_rate'
    )
  generator = rng.generator(seed, 'k-means')
  centre_MD = x_ND[generator.integers(len(x_ND), size=1)]
  while len(centre_MD) < num:
    nearest_N = _squares(x_ND, centre_MD).min(1)
    if not nearest_N.max() > 1e-12 * np.square(x_ND).sum(1).max():
      raise types.UserError(
        f'model.rbf_units is {num}, but the training images have {len(centre_MD)} different features; lower it'
      )
    chosen = generator.choice(len(x_ND), p=nearest_N / nearest_N.sum())
    centre_MD = np.concatenate([centre_MD, x_ND[chosen : chosen + 1]])
  of_N = np.full(len(x_ND), -1)
  for _ in range(MOST_ROUNDS):
    before, of_N = of_N, _squares(x_ND, centre_MD).argmin(1)
    if np.array_equal(before, of_N):
      break
    for m in np.unique(of_N):
      centre_MD[m] = x_ND[of_N == m].mean(0)
  return centre_MD


def widths(centre_MD: np.ndarray, feature_ND: np.ndarray) -> np.ndarray:
  """[M] > 0: of each centre the root mean square distance to its nearest others; of a lone one that to the features.

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
  """The kernel [M, K] and bias [K] of the dense layer behind the neurons, by weighted least squares.

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
