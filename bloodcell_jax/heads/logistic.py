"""A multinomial logistic output layer, fitted on features and drawn towards an earlier one."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import moments, types

# Its name in the config, as an output layer.
NAME = 'logistic'
# The fit has converged where no entry of the gradient exceeds this; at most so many iterations.
_LEAST_GRADIENT, _MOST_ITERATIONS = 1e-5, 2000


@dataclasses.dataclass(frozen=True)
class Spec:
  """Hyperparameters of a logistic regression that is fitted as an output layer."""

  # > 0: the penalty is strength / 2 times the sum of squares of the kernel, on features that are standardized and then
  # divided by the root of their number (see `fit`)
  strength: float
  # >= 0: a feature is divided by its standard deviation plus this share of the mean one, so that those that hardly vary
  # count for less
  least_spread: float

  def __post_init__(self):
    if not 0 < self.strength < float('inf'):
      raise types.UserError(f'logistic.strength is {self.strength}; it must be above 0')
    if not 0 <= self.least_spread < float('inf'):
      raise types.UserError(f'logistic.least_spread is {self.least_spread}; it must be 0 or more')


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


def fit_new(
  feature_ND: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray, num_classes: int, spec: Spec
) -> Linear:
  """A layer fitted from nothing: `fit` on features that are each divided by their own standard deviation.

  A network's channels differ in size by orders of magnitude; undivided, the largest alone would be listened to.

  **Guarantees**: without `least_spread` the logits do not change where a feature is multiplied by a number, up to
  rounding.

  Args:
    feature_ND: the input of the output layer.
    label_N: class of each row, in [0, K).
    weight_N: >= 0, of each row; only their ratios matter.
    num_classes: K.
    spec: the strength of the penalty, and the least spread.

  Raises:
    RunError: a feature is not finite.
  """
  share_N = weight_N.astype(np.float64) / weight_N.sum()
  feature_ND = feature_ND.astype(np.float64)
  mean_D, std_D = moments.mean_and_std(feature_ND, share_N)
  # One that never changes, up to rounding, says nothing; divided by nearly 0 it would be noise.
  spread_D = np.maximum(std_D + spec.least_spread * std_D.mean(), 1e-30)
  factor_D = np.where(std_D > 1e-6 * np.abs(mean_D), 1 / spread_D, 0)
  nothing = Linear(np.zeros((feature_ND.shape[1], num_classes)), np.zeros(num_classes))
  fitted = fit(feature_ND * factor_D, label_N, weight_N, nothing, spec.strength)
  return Linear(fitted.kernel_DK * factor_D[:, None], fitted.bias_K)


def _log_softmax(logits_NK: np.ndarray) -> np.ndarray:
  shifted_NK = logits_NK - logits_NK.max(1, keepdims=True)
  return shifted_NK - np.log(np.exp(shifted_NK).sum(1, keepdims=True))
