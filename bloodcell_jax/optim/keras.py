"""Keras 2's optimizers, which the study used, as Optax transforms; Optax' defaults differ.

Differences: RMSprop adds epsilon outside the root, Adam folds the bias correction into the
rate and adds an uncorrected epsilon ("epsilon hat", Kingma and Ba 2015, end of section 2), momentum
accumulates steps already scaled by the rate, and every rate decays with the update count.

One key follows the later Keras: `clipnorm` limits each weight's gradient on its own, as in tf.keras and Keras 3. That
of Keras 2.0 to 2.3 scaled all gradients by their norm together, which is `global_clipnorm` here.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from bloodcell_jax.base import types
from bloodcell_jax.optim import schedules

NAMES = ('rmsprop', 'adam', 'sgd')


@dataclasses.dataclass(frozen=True)
class Spec:
  """An optimizer with Keras' arguments; 0 disables a clip."""

  name: str  # rmsprop, adam or sgd
  learning_rate: float  # > 0
  decay: float  # >= 0, per update
  rho: float  # RMSprop: in [0, 1)
  momentum: float  # SGD: in [0, 1)
  nesterov: bool  # SGD
  beta_1: float  # Adam: in [0, 1)
  beta_2: float  # Adam: in [0, 1)
  epsilon: float  # RMSprop and Adam: > 0
  clipvalue: float  # largest magnitude of one gradient entry
  clipnorm: float  # largest norm of one weight's gradient, as in tf.keras and Keras 3
  global_clipnorm: float  # largest norm of all gradients together, the `clipnorm` of Keras 2.0 to 2.3

  def __post_init__(self):
    if self.name not in NAMES:
      raise types.UserError(f'optimizer.name is {self.name!r}; choose one of {", ".join(NAMES)}')
    for name in ('rho', 'momentum', 'beta_1', 'beta_2'):
      if not 0 <= getattr(self, name) < 1:
        raise types.UserError(f'optimizer.{name} is {getattr(self, name)}; it must lie in [0, 1)')
    for name in ('decay', 'clipvalue', 'clipnorm', 'global_clipnorm'):
      if not 0 <= getattr(self, name) < float('inf'):
        raise types.UserError(f'optimizer.{name} is {getattr(self, name)}; it must be 0 or more')
    for name in ('learning_rate', 'epsilon'):
      if not 0 < getattr(self, name) < float('inf'):
        raise types.UserError(f'optimizer.{name} is {getattr(self, name)}; it must be above 0')


def schedule(spec: Spec) -> optax.Schedule:
  """The learning rate at each update."""
  return schedules.time_based_decay(spec.learning_rate, spec.decay)


def build(spec: Spec) -> optax.GradientTransformation:
  """The transform from gradients to parameter updates."""
  rate = optax.scale_by_learning_rate(schedule(spec))
  if spec.name == 'rmsprop':
    # initial_scale 0 and epsilon outside the root, as in Keras 2; Optax' own default is inside.
    parts = [optax.scale_by_rms(spec.rho, spec.epsilon, initial_scale=0.0, eps_in_sqrt=False), rate]
  elif spec.name == 'adam':
    parts = [scale_by_adam_hat(spec.beta_1, spec.beta_2, spec.epsilon), rate]
  else:
    # The rate comes before the momentum: Keras accumulates steps, Optax' trace gradients, which differs if the rate
    # decays.
    parts = [rate] + ([optax.trace(spec.momentum, spec.nesterov)] if spec.momentum else [])
  return optax.chain(*_clips(spec), *parts)


def _clips(spec: Spec) -> list[optax.GradientTransformation]:
  clips = []
  if spec.global_clipnorm:
    clips.append(optax.clip_by_global_norm(spec.global_clipnorm))
  if spec.clipnorm:
    clips.append(_clip_each_norm(spec.clipnorm))
  if spec.clipvalue:
    clips.append(optax.clip(spec.clipvalue))
  return clips


def _clip_each_norm(limit: float) -> optax.GradientTransformation:
  """Scales each leaf down to this norm on its own: the `clipnorm` of tf.keras and Keras 3, not of Keras 2.0 to 2.3."""

  def clip(g: jax.Array) -> jax.Array:
    norm = jnp.sqrt(jnp.sum(jnp.square(g)))
    # Keras: tf.clip_by_norm, t * limit / max(norm, limit).
    return g * (limit / jnp.maximum(norm, limit))

  return optax.stateless(lambda updates, params: jax.tree.map(clip, updates))


class AdamHatState(NamedTuple):
  num_updates: jax.Array  # [] int32
  mu: Any  # running mean of gradients
  nu: Any  # running mean of squared gradients


def scale_by_adam_hat(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
  """Adam as Keras 2 writes it: `sqrt(1 - b2^t) / (1 - b1^t) * mu / (sqrt(nu) + eps)`.

  Optax' `scale_by_adam` adds epsilon to the corrected root instead; the two agree only where epsilon is
  negligible, which early on, with small gradients, it is not.

  Source: Kingma and Ba 2015, end of section 2; Keras 2 `keras/optimizers.py`, class Adam.
  """

  def init(params: Any) -> AdamHatState:
    return AdamHatState(
      jnp.zeros([], jnp.int32), jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)
    )

  def update(updates: Any, state: AdamHatState, params: Any = None) -> tuple[Any, AdamHatState]:
    del params
    num_updates = state.num_updates + 1
    mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, updates)
    nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, updates)
    correction = jnp.sqrt(1 - b2**num_updates) / (1 - b1**num_updates)
    updates = jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + eps), mu, nu)
    return updates, AdamHatState(num_updates, mu, nu)

  return optax.GradientTransformation(init, update)
