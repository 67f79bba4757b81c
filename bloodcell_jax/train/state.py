"""The training state: everything that an update changes. The step count is its only clock."""

from __future__ import annotations

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class Sums:
  """Sums over the epoch so far, kept on the device; loss and accuracy of the epoch are computed from them."""

  loss: jax.Array  # [] float32: weight x cross-entropy
  correct: jax.Array  # [] float32: weight x (1 where the predicted class is the label, else 0)
  weight: jax.Array  # [] float32


@flax.struct.dataclass
class State:
  step: jax.Array  # [] int32: updates made
  params: Any
  opt_state: optax.OptState
  ema_params: Any  # exponential moving average of params; an empty dict when it is off
  sums: Sums


def create(params: Any, tx: optax.GradientTransformation, use_ema: bool, step: int) -> State:
  """The state before the first update of a stage that starts after `step` updates of the run."""
  # Copied because the state is donated: the caller keeps its parameters, and no two leaves may share memory.
  params = jax.tree.map(jnp.array, params)
  ema_params = jax.tree.map(jnp.array, params) if use_ema else {}
  return State(jnp.asarray(step, jnp.int32), params, tx.init(params), ema_params, zero_sums())


def zero_sums() -> Sums:
  """The sums at the start of an epoch, in three separate arrays because the state is donated."""
  return Sums(*(jnp.zeros([], jnp.float32) for _ in range(3)))


def inference_params(state: State) -> Any:
  """The parameters for evaluation and prediction: the moving average if there is one."""
  return state.ema_params or state.params
