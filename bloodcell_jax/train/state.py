"""All that a step changes. The step count is the only clock."""

from __future__ import annotations

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class Sums:
  """What an epoch's training figures are made of, summed on the device since the epoch began."""

  loss: jax.Array  # [] float32: weight x cross-entropy
  correct: jax.Array  # [] float32: weight x (was the likeliest class the labelled one)
  weight: jax.Array  # [] float32


@flax.struct.dataclass
class State:
  step: jax.Array  # [] int32: updates made
  params: Any
  opt_state: optax.OptState
  ema_params: Any  # running mean of params; an empty dict when it is off
  sums: Sums


def create(params: Any, tx: optax.GradientTransformation, use_ema: bool, step: int) -> State:
  """The state before the first update of a stage, `step` updates after the run's beginning."""
  # Copies, because the state is donated: the caller keeps its parameters, and no two leaves may share memory.
  params = jax.tree.map(jnp.array, params)
  ema_params = jax.tree.map(jnp.array, params) if use_ema else {}
  return State(jnp.asarray(step, jnp.int32), params, tx.init(params), ema_params, zero_sums())


def zero_sums() -> Sums:
  """The sums at an epoch's start. Three arrays and not one thrice: the state is donated."""
  return Sums(*(jnp.zeros([], jnp.float32) for _ in range(3)))


def inference_params(state: State) -> Any:
  """What evaluation and prediction use: the running mean where there is one."""
  return state.ema_params or state.params
