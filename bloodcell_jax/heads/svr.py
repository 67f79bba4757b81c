"""Linear support vector regression as a classifier: one regressor per class, on targets +1 and -1."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from bloodcell_jax.base import types

# Its name in the config, as a loss and as an output layer.
NAME = 'svr'
# Relative duality gap at which a fit has converged: its objective exceeds the minimum by at most this share.
GAP = 1e-4
# The kinks of the loss are smoothed over a length that shrinks by this factor until the gap is small enough.
SHRINK = 0.25
LEAST_ROUNDING = 1e-9
# Newton steps for one smoothing length, and halvings of a step; far more than are needed in practice.
MOST_STEPS = 100
MOST_HALVINGS = 40


@dataclasses.dataclass(frozen=True)
class Spec:
  """Hyperparameters of a support vector regression."""

  epsilon: float  # in [0, 1): errors up to it cost nothing; the targets lie 2 apart
  cost: float  # > 0: C, the weight of the errors relative to half the squared norm of the weights

  def __post_init__(self):
    if not 0 <= self.epsilon < 1:
      raise types.UserError(
        f'svr.epsilon is {self.epsilon}; it must lie in [0, 1), because the targets are +1 and -1'
      )
    if not 0 < self.cost < float('inf'):
      raise types.UserError(f'svr.cost is {self.cost}; it must be above 0')


@dataclasses.dataclass(frozen=True)
class Linear:
  """Fitted regressors."""

  kernel_DK: np.ndarray  # float64
  bias_K: np.ndarray  # float64
  objective_K: np.ndarray  # float64
  gap_K: np.ndarray  # float64: relative duality gap


def signs(target_BK: ArrayLike) -> jax.Array:
  """Targets of +1 for the class and -1 for the others, from rows that sum to 1."""
  return 2 * jnp.asarray(target_BK) - 1


def loss(output_BK: ArrayLike, target_BK: ArrayLike, epsilon: float) -> jax.Array:
  """[B] the epsilon-insensitive loss, `max(0, |target - output| - epsilon)`, summed over classes.

  Source: Vapnik 1995, "The nature of statistical learning theory", section 6.1.

  Example:
    >>> loss(np.array([[0.95, -0.5]]), np.array([[1.0, -1.0]]), 0.1).round(3).tolist()
    [0.4...]
  """
  return jnp.maximum(jnp.abs(jnp.asarray(target_BK) - output_BK) - epsilon, 0).sum(-1)


def objective(
  kernel_DK: ArrayLike,
  bias_K: ArrayLike,
  feature_ND: ArrayLike,
  target_NK: ArrayLike,
  weight_N: ArrayLike,
  spec: Spec,
) -> jax.Array:
  """[K] what each regressor minimises: `|w|^2 / 2 + C sum of weight x loss`; the bias is not penalised.

  Source: scikit-learn `SVR(kernel='linear')`, with `sample_weight`; LIBSVM.
  """
  kernel_DK = jnp.asarray(kernel_DK)
  output_NK = jnp.asarray(feature_ND) @ kernel_DK + jnp.asarray(bias_K).reshape(1, -1)
  beyond_NK = jnp.maximum(jnp.abs(jnp.asarray(target_NK) - output_NK) - spec.epsilon, 0)
  errors_K = (jnp.asarray(weight_N).reshape(-1, 1) * beyond_NK).sum(0)
  return jnp.square(kernel_DK).sum(0) / 2 + spec.cost * errors_K


def fit(feature_ND: np.ndarray, target_NK: np.ndarray, weight_N: np.ndarray, spec: Spec) -> Linear:
  """Minimises the objective by Newton's method in the primal, on a loss that is smoothed less and less.

  **Guarantees**: the relative duality gap, which bounds the distance to the minimum, is at most GAP;
  the same arguments give the same bits on the same machine.

  Args:
    feature_ND: features, as the network returns them.
    target_NK: +1 or -1.
    weight_N: >= 0, of the error of each row.
    spec: epsilon and C.

  Raises:
    RunError: the features are not finite, or the gap does not close.

  Source: Chapelle 2007, "Training a support vector machine in the primal", section 3 (Newton's method, smoothed loss);
    Smola and Schoelkopf 2004, "A tutorial on support vector regression", equation 10 (dual).
  """
  if not np.isfinite(feature_ND).all():
    raise types.RunError(
      'the features that the regression is fitted on are not finite; lower optimizer.learning_rate'
    )
  with jax.enable_x64(True):
    x_ND, rows_N = jnp.asarray(feature_ND, jnp.float64), jnp.asarray(weight_N, jnp.float64)
    targets = (jnp.asarray(target_N, jnp.float64) for target_N in target_NK.T)
    parts = [_fit_one(x_ND, rows_N, target_N, spec) for target_N in targets]
  kernel_KD, bias_K, objective_K, gap_K = (np.array(column) for column in zip(*parts, strict=True))
  return Linear(kernel_KD.T, bias_K, objective_K, gap_K)


def _fit_one(
  feature_ND: jax.Array, weight_N: jax.Array, target_N: jax.Array, spec: Spec
) -> tuple[np.ndarray, float, float, float]:
  w, rounding = jnp.zeros(feature_ND.shape[1] + 1), 1.0
  while rounding > LEAST_ROUNDING:
    w = _newton(w, feature_ND, weight_N, target_N, spec.epsilon, spec.cost, rounding)
    primal, dual = _bounds(w, feature_ND, weight_N, target_N, spec.epsilon, spec.cost, rounding)
    gap = float((primal - dual) / primal) if primal > 0 else 0.0
    if gap <= GAP:
      return np.asarray(w[:-1]), float(w[-1]), float(primal), gap
    rounding *= SHRINK
  raise types.RunError(f'the support vector regression does not converge (gap {gap:.1e}); lower svr.cost')


def _slope(error_N: jax.Array, epsilon: float, rounding: float) -> jax.Array:
  """The derivative of the smoothed loss by the error, in [-1, 1]."""
  return jnp.sign(error_N) * jnp.clip((jnp.abs(error_N) - epsilon) / rounding, 0, 1)


def _rounded(error_N: jax.Array, epsilon: float, rounding: float) -> jax.Array:
  """The loss with a parabola of this length at its kink; at most half that length below the loss."""
  beyond = jnp.maximum(jnp.abs(error_N) - epsilon, 0)
  return jnp.where(beyond < rounding, beyond**2 / (2 * rounding), beyond - rounding / 2)


@functools.partial(jax.jit, static_argnames=('epsilon', 'cost'))
def _newton(
  w: jax.Array,
  feature_ND: jax.Array,
  weight_N: jax.Array,
  target_N: jax.Array,
  epsilon: float,
  cost: float,
  rounding: float,
) -> jax.Array:
  """Minimises the smoothed objective, starting from `w`; the bias is the last entry."""
  x = jnp.concatenate([feature_ND, jnp.ones((len(feature_ND), 1))], 1)
  penalised = jnp.ones_like(w).at[-1].set(0)

  def value(w: jax.Array, error_N: jax.Array) -> jax.Array:
    return (penalised * w * w).sum() / 2 + cost * (weight_N * _rounded(error_N, epsilon, rounding)).sum()

  def step(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
    w, _, count = carry
    error_N = target_N - x @ w
    beyond = jnp.abs(error_N) - epsilon
    bent_N = weight_N * ((beyond > 0) & (beyond < rounding)) / rounding
    gradient = penalised * w - cost * x.T @ (weight_N * _slope(error_N, epsilon, rounding))
    hessian = jnp.diag(penalised) + cost * x.T @ (bent_N.reshape(-1, 1) * x)
    # Without rows on the parabola the curvature along the bias is 0; this keeps its step finite.
    hessian = hessian.at[-1, -1].add(1e-3 * cost)
    direction = -jax.scipy.linalg.solve(hessian, gradient, assume_a='pos')
    slope = gradient @ direction
    before, moved_N = value(w, error_N), x @ direction

    def too_long(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
      length, halvings = carry
      after = value(w + length * direction, error_N - length * moved_N)
      return (after > before + 1e-4 * length * slope) & (halvings < MOST_HALVINGS)

    length, halvings = jax.lax.while_loop(
      too_long, lambda carry: (carry[0] / 2, carry[1] + 1), (jnp.ones_like(slope), jnp.array(0))
    )
    done = (-slope <= 1e-12 * (1e-12 + before)) | (halvings >= MOST_HALVINGS)
    return jnp.where(halvings < MOST_HALVINGS, w + length * direction, w), done, count + 1

  begin = (w, jnp.array(False), jnp.array(0))
  return jax.lax.while_loop(lambda c: ~c[1] & (c[2] < MOST_STEPS), step, begin)[0]


@functools.partial(jax.jit, static_argnames=('epsilon', 'cost'))
def _bounds(
  w: jax.Array,
  feature_ND: jax.Array,
  weight_N: jax.Array,
  target_N: jax.Array,
  epsilon: float,
  cost: float,
  rounding: float,
) -> tuple[jax.Array, jax.Array]:
  """The primal objective, and a dual objective, which is a lower bound of it."""
  error_N = target_N - feature_ND @ w[:-1] - w[-1]
  beyond = jnp.maximum(jnp.abs(error_N) - epsilon, 0)
  primal = (w[:-1] ** 2).sum() / 2 + cost * (weight_N * beyond).sum()
  dual_N = cost * weight_N * _slope(error_N, epsilon, rounding)
  # Feasible only if the sum is 0: scale the larger side down to the smaller one.
  up, down = jnp.maximum(dual_N, 0), jnp.maximum(-dual_N, 0)
  least = jnp.minimum(up.sum(), down.sum())
  dual_N = up * least / jnp.maximum(up.sum(), 1e-300) - down * least / jnp.maximum(down.sum(), 1e-300)
  normal = feature_ND.T @ dual_N
  return primal, -(normal**2).sum() / 2 + (target_N * dual_N).sum() - epsilon * jnp.abs(dual_N).sum()
