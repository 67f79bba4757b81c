"""Keras' layers under Keras' names for their weights, `kernel` and `bias`."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax.models import fast_conv, fast_pool

# Keras' defaults: Glorot and Bengio 2010, equation 16.
KERNEL_INIT = nn.initializers.glorot_uniform()
BIAS_INIT = nn.initializers.zeros_init()
max_pool = fast_pool.max_pool
ACTIVATIONS = {None: lambda x: x, 'relu': jax.nn.relu}


# The collection that holds every layer's output, by layer, when a network is applied with it as mutable.
MAPS = 'maps'


def keep(module: nn.Module, name: str, x: jax.Array) -> None:
  """Stores a layer's output under `<name>:output` in MAPS; free where nobody asks for it."""
  # The suffix, because a network may hold no entry that is named like one of its sub-modules.
  module.sow(MAPS, f'{name}:output', x, reduce_fn=lambda before, new: new, init_fn=lambda: None)


class Conv(nn.Module):
  """A 2-D convolution of stride 1, NHWC, and on demand the pooling behind it. Source: Keras `Conv2D`."""

  features: int
  kernel_size: tuple[int, int]
  padding: str  # valid or same
  activation: str | None  # a key of ACTIVATIONS

  @nn.compact
  def __call__(self, x_BHWC: jax.Array, pool: bool) -> jax.Array:
    """The map, or with `pool` its `max_pool`, which with relu is fused: faster and smaller, the same values."""
    shape = (*self.kernel_size, x_BHWC.shape[-1], self.features)
    kernel = self.param('kernel', KERNEL_INIT, shape)
    bias = self.param('bias', BIAS_INIT, (self.features,))
    pads = fast_conv.pads(self.padding, self.kernel_size)
    if pool and self.activation == 'relu':
      return fast_pool.conv_relu_pool(x_BHWC, kernel, bias, pads)
    y = ACTIVATIONS[self.activation](fast_conv.conv(x_BHWC, kernel, pads) + bias.reshape(1, 1, 1, -1))
    return max_pool(y) if pool else y


class Dense(nn.Module):
  """A matrix product and a bias. Source: Keras `Dense`."""

  units: int
  activation: str | None  # a key of ACTIVATIONS

  @nn.compact
  def __call__(self, x_BD: jax.Array) -> jax.Array:
    kernel = self.param('kernel', KERNEL_INIT, (x_BD.shape[-1], self.units))
    bias = self.param('bias', BIAS_INIT, (self.units,))
    return ACTIVATIONS[self.activation](x_BD @ kernel + bias.reshape(1, -1))


class Dropout(nn.Module):
  """Zeroes a share of the units in training and scales the rest by 1 / (1 - rate). Source: Keras `Dropout`.

  **Guarantees**: an example's mask depends on the key and its position in the global batch alone, so that a
  batch spread over devices is masked as on one.
  """

  rate: float  # in [0, 1)

  @nn.compact
  def __call__(self, x_BD: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    if not train or self.rate == 0:
      return x_BD
    key = self.make_rng('dropout')
    keys_B = jax.vmap(jax.random.fold_in, (None, 0))(key, position_B)
    keep_BD = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - self.rate, x_BD.shape[1:]))(keys_B)
    return jnp.where(keep_BD, x_BD / (1 - self.rate), 0)
