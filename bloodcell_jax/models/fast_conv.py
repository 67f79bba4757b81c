"""Convolutions whose gradients are fast on a CPU too; the same mathematics, in an order that stays in cache.

XLA's CPU backend runs a forward convolution near the machine's limit, but its kernel gradient of a whole batch at a
tenth of that. Here, on a CPU alone, the kernel gradient is a sum of forward convolutions, one an image, and the input
gradient a forward convolution of the padded cotangent. Other platforms keep XLA's own gradients.
`docs/performance.md` has the measurements.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# A batch is unrolled into pieces whose input and cotangent fit this many bytes, about what a core's second-level cache
# holds beside the kernel, but into no more than MOST_PIECES, so that a large batch does not make a program that takes
# minutes to compile. Measured: the second layer of CNN B takes 83 ms by single images, 210 by pairs, 361 by fives.
CACHE_BYTES = 2**20
MOST_PIECES = 64
Pads = tuple[tuple[int, int], tuple[int, int]]


def native(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads) -> jax.Array:
  """The convolution of stride 1 as XLA differentiates it."""
  return lax.conv_general_dilated(
    x_BHWC, kernel_HWIO, (1, 1), pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def pads(padding: str, kernel_size: tuple[int, int]) -> Pads:
  """Rows and columns of zeros before and after for 'valid' or 'same' at stride 1. Source: Keras `Conv2D`.

  Example:
    >>> pads('same', (3, 4))
    ((1, 1), (1, 2))
  """
  if padding == 'valid':
    return ((0, 0), (0, 0))
  if padding != 'same':
    raise ValueError(f'padding is {padding!r}; it must be valid or same')
  (a, b), (c, d) = (((size - 1) // 2, size // 2) for size in kernel_size)
  return ((a, b), (c, d))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads) -> jax.Array:
  """The convolution of stride 1, NHWC.

  **Guarantees**: values and gradients are those of `native` but for the order of float sums. Second derivatives
  work by differentiating the gradient in either mode; `jax.jvp` of the function itself raises a TypeError.

  Args:
    x_BHWC: input.
    kernel_HWIO: kernel.
    pads: zeros before and after rows and columns.
  """
  return native(x_BHWC, kernel_HWIO, pads)


def _forward(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads) -> tuple[jax.Array, Any]:
  return native(x_BHWC, kernel_HWIO, pads), (x_BHWC, kernel_HWIO)


def _backward(pads: Pads, residuals: Any, g_BHWO: jax.Array) -> tuple[jax.Array, jax.Array]:
  x_BHWC, kernel_HWIO = residuals
  return gradients(x_BHWC, kernel_HWIO, pads, g_BHWO)


conv.defvjp(_forward, _backward)


def gradients(
  x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, g_BHWO: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The gradients by input and kernel of `sum(g * conv(x, kernel))`. One that nobody uses costs nothing."""

  def by_xla(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vjp(lambda x, kernel: native(x, kernel, pads), x, kernel)[1](g)

  def by_images(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _input_gradient(kernel, pads, g), _kernel_gradient(x, pads, g)

  return lax.platform_dependent(x_BHWC, kernel_HWIO, g_BHWO, cpu=by_images, default=by_xla)


def _input_gradient(kernel_HWIO: jax.Array, pads: Pads, g_BHWO: jax.Array) -> jax.Array:
  # Turned before and not within the convolution: a window reversal would leave the fast path.
  turned = lax.optimization_barrier(kernel_HWIO[::-1, ::-1].transpose(0, 1, 3, 2))
  rows, columns = kernel_HWIO.shape[:2]
  (top, bottom), (left, right) = pads
  around = ((rows - 1 - top, rows - 1 - bottom), (columns - 1 - left, columns - 1 - right))
  return native(g_BHWO, turned, around)


def _kernel_gradient(x_BHWC: jax.Array, pads: Pads, g_BHWO: jax.Array) -> jax.Array:
  num_images = len(x_BHWC)
  fit = CACHE_BYTES * num_images // (x_BHWC.nbytes + g_BHWO.nbytes)
  size = max(fit, -(-num_images // MOST_PIECES), 1)
  total = None
  for start in range(0, num_images, size):
    x, g = x_BHWC[start : start + size], g_BHWO[start : start + size]
    if total is not None:
      # One piece after the other: together they would not fit the cache.
      x, g, total = lax.optimization_barrier((x, g, total))
    # Channels as the batch, the batch as channels: a forward convolution whose kernel is the cotangent.
    piece = native(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), pads)
    total = piece if total is None else total + piece
  assert total is not None, 'a batch has at least one image'
  return total.transpose(1, 2, 0, 3)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def conv_relu_pool(x_BHWC: jax.Array, kernel_HWIO: jax.Array, bias_O: jax.Array, pads: Pads) -> jax.Array:
  """`max_pool(relu(conv(x) + bias))` with windows of 2x2, remembering one byte a window.

  Since relu and adding a bias keep order, the pooling comes first: the full-sized map is neither kept nor read
  again. Among equals in a window the first, row by row, gets the gradient, as in XLA's select-and-scatter.

  **Guarantees**: as `conv`'s.
  """
  return _pooled_forward(x_BHWC, kernel_HWIO, bias_O, pads)[0]


def _pooled_forward(
  x_BHWC: jax.Array, kernel_HWIO: jax.Array, bias_O: jax.Array, pads: Pads
) -> tuple[jax.Array, Any]:
  z_BHWO = native(x_BHWC, kernel_HWIO, pads)
  largest, place = pool_with_place(z_BHWO)
  y = jax.nn.relu(largest + bias_O.reshape(1, 1, 1, -1))
  return y, (x_BHWC, kernel_HWIO, y, place)


def _pooled_backward(pads: Pads, residuals: Any, g_BHWO: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  x_BHWC, kernel_HWIO, y, place = residuals
  g_BHWO = jnp.where(y > 0, g_BHWO, 0)
  height, width = (
    size + sum(pad) - k + 1
    for size, pad, k in zip(x_BHWC.shape[1:3], pads, kernel_HWIO.shape[:2], strict=True)
  )
  dz = spread(place, g_BHWO, height, width)
  dx, dkernel = gradients(x_BHWC, kernel_HWIO, pads, dz)
  return dx, dkernel, g_BHWO.sum((0, 1, 2))


conv_relu_pool.defvjp(_pooled_forward, _pooled_backward)


def pool_with_place(z_BHWC: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The largest of each 2x2 window and, as int8 0 to 3 row by row, where the first such stands."""
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
  """The largest of each 2x2 window, windows side by side, an odd last row or column left out.

  **Guarantees**: values and gradients of `flax.linen.max_pool(z, (2, 2), (2, 2))`, ties included.

  Source: Keras `MaxPooling2D()`.
  """
  return pool_with_place(z_BHWC)[0]


def _pool_forward(z_BHWC: jax.Array) -> tuple[jax.Array, Any]:
  largest, place = pool_with_place(z_BHWC)
  # An empty array carries the size: residuals must be arrays.
  return largest, (place, jnp.zeros((0, *z_BHWC.shape[1:3])))


def _pool_backward(residuals: Any, g: jax.Array) -> tuple[jax.Array]:
  place, size = residuals
  return (spread(place, g, *size.shape[1:]),)


max_pool.defvjp(_pool_forward, _pool_backward)
