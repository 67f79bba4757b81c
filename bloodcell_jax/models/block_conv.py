"""A convolution followed by 2x2 pooling, as one convolution over blocks of 2x2 pixels, for a CPU.

The four places of a pooling window become four groups of output channels, and the four pixels of a block become input
channels: four times the channels at a quarter of the places, where pooling is the maximum of four neighbours in memory.
This multiplies some zeros, and is faster only for so few input channels, such as an image's three, that gathering takes
longer than multiplying. Its gradients are not faster; `fast_pool` uses those of the convolution itself.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from bloodcell_jax.models import fast_conv

VALID = ((0, 0), (0, 0))


def convolve_and_pool(
  x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: fast_conv.Pads
) -> tuple[jax.Array, jax.Array]:
  """The largest value of each 2x2 window of the convolution, and its place as in `fast_pool.pool_with_place`."""
  blocks = _blocks(x_BHWC, kernel_HWIO, pads)
  z_BhwP = fast_conv.native(blocks, _block_kernel(kernel_HWIO), VALID)
  a, b, c, d = jnp.split(z_BhwP, 4, axis=-1)
  largest = jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))
  place = jnp.where(a == largest, 0, jnp.where(b == largest, 1, jnp.where(c == largest, 2, 3)))
  return largest, place.astype(jnp.int8)


def _blocks(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: fast_conv.Pads) -> jax.Array:
  """The padded input as [B, rows of blocks, columns of blocks, 4C], as many blocks as the pooled output needs."""
  sides = []
  for size, pad, k in zip(x_BHWC.shape[1:3], pads, kernel_HWIO.shape[:2], strict=True):
    num_pooled = (size + sum(pad) - k + 1) // 2
    sides.append(num_pooled + _reach(k) - 1)
  # An odd last row is cut off, or a row of zeros added that no complete window reads.
  config = [(0, 0, 0)]
  for size, pad, side in zip(x_BHWC.shape[1:3], pads, sides, strict=True):
    config.append((pad[0], 2 * side - size - pad[0], 0))
  x = lax.pad(x_BHWC, jnp.zeros([], x_BHWC.dtype), [*config, (0, 0, 0)])
  x = x.reshape(len(x), sides[0], 2, sides[1], 2, x.shape[-1]).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(*x.shape[:3], -1)


def _reach(k: int) -> int:
  """How many blocks in a row the convolutions of one window read, with a kernel of `k` pixels a side."""
  return (k + 2) // 2


def _block_kernel(kernel_HWIO: jax.Array) -> jax.Array:
  """The kernel over blocks, [reach, reach, 4I, 4O]."""
  rows, columns, num_in, num_out = kernel_HWIO.shape
  high, wide = 2 * _reach(rows), 2 * _reach(columns)
  parts = []
  for i in (0, 1):
    for j in (0, 1):
      pad = ((i, high - rows - i), (j, wide - columns - j), (0, 0), (0, 0))
      part = jnp.pad(kernel_HWIO, pad).reshape(high // 2, 2, wide // 2, 2, num_in, num_out)
      parts.append(part.transpose(0, 2, 1, 3, 4, 5).reshape(high // 2, wide // 2, 4 * num_in, num_out))
  return jnp.concatenate(parts, axis=-1)
