"""One update as a pure function. Of devices it knows the name of their axis alone."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bloodcell_jax.base import tree, types
from bloodcell_jax.train import state as state_lib

# The weights that `l2` regularizes, like Keras' `kernel_regularizer` of a dense layer.
DENSE_KERNELS = r'dense_\d+/kernel'


@dataclasses.dataclass(frozen=True)
class Spec:
  """Regularization of the objective."""

  label_smoothing: float  # in [0, 1): the share of each target that is spread over all classes, as in Keras
  ema_momentum: float  # in [0, 1): of the moving average of the weights; 0 switches it off
  l2: float  # >= 0: factor of the sum of squares of the trained kernels of dense layers; not in the reported loss

  def __post_init__(self):
    for name in ('label_smoothing', 'ema_momentum'):
      if not 0 <= getattr(self, name) < 1:
        raise types.UserError(f'train.{name} is {getattr(self, name)}; it must lie in [0, 1)')
    if not 0 <= self.l2 < float('inf'):
      raise types.UserError(f'train.l2 is {self.l2}; it must be 0 or more')


@dataclasses.dataclass(frozen=True)
class Loss:
  """What a stage minimises: a mean over examples plus an L2 penalty.

  **Guarantees**: the functions that make one give the same object for equal arguments, so that equal losses can share a
  compiled step.
  """

  per_example: Callable[[jax.Array, jax.Array | np.ndarray], jax.Array]  # (output_BK, target_BK) -> [B]
  # (pattern of names, factor): the factor times the sum of squares is added; the first match wins, else none.
  l2: tuple[tuple[str, float], ...]


@functools.lru_cache(64)
def softmax(label_smoothing: float, l2: float) -> Loss:
  """Cross-entropy of the softmax, with `l2` on dense kernels. The numbers are those of `Spec`."""
  return Loss(lambda o, t: cross_entropy(o, t, label_smoothing), ((DENSE_KERNELS, l2),))


@functools.lru_cache(64)
def squares(l2: float) -> Loss:
  """The squared error summed over classes, with `l2` on dense kernels: for targets that are not probabilities."""
  return Loss(lambda o, t: jnp.sum((o - t) ** 2, -1), ((DENSE_KERNELS, l2),))


@flax.struct.dataclass
class Report:
  """The figures of one update for the host; the same on every device."""

  loss: jax.Array  # [] float32: weighted mean over the global batch
  accuracy: jax.Array  # [] float32
  finite: jax.Array  # [] bool: whether loss, gradients and updates are


def cross_entropy(
  logits_BK: jax.Array, target_BK: jax.Array | np.ndarray, label_smoothing: float
) -> jax.Array:
  """[B] categorical cross-entropy in nats. Source: Keras `CategoricalCrossentropy(from_logits=True)`."""
  num_classes = logits_BK.shape[-1]
  target_BK = target_BK * (1 - label_smoothing) + label_smoothing / num_classes
  return optax.softmax_cross_entropy(logits_BK, target_BK)


def make(
  apply: Callable[..., jax.Array],
  loss: Loss,
  tx: optax.GradientTransformation,
  ema_momentum: float,
  is_trained: Any,
  axis: str,
) -> Callable[..., tuple[state_lib.State, Report]]:
  """The step `(state, batch, key, scale) -> (state, report)`, to be mapped over devices on `axis`.

  **Guarantees**: the update is that of the whole batch on one device, to float tolerance, because losses
  and weights are summed over devices before they are divided, and dropout is keyed by position. A weight that is
  not trained keeps its bits, in the moving average too, and no gradient is computed for it.

  Args:
    apply: `(params, image_BHWC, position_B, dropout_key) -> logits_BK`.
    loss: the objective.
    tx: from mean gradients to what is added to the parameters.
    ema_momentum: in [0, 1), of the moving average of the weights; 0 switches it off.
    is_trained: for each parameter whether it is trained; a tree of bools.
    axis: the name that `jax.lax.psum` sums over.
  """

  def l2_factor(name: str) -> float:
    return next((factor for pattern, factor in loss.l2 if re.fullmatch(pattern, name)), 0.0)

  factors = tree.nest({name: l2_factor(name) if on else 0.0 for name, on in tree.names(is_trained).items()})
  per_example, m = loss.per_example, ema_momentum

  def step(state: state_lib.State, batch: types.Batch, key: jax.Array, scale: jax.Array):
    """One update; `scale` [] multiplies it, which lowers the learning rate after a plateau."""
    key = jax.random.fold_in(key, state.step)

    def objective(params: Any) -> tuple[jax.Array, jax.Array]:
      params = jax.tree.map(lambda p, t: p if t else jax.lax.stop_gradient(p), params, is_trained)
      logits_BK = apply(params, batch.image_BHWC, batch.position_B, key)
      loss_B = per_example(logits_BK, batch.target_BK)
      return jnp.sum(batch.weight_B * loss_B), logits_BK

    def summed(grad: jax.Array, trained: bool) -> jax.Array:
      # The gradient of a frozen weight is 0 on every device: no communication needed.
      return jax.lax.psum(grad, axis) / weight if trained else grad

    (loss, logits_BK), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
    correct_B = jnp.argmax(logits_BK, -1) == jnp.argmax(batch.target_BK, -1)
    correct, weight = jnp.sum(batch.weight_B * correct_B), jnp.sum(batch.weight_B)
    loss, correct, weight = jax.lax.psum((loss, correct, weight), axis)
    grads = jax.tree.map(summed, grads, is_trained)
    grads = jax.tree.map(
      lambda g, p, factor: g + 2 * factor * p if factor else g, grads, state.params, factors
    )

    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    # Adding zero would turn a frozen weight of -0 into 0.
    params = jax.tree.map(lambda p, u, t: p + scale * u if t else p, state.params, updates, is_trained)
    ema_params: Any = {}
    if m:
      # Without fused multiply-add the mean of equal numbers can differ from them in the last bit.
      ema_params = jax.tree.map(
        lambda e, p, t: m * e + (1 - m) * p if t else e, state.ema_params, params, is_trained
      )
    sums = state_lib.Sums(state.sums.loss + loss, state.sums.correct + correct, state.sums.weight + weight)
    # Updates too: an infinite learning rate would show only in the next loss, after this state has been saved.
    finite = (
      jnp.isfinite(loss)
      & jnp.isfinite(optax.tree.norm(grads))
      & jnp.isfinite(scale * optax.tree.norm(updates))
    )
    report = Report(loss / weight, correct / weight, finite)
    return state_lib.State(state.step + 1, params, opt_state, ema_params, sums), report

  return step
