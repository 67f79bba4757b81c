"""A multinomial logistic output layer, fitted on features and drawn towards an earlier one."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import types

# What a stage is told to fit as its output layer.
NAME = 'logistic'
# Of a layer that is fitted alone.
_STRENGTH = 3e-3
# A feature that hardly varies is divided by no less than this share of the mean standard deviation.
_LEAST_SPREAD = 0.1
# The fit has converged where no entry of the gradient exceeds this; at most so many iterations.
_LEAST_GRADIENT, _MOST_ITERATIONS = 1e-5, 2000


@dataclasses.dataclass(frozen=True)
class Linear:
  """An output layer: the logits of a feature are `feature @ kernel + bias`."""

  kernel_DK: np.ndarray  # float64
  bias_K: np.ndarray  # float64

  def logits(self, feature_ND: np.ndarray) -> np.ndarray:
    """[N, K] float64."""
    return feature_ND.astype(np.float64) @ self.kernel_DK + self.bias_K

  def probabilities(self, feature_ND: np.ndarray) -> np.ndarray:
    """[N, K] the softmax of the logits."""
    return np.exp(_log_softmax(self.logits(feature_ND)))


def fit_alone(feature_ND: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray, num_classes: int) -> Linear:
  """The layer fitted on features alone, each standardized, every class with the same share of the weight.

  The layer takes the features as they are: the standardization is part of it.

  Args:
    feature_ND: the input of the output layer.
    label_N: class of each row, in [0, num_classes).
    weight_N: >= 0, of each row; within a class only their ratios matter.
    num_classes: of the layer; those without rows get no weight.

  Raises:
    RunError: a feature is not finite.
  """
  total_K = np.bincount(label_N, weight_N, num_classes)
  share_N = weight_N / np.maximum(total_K, 1e-12)[label_N]
  share_N = share_N / share_N.sum()
  mean_D, spread_D = moments(feature_ND, share_N)
  zero = Linear(np.zeros((feature_ND.shape[1], num_classes)), np.zeros(num_classes))
  layer = fit((feature_ND - mean_D) / spread_D, label_N, share_N, zero, _STRENGTH)
  kernel_DK = layer.kernel_DK / spread_D[:, None]
  return Linear(kernel_DK, layer.bias_K - mean_D @ kernel_DK)


def moments(feature_ND: np.ndarray, share_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """[D] the mean, and what a feature is divided by: its standard deviation, and a share of the mean of all.

  Args:
    feature_ND: of some images.
    share_N: >= 0, of each, of sum 1.
  """
  feature_ND = feature_ND.astype(np.float64)
  mean_D = share_N @ feature_ND
  spread_D = np.sqrt(share_N @ np.square(feature_ND - mean_D))
  return mean_D, spread_D + _LEAST_SPREAD * spread_D.mean() + 1e-12


def fit(
  feature_ND: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray, before: Linear, strength: float
) -> Linear:
  """The layer of least weighted mean cross-entropy plus `strength / 2 * |change|^2`.

  The change is that of the kernel from the one before, on features that are centred and divided by one number such that
  their mean square norm is 1, so that a strength means the same for every network; the bias is free.

  **Guarantees**: the objective is strictly convex in the kernel, so that there is one minimum; the same arguments give
  the same bits on the same machine.

  Args:
    feature_ND: the input of the output layer.
    label_N: class of each row, in [0, K).
    weight_N: >= 0, of each row; only their ratios matter.
    before: the earlier layer, of the same K classes.
    strength: > 0.

  Raises:
    RunError: a feature is not finite.
  """
  from scipy import optimize

  if not np.isfinite(feature_ND).all():
    raise types.RunError('the features that the output layer is fitted on are not finite')
  share_N = weight_N.astype(np.float64) / weight_N.sum()
  feature_ND = feature_ND.astype(np.float64)
  centre_D = share_N @ feature_ND
  scale = float(np.sqrt(max(share_N @ np.square(feature_ND - centre_D).sum(1), 1e-24)))
  input_ND = (feature_ND - centre_D) / scale
  start_DK = before.kernel_DK.astype(np.float64) * scale
  start_K = before.bias_K + centre_D @ before.kernel_DK
  shape, rows = start_DK.shape, np.arange(len(label_N))

  def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
    kernel_DK, bias_K = values[: start_DK.size].reshape(shape), values[start_DK.size :]
    log_NK = _log_softmax(input_ND @ kernel_DK + bias_K)
    change_DK = kernel_DK - start_DK
    loss = -(share_N * log_NK[rows, label_N]).sum() + strength / 2 * np.square(change_DK).sum()
    error_NK = np.exp(log_NK)
    error_NK[rows, label_N] -= 1
    error_NK *= share_N[:, None]
    gradient_DK = input_ND.T @ error_NK + strength * change_DK
    return float(loss), np.concatenate([gradient_DK.ravel(), error_NK.sum(0)])

  options = {
    'maxiter': _MOST_ITERATIONS,
    'maxfun': 2 * _MOST_ITERATIONS,
    'gtol': _LEAST_GRADIENT,
    'ftol': 1e-8,
  }
  found = optimize.minimize(
    objective, np.concatenate([start_DK.ravel(), start_K]), jac=True, method='L-BFGS-B', options=options
  )
  kernel_DK = found.x[: start_DK.size].reshape(shape) / scale
  return Linear(kernel_DK, found.x[start_DK.size :] - centre_D @ kernel_DK)


def _log_softmax(logits_NK: np.ndarray) -> np.ndarray:
  shifted_NK = logits_NK - logits_NK.max(1, keepdims=True)
  return shifted_NK - np.log(np.exp(shifted_NK).sum(1, keepdims=True))
