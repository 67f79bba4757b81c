"""Every network by its name in a config."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax import rng, types
from bloodcell_jax.models import cnn

BUILDERS = {'cnn_a': cnn.cnn_a, 'cnn_b': cnn.cnn_b}


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which network, and what of it can be chosen."""

  name: str
  dropout_rate: float  # in [0, 1)

  def __post_init__(self):
    if self.name not in BUILDERS:
      raise types.UserError(f'model.name is {self.name!r}; choose one of {", ".join(BUILDERS)}')
    if not 0 <= self.dropout_rate < 1:
      raise types.UserError(f'model.dropout_rate is {self.dropout_rate}; it must lie in [0, 1)')


def build(spec: Spec, num_classes: int) -> nn.Module:
  """The network, called as `apply(variables, image_BHWC, position_B, train)` for logits [B, K]."""
  return BUILDERS[spec.name](num_classes, spec.dropout_rate)


def init(model: nn.Module, image_size: int, seed: int) -> Any:
  """Fresh parameters for square RGB images of this side.

  Raises:
    UserError: the images are too small for the network's poolings.
  """
  image_BHWC, position_B = jnp.zeros((1, image_size, image_size, 3)), jnp.zeros([1], jnp.int32)

  def create(key: jax.Array) -> Any:
    return model.init(key, image_BHWC, position_B, False)['params']

  key = rng.key(seed, 'init')
  try:
    is_empty = any(0 in leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(create, key)))
  except ZeroDivisionError:  # from the initialiser of a kernel without inputs
    is_empty = True
  if is_empty:
    raise types.UserError(
      f'data.image_size is {image_size}: too small for this network, a feature map would be empty'
    )
  return jax.jit(create)(key)
