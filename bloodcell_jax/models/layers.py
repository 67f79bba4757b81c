"""Keras' layers under Keras' names for their weights, `kernel` and `bias`.

Every layer has a `dtype`, in which it computes: its weights stay float32 and are cast where they are used. A layer's
`keras_class` is what Keras calls it; a network's own module without weights needs one too, to appear in its summary.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from bloodcell_jax.models import fast_conv, fast_pool

# Keras' defaults: Glorot and Bengio 2010, equation 16.
KERNEL_INIT = nn.initializers.glorot_uniform()
BIAS_INIT = nn.initializers.zeros_init()
ACTIVATIONS = {None: lambda x: x, 'relu': jax.nn.relu}
# 2x2 windows side by side, with a fast gradient on a CPU; MaxPool has the other sizes.
max_pool = fast_pool.max_pool


# The collection that holds every layer's output, by layer, when a network is applied with it as mutable.
MAPS = 'maps'


def keep(module: nn.Module, name: str, x: jax.Array) -> None:
  """Stores a layer's output as `<name>:output` in MAPS; does nothing unless MAPS is mutable."""
  # With a suffix: Flax refuses a variable with the name of a sub-module.
  module.sow(MAPS, f'{name}:output', x, reduce_fn=lambda before, new: new, init_fn=lambda: None)


def logits(x_BK: jax.Array) -> jax.Array:
  """The outputs of a network's last layer, in float32 at least: softmax and losses need it whatever the layers use."""
  return x_BK.astype(jnp.promote_types(x_BK.dtype, jnp.float32))


class MaxPool(nn.Module):
  """Max-pooling over height and width. Source: Keras `MaxPooling2D`.

  **Guarantees**: values and gradients of `flax.linen.max_pool`, ties included.
  """

  pool_size: tuple[int, int]
  strides: tuple[int, int]
  padding: str | fast_conv.Pads  # as in `Conv`; padded places are never the largest
  keras_class = 'MaxPooling2D'

  @property
  def is_fast(self) -> bool:
    """Whether these are the windows that `fast_pool` knows."""
    return self.pool_size == self.strides == (2, 2) and self.padding == 'valid'

  @nn.nowrap
  def pool(self, x_BHWC: jax.Array) -> jax.Array:
    """The pooled map, also of a layer that is bound to no network."""
    if self.is_fast:
      return max_pool(x_BHWC)
    return nn.max_pool(x_BHWC, self.pool_size, self.strides, self.pads(x_BHWC.shape[1:3]))

  @nn.nowrap
  def pads(self, size: tuple[int, ...]) -> fast_conv.Pads:
    """Rows and columns of padding for an input of this height and width."""
    return fast_conv.window_pads(self.padding, size, self.pool_size, self.strides)

  def __call__(self, x_BHWC: jax.Array) -> jax.Array:
    return self.pool(x_BHWC)


class Conv(nn.Module):
  """A 2-D convolution, NHWC, with an activation and optionally a pooling behind it. Source: Keras `Conv2D`.

  Stride 1 takes the path of `fast_conv`, and with relu and 2x2 pooling that of `fast_pool`; the rest is XLA's own.
  """

  features: int
  kernel_size: tuple[int, int]
  strides: tuple[int, int]
  padding: str | fast_conv.Pads  # valid, same, or zeros before and after rows and columns, as torch has them
  activation: str | None  # a key of ACTIVATIONS
  dtype: DTypeLike  # of the computation and of the output
  algorithm: str  # one of `fast_conv.ALGORITHMS`
  keras_class = 'Conv2D'

  @nn.nowrap
  def pads(self, size: tuple[int, ...]) -> fast_conv.Pads:
    """Rows and columns of zeros for an input of this height and width."""
    return fast_conv.window_pads(self.padding, size, self.kernel_size, self.strides)

  @nn.compact
  def __call__(self, x_BHWC: jax.Array, pool: MaxPool | None) -> jax.Array:
    """The map, or with `pool` its pooled map: fused where `fast_pool` can, which is faster and smaller."""
    shape = (*self.kernel_size, x_BHWC.shape[-1], self.features)
    kernel = self.param('kernel', KERNEL_INIT, shape).astype(self.dtype)
    bias = self.param('bias', BIAS_INIT, (self.features,)).astype(self.dtype)
    x_BHWC = x_BHWC.astype(self.dtype)
    pads = self.pads(x_BHWC.shape[1:3])
    if self.strides != (1, 1):
      z = fast_conv.strided(x_BHWC, kernel, pads, self.strides)
    elif pool is not None and pool.is_fast and self.activation == 'relu':
      return fast_pool.conv_relu_pool(x_BHWC, kernel, bias, pads, self.algorithm)
    else:
      z = fast_conv.conv(x_BHWC, kernel, pads, self.algorithm)
    y = ACTIVATIONS[self.activation](z + bias.reshape(1, 1, 1, -1))
    return y if pool is None else pool.pool(y)


class Dense(nn.Module):
  """A matrix product and a bias. Source: Keras `Dense`."""

  units: int
  activation: str | None  # a key of ACTIVATIONS
  dtype: DTypeLike  # of the computation and of the output
  keras_class = 'Dense'

  @nn.compact
  def __call__(self, x_BD: jax.Array) -> jax.Array:
    kernel = self.param('kernel', KERNEL_INIT, (x_BD.shape[-1], self.units)).astype(self.dtype)
    bias = self.param('bias', BIAS_INIT, (self.units,)).astype(self.dtype)
    return ACTIVATIONS[self.activation](x_BD.astype(self.dtype) @ kernel + bias.reshape(1, -1))


class Flatten(nn.Module):
  """Each example as one row, [B, H * W * C]. Source: Keras `Flatten`."""

  keras_class = 'Flatten'

  def __call__(self, x_BHWC: jax.Array) -> jax.Array:
    return x_BHWC.reshape(x_BHWC.shape[0], -1)


class GlobalAveragePooling(nn.Module):
  """The mean over height and width, [B, C]. Source: Keras `GlobalAveragePooling2D`."""

  keras_class = 'GlobalAveragePooling2D'

  def __call__(self, x_BHWC: jax.Array) -> jax.Array:
    return x_BHWC.mean((1, 2))


class GlobalMaxPooling(nn.Module):
  """The maximum over height and width, [B, C]. Source: Keras `GlobalMaxPooling2D`."""

  keras_class = 'GlobalMaxPooling2D'

  def __call__(self, x_BHWC: jax.Array) -> jax.Array:
    return x_BHWC.max((1, 2))


class Concatenate(nn.Module):
  """Several inputs side by side, [B, sum of D]. Source: Keras `Concatenate`."""

  keras_class = 'Concatenate'

  def __call__(self, *x_BD: jax.Array) -> jax.Array:
    return jnp.concatenate(x_BD, -1)


class Dropout(nn.Module):
  """Zeroes a share of the units in training and scales the rest by 1 / (1 - rate). Source: Keras `Dropout`.

  **Guarantees**: an example's mask depends on the key and its position in the global batch alone, so that a
  batch spread over devices is masked as on one.
  """

  rate: float  # in [0, 1)
  keras_class = 'Dropout'

  @nn.compact
  def __call__(self, x_BD: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    if not train or self.rate == 0:
      return x_BD
    key = self.make_rng('dropout')
    keys_B = jax.vmap(jax.random.fold_in, (None, 0))(key, position_B)
    keep_BD = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - self.rate, x_BD.shape[1:]))(keys_B)
    return jnp.where(keep_BD, x_BD / (1 - self.rate), 0)
