"""2x2 max-pooling, alone or fused with a convolution of stride 1, with gradients that are fast on a CPU too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bloodcell_jax.models import block_conv, compiled_pool, fast_conv

# With at most so many input channels, as of images, a CPU spends its time on gathering pixels, not on multiplying.
FEW_CHANNELS = 4
Values = tuple[jax.Array, jax.Array]  # pooled map and place
Gradients = tuple[jax.Array, jax.Array, jax.Array]  # by input, kernel and bias


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
  def on_cpu(*args: jax.Array) -> Values:
    # Winograd's algorithm has fewer products, where it is faster than XLA and where zeros are to be padded.
    is_compiled = _is_compiled(args[0], args[1], algorithm) and not (
      any(map(any, pads)) or fast_conv.is_winograd(args[0], args[1], pads, algorithm)
    )
    return (_compiled_values if is_compiled else _values)(pads, algorithm, *args)

  def whole(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> Values:
    return _with_bias(*pool_with_place(fast_conv.native(x, kernel, pads)), bias)

  y, place = lax.platform_dependent(x_BHWC, kernel_HWIO, bias_O, cpu=on_cpu, default=whole)
  return y, (x_BHWC, kernel_HWIO, y, place)


def _pooled_backward(pads: fast_conv.Pads, algorithm: str, residuals: Any, g_BHWO: jax.Array) -> Gradients:
  def on_cpu(*args: jax.Array) -> Gradients:
    is_compiled = _is_compiled(args[0], args[1], algorithm)
    return (_compiled_gradients if is_compiled else _gradients)(pads, algorithm, *args)

  return lax.platform_dependent(
    *residuals, g_BHWO, cpu=on_cpu, default=functools.partial(_gradients, pads, algorithm)
  )


def _is_compiled(x_BHWC: jax.Array, kernel_HWIO: jax.Array, algorithm: str) -> bool:
  return algorithm == fast_conv.COMPILED and compiled_pool.is_usable(x_BHWC, kernel_HWIO)


def _values(
  pads: fast_conv.Pads, algorithm: str, x_BHWC: jax.Array, kernel_HWIO: jax.Array, bias_O: jax.Array
) -> Values:
  """The pooled map and the places of the largest values, on a CPU."""
  if x_BHWC.shape[-1] <= FEW_CHANNELS:
    return _with_bias(*block_conv.convolve_and_pool(x_BHWC, kernel_HWIO, pads), bias_O)
  return _with_bias(*pool_with_place(fast_conv.cpu_values(x_BHWC, kernel_HWIO, pads, algorithm)), bias_O)


def _with_bias(largest: jax.Array, place: jax.Array, bias_O: jax.Array) -> Values:
  return jax.nn.relu(largest + bias_O.reshape(1, 1, 1, -1)), place


def _gradients(
  pads: fast_conv.Pads,
  algorithm: str,
  x_BHWC: jax.Array,
  kernel_HWIO: jax.Array,
  y: jax.Array,
  place: jax.Array,
  g_BHWO: jax.Array,
) -> Gradients:
  """The gradients of `sum(g * y)`, on any platform."""
  g_BHWO = jnp.where(y > 0, g_BHWO, 0)
  height, width = (
    size + sum(pad) - k + 1
    for size, pad, k in zip(x_BHWC.shape[1:3], pads, kernel_HWIO.shape[:2], strict=True)
  )
  dz = spread(place, g_BHWO, height, width)
  dx, dkernel = fast_conv.gradients(x_BHWC, kernel_HWIO, pads, algorithm, dz)
  return dx, dkernel, sum_by_channel(g_BHWO)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _compiled_values(
  pads: fast_conv.Pads, algorithm: str, x_BHWC: jax.Array, kernel_HWIO: jax.Array, bias_O: jax.Array
) -> Values:
  """`_values` by compiled code."""
  return compiled_pool.values(x_BHWC, kernel_HWIO, bias_O)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _compiled_gradients(
  pads: fast_conv.Pads,
  algorithm: str,
  x_BHWC: jax.Array,
  kernel_HWIO: jax.Array,
  y: jax.Array,
  place: jax.Array,
  g_BHWO: jax.Array,
) -> Gradients:
  """`_gradients` by compiled code."""
  (top, bottom), (left, right) = pads
  padded = jnp.pad(x_BHWC, ((0, 0), (top, bottom), (left, right), (0, 0)))
  dkernel, dbias = compiled_pool.by_kernel(padded, y, place, g_BHWO, kernel_HWIO.shape)
  if x_BHWC.shape[-1] % compiled_pool.LANES:
    # Of images, whose gradient is asked for by explanations alone; where it is not, XLA removes it.
    dx = _gradients(pads, algorithm, x_BHWC, kernel_HWIO, y, place, g_BHWO)[0]
  else:
    dx = compiled_pool.by_input(kernel_HWIO, y, place, g_BHWO, padded.shape)
    dx = dx[:, top : top + x_BHWC.shape[1], left : left + x_BHWC.shape[2]]
  return dx, dkernel, dbias


def _derivative(compiled: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
  """The rule by which `compiled` is differentiated as `plain`: JAX does not see into compiled code."""

  def rule(pads: fast_conv.Pads, algorithm: str, primals: Any, tangents: Any) -> tuple[Any, Any]:
    tangent_out = jax.jvp(functools.partial(plain, pads, algorithm), primals, tangents)[1]
    return compiled(pads, algorithm, *primals), tangent_out

  return rule


_compiled_values.defjvp(_derivative(_compiled_values, _values))
_compiled_gradients.defjvp(_derivative(_compiled_gradients, _gradients))
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
