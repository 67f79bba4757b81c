"""2x2 max-pooling, alone or fused with a convolution of stride 1, with gradients that are fast on a CPU too."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bloodcell_jax.models import block_conv, fast_conv

# With at most so many input channels, as of images, a CPU spends its time on gathering pixels, not on multiplying.
FEW_CHANNELS = 4


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def conv_relu_pool(
  x_BHWC: jax.Array, kernel_HWIO: jax.Array, bias_O: jax.Array, pads: fast_conv.Pads, algorithm: str
) -> jax.Array:
  """`max_pool(relu(conv(x) + bias))` with windows of 2x2, storing one byte per window for the gradient.

  Relu and the addition of a bias are monotone, so the pooling can come first: the full-sized map is neither stored nor
  read again. Of equal values in a window the first, row by row, gets the gradient, as in XLA's select-and-scatter.

  **Guarantees**: as `conv`'s.
  """
  return _pooled_forward(x_BHWC, kernel_HWIO, bias_O, pads, algorithm)[0]


def _pooled_forward(
  x_BHWC: jax.Array, kernel_HWIO: jax.Array, bias_O: jax.Array, pads: fast_conv.Pads, algorithm: str
) -> tuple[jax.Array, Any]:
  def on_cpu(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    if x.shape[-1] <= FEW_CHANNELS:
      return block_conv.convolve_and_pool(x, kernel, pads)
    return pool_with_place(fast_conv.cpu_values(x, kernel, pads, algorithm))

  def whole(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    return pool_with_place(fast_conv.native(x, kernel, pads))

  largest, place = lax.platform_dependent(x_BHWC, kernel_HWIO, cpu=on_cpu, default=whole)
  y = jax.nn.relu(largest + bias_O.reshape(1, 1, 1, -1))
  return y, (x_BHWC, kernel_HWIO, y, place)


def _pooled_backward(
  pads: fast_conv.Pads, algorithm: str, residuals: Any, g_BHWO: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  x_BHWC, kernel_HWIO, y, place = residuals
  g_BHWO = jnp.where(y > 0, g_BHWO, 0)
  height, width = (
    size + sum(pad) - k + 1
    for size, pad, k in zip(x_BHWC.shape[1:3], pads, kernel_HWIO.shape[:2], strict=True)
  )
  dz = spread(place, g_BHWO, height, width)
  dx, dkernel = fast_conv.gradients(x_BHWC, kernel_HWIO, pads, algorithm, dz)
  return dx, dkernel, sum_by_channel(g_BHWO)


conv_relu_pool.defvjp(_pooled_forward, _pooled_backward)


def sum_by_channel(g_BHWO: jax.Array) -> jax.Array:
  """The sum [O] over images and places, as a matrix product: on a CPU XLA's reduction takes ten times as long."""
  g_NO = g_BHWO.reshape(-1, g_BHWO.shape[-1])
  wide = jnp.promote_types(g_NO.dtype, jnp.float32)
  total_O = jnp.matmul(jnp.ones(len(g_NO), g_NO.dtype), g_NO, preferred_element_type=wide)
  return total_O.astype(g_NO.dtype)


def pool_with_place(z_BHWC: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The largest value of each 2x2 window, and the place of the first such: int8, 0 to 3, row by row."""
  batch, height, width, channels = z_BHWC.shape
  h, w = height // 2, width // 2
  windows = z_BHWC[:, : 2 * h, : 2 * w].reshape(batch, h, 2, w, 2, channels)
  a, b, c, d = (windows[:, :, i, :, j] for i in (0, 1) for j in (0, 1))
  largest = jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))
  place = jnp.where(a == largest, 0, jnp.where(b == largest, 1, jnp.where(c == largest, 2, 3)))
  return largest, place.astype(jnp.int8)


def spread(place: jax.Array, g_BhwC: jax.Array, height: int, width: int) -> jax.Array:
  """The gradient of the pooling: each window's cotangent at its place, zeros elsewhere, [B, height, width, C]."""
  batch, h, w, channels = g_BhwC.shape
  at = jnp.arange(4, dtype=jnp.int8).reshape(1, 1, 2, 1, 2, 1)
  dz = jnp.where(place[:, :, None, :, None] == at, g_BhwC[:, :, None, :, None], 0)
  dz = dz.reshape(batch, 2 * h, 2 * w, channels)
  return jnp.pad(dz, ((0, 0), (0, height - 2 * h), (0, width - 2 * w), (0, 0)))


@jax.custom_vjp
def max_pool(z_BHWC: jax.Array) -> jax.Array:
  """The largest value of each 2x2 window, without overlap; an odd last row or column is left out.

  **Guarantees**: values and gradients of `flax.linen.max_pool(z, (2, 2), (2, 2))`, ties included.

  Source: Keras `MaxPooling2D()`.
  """
  return pool_with_place(z_BHWC)[0]


def _pool_forward(z_BHWC: jax.Array) -> tuple[jax.Array, Any]:
  largest, place = pool_with_place(z_BHWC)
  # An empty array of that size: residuals must be arrays.
  return largest, (place, jnp.zeros((0, *z_BHWC.shape[1:3])))


def _pool_backward(residuals: Any, g: jax.Array) -> tuple[jax.Array]:
  place, size = residuals
  return (spread(place, g, *size.shape[1:]),)


max_pool.defvjp(_pool_forward, _pool_backward)
