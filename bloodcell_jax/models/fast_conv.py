"""Convolutions whose gradients are fast on a CPU too: the same mathematics, in an order that stays in cache.

XLA's CPU backend runs a forward convolution near the machine's peak, but the kernel gradient of a whole batch at a
tenth of that. On a CPU, therefore, the kernel gradient is computed as a sum of forward convolutions, one per image, and
the input gradient as a forward convolution of the padded cotangent. With the algorithm `WINOGRAD` those of 3x3 go
the way of `winograd` where that is faster. Other platforms use XLA's own convolutions and gradients.
`docs/performance.md` has the measurements.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bloodcell_jax.models import winograd

# A batch is split into pieces whose input and cotangent fit into this many bytes, about a core's second-level cache
# less the kernel, but into at most MOST_PIECES, because a program of more takes minutes to compile. The second layer
# of CNN B takes 83 ms image by image, 210 in pairs, 361 in fives.
CACHE_BYTES = 2**20
MOST_PIECES = 64
# Independent partial sums, so that one core computes while the other copies a piece.
NUM_CHAINS = 2
DIRECT, WINOGRAD, COMPILED = 'direct', 'winograd', 'compiled'
ALGORITHMS = (COMPILED, WINOGRAD, DIRECT)
Pads = winograd.Pads


def native(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads) -> jax.Array:
  """The convolution of stride 1, with XLA's own gradients."""
  return lax.conv_general_dilated(
    x_BHWC, kernel_HWIO, (1, 1), pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def strided(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, strides: tuple[int, int]) -> jax.Array:
  """The convolution of any strides, values and gradients XLA's own."""
  return lax.conv_general_dilated(
    x_BHWC, kernel_HWIO, strides, pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def pads(padding: str, kernel_size: tuple[int, int]) -> Pads:
  """Rows and columns of zeros before and after for 'valid' or 'same' at stride 1. Source: Keras `Conv2D`.

  Example:
    >>> pads('same', (3, 4))
    ((1, 1), (1, 2))
  """
  return window_pads(
    padding, kernel_size, kernel_size, (1, 1)
  )  # at stride 1 the input's size does not matter


def window_pads(
  padding: str | Pads, size: tuple[int, ...], window: tuple[int, int], strides: tuple[int, int]
) -> Pads:
  """Rows and columns of padding before and after an input of this height and width.

  'same' makes ceil(size / stride) outputs, and pads more at the end than at the beginning where the two differ.

  Args:
    padding: valid, same, or the numbers themselves.
    size: height and width of the input, in pixels.
    window: height and width of the kernel or of the pooling window.
    strides: of rows and columns.

  Raises:
    ValueError: another padding.

  Source: Keras `Conv2D`; TensorFlow's SAME.

  Example:
    >>> window_pads('same', (8, 9), (3, 3), (2, 2))
    ((0, 1), (1, 1))
  """
  if not isinstance(padding, str):
    return padding
  if padding == 'valid':
    return ((0, 0), (0, 0))
  if padding != 'same':
    raise ValueError(f'padding is {padding!r}; it must be valid or same')
  totals = (
    max((-(-n // stride) - 1) * stride + k - n, 0) for n, k, stride in zip(size, window, strides, strict=True)
  )
  (a, b), (c, d) = ((total // 2, total - total // 2) for total in totals)
  return ((a, b), (c, d))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, algorithm: str) -> jax.Array:
  """The convolution of stride 1, NHWC.

  **Guarantees**: values and gradients are those of `native` but for the order of float sums. The gradient can be
  differentiated again in either mode; `jax.jvp` of the function itself raises a TypeError.

  Args:
    x_BHWC: input.
    kernel_HWIO: kernel.
    pads: zeros before and after rows and columns.
    algorithm: one of ALGORITHMS.
  """
  return _values(x_BHWC, kernel_HWIO, pads, algorithm)


def _values(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, algorithm: str) -> jax.Array:
  if algorithm == DIRECT:
    return native(x_BHWC, kernel_HWIO, pads)

  def on_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return cpu_values(x, kernel, pads, algorithm)

  def by_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return native(x, kernel, pads)

  return lax.platform_dependent(x_BHWC, kernel_HWIO, cpu=on_cpu, default=by_xla)


def cpu_values(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, algorithm: str) -> jax.Array:
  """What `conv` computes on a CPU; its gradients are those of the way in which it is computed."""
  by_winograd = is_winograd(x_BHWC, kernel_HWIO, pads, algorithm)
  return (winograd.convolve if by_winograd else native)(x_BHWC, kernel_HWIO, pads)


def is_winograd(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, algorithm: str) -> bool:
  """Whether `cpu_values` goes the way of Winograd."""
  return _can_be_winograd(x_BHWC, kernel_HWIO, algorithm) and winograd.is_faster(
    *winograd.output_size(x_BHWC, pads), *kernel_HWIO.shape[2:]
  )


def _can_be_winograd(x_BHWC: jax.Array, kernel_HWIO: jax.Array, algorithm: str) -> bool:
  # Its sums of differences need more digits than bfloat16 has.
  is_exact = x_BHWC.dtype in (jnp.float32, jnp.float64)
  return algorithm != DIRECT and kernel_HWIO.shape[:2] == (3, 3) and is_exact


def _forward(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, algorithm: str) -> tuple[jax.Array, Any]:
  return _values(x_BHWC, kernel_HWIO, pads, algorithm), (x_BHWC, kernel_HWIO)


def _backward(pads: Pads, algorithm: str, residuals: Any, g_BHWO: jax.Array) -> tuple[jax.Array, jax.Array]:
  x_BHWC, kernel_HWIO = residuals
  return gradients(x_BHWC, kernel_HWIO, pads, algorithm, g_BHWO)


conv.defvjp(_forward, _backward)


def gradients(
  x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads, algorithm: str, g_BHWO: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The gradients of `sum(g * conv(x, kernel))` by input and kernel. XLA removes one that is not used."""

  def by_xla(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vjp(lambda x, kernel: native(x, kernel, pads), x, kernel)[1](g)

  def on_cpu(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    is_faster = _can_be_winograd(x, kernel, algorithm) and winograd.is_gradient_faster(*kernel.shape[2:])
    by_kernel = winograd.kernel_gradient if is_faster else kernel_gradient
    return _input_gradient(kernel, pads, algorithm, g), by_kernel(x, pads, g)

  return lax.platform_dependent(x_BHWC, kernel_HWIO, g_BHWO, cpu=on_cpu, default=by_xla)


def _input_gradient(kernel_HWIO: jax.Array, pads: Pads, algorithm: str, g_BHWO: jax.Array) -> jax.Array:
  # Flipped before the convolution: a convolution with window reversal would leave XLA's fast path.
  flipped = lax.optimization_barrier(kernel_HWIO[::-1, ::-1].transpose(0, 1, 3, 2))
  rows, columns = kernel_HWIO.shape[:2]
  (top, bottom), (left, right) = pads
  around = ((rows - 1 - top, rows - 1 - bottom), (columns - 1 - left, columns - 1 - right))
  return cpu_values(g_BHWO, flipped, around, algorithm)


def kernel_gradient(x_BHWC: jax.Array, pads: Pads, g_BHWO: jax.Array) -> jax.Array:
  """The gradient of `sum(g * native(x, kernel, pads))` by the kernel, in pieces of the batch; for a CPU."""
  num_images, height, width, channels = x_BHWC.shape
  rows = height + sum(pads[0]) - g_BHWO.shape[1] + 1
  columns = width + sum(pads[1]) - g_BHWO.shape[2] + 1
  if g_BHWO.dtype.itemsize * rows * columns * channels * g_BHWO.shape[-1] > CACHE_BYTES:
    # Pieces do not help where the sum itself exceeds the cache: 512 to 512 channels take 135 ms so, 107 at once.
    return native(x_BHWC.transpose(3, 1, 2, 0), g_BHWO.transpose(1, 2, 0, 3), pads).transpose(1, 2, 0, 3)
  fit = CACHE_BYTES * num_images // (x_BHWC.nbytes + g_BHWO.nbytes)
  size = max(fit, -(-num_images // MOST_PIECES), 1)
  # Transposed once for the whole batch: a transpose for each image would be slow.
  x_BCHW1 = x_BHWC.reshape(num_images, height * width, channels).swapaxes(1, 2)
  x_BCHW1 = lax.optimization_barrier(x_BCHW1).reshape(num_images, channels, height, width, 1)
  totals: list[jax.Array] = []
  for i, start in enumerate(range(0, num_images, size)):
    x = x_BCHW1[start] if size == 1 else x_BHWC[start : start + size].transpose(3, 1, 2, 0)
    g = g_BHWO[start : start + size]
    if i >= NUM_CHAINS:
      # A barrier, so that pieces run one after the other: together they would not fit into the cache.
      x, g, totals[i % NUM_CHAINS] = lax.optimization_barrier((x, g, totals[i % NUM_CHAINS]))
    # A forward convolution with channels as batch, batch as channels, and the cotangent as kernel.
    # Added up in float32 at least: a sum over hundreds of images in bfloat16 would lose the last of them.
    piece = native(x, g.transpose(1, 2, 0, 3), pads).astype(jnp.promote_types(x.dtype, jnp.float32))
    if i < NUM_CHAINS:
      totals.append(piece)
    else:
      totals[i % NUM_CHAINS] += piece
  return functools.reduce(jnp.add, totals).transpose(1, 2, 0, 3).astype(x_BHWC.dtype)
