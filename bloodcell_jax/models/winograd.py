"""Convolutions of 3x3 at stride 1 by Winograd's algorithm F(2x2, 3x3), for a CPU.

The input is cut into tiles of 4x4 that overlap by two. A tile and a kernel are each transformed by additions to 16
numbers a channel; those are multiplied and summed over channels, which is 16 products of matrices for all tiles; and
additions make 2x2 outputs of the sums. So an output takes 4 multiplications a channel in place of 9. The gradient by
the kernel is the same products, transposed.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]
# The transformed tiles of a piece of the batch take at most so many bytes, so that memory does not grow with the batch.
_PIECE_BYTES = 48 * 2**20


def is_faster(height: int, width: int, num_in: int, num_out: int) -> bool:
  """Whether a convolution of 3x3 is faster in this way than directly; measured, see docs/performance.md.

  Args:
    height: of its output.
    width: of its output.
    num_in: channels of its input.
    num_out: channels of its output.
  """
  least = min(num_in, num_out)
  return least >= 192 or (least >= 64 and min(height, width) >= 37)


def is_gradient_faster(num_in: int, num_out: int) -> bool:
  """Whether its gradient by the kernel is; the arguments are those of `is_faster`."""
  return min(num_in, num_out) >= 192


def convolve(x_BHWC: jax.Array, kernel_HWIO: jax.Array, pads: Pads) -> jax.Array:
  """The convolution of stride 1 with a kernel of 3x3, NHWC.

  **Guarantees**: that of `fast_conv.native` to a few units in the last place of the largest sum.

  Args:
    x_BHWC: input.
    kernel_HWIO: kernel.
    pads: zeros before and after rows and columns.
  """
  height, width = output_size(x_BHWC, pads)
  kernels = _kernels(kernel_HWIO)
  outputs: list[jax.Array] = []
  for piece in _pieces(x_BHWC):
    x = _padded(x_BHWC[piece], pads, height, width)
    if outputs:
      # A barrier, so that the tiles of one piece at a time lie in memory.
      x, outputs[-1] = lax.optimization_barrier((x, outputs[-1]))
    outputs.append(_convolve(x, kernels))
  return jnp.concatenate(outputs)[:, :height, :width]


def kernel_gradient(x_BHWC: jax.Array, pads: Pads, g_BHWO: jax.Array) -> jax.Array:
  """The gradient [3, 3, C, O] of `sum(g * convolve(x, kernel))` by the kernel."""
  height, width = g_BHWO.shape[1:3]
  sums: list[jax.Array] = []
  for piece in _pieces(x_BHWC):
    x = _padded(x_BHWC[piece], pads, height, width)
    g = jnp.pad(g_BHWO[piece], ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    if sums:
      x, g, sums = lax.optimization_barrier((x, g, sums))
    products = [a.T @ b for a, b in zip(_input_tiles(x), _output_tiles(g), strict=True)]
    sums = [a + b for a, b in zip(sums, products, strict=True)] if sums else products
  columns = [
    _taps([sums[4 * a + b] for a in range(4)]) for b in range(4)
  ]  # [column of the tile][row of the kernel]
  return jnp.stack([jnp.stack(_taps([column[i] for column in columns])) for i in range(3)])


def output_size(x_BHWC: jax.Array, pads: Pads) -> tuple[int, int]:
  """Height and width of the convolution by a kernel of 3x3."""
  height, width = (size + sum(pad) - 2 for size, pad in zip(x_BHWC.shape[1:3], pads, strict=True))
  return height, width


def _pieces(x_BHWC: jax.Array) -> list[slice]:
  """The batch in pieces, the transformed tiles of each about four times its images."""
  size = max(1, _PIECE_BYTES // max(1, 4 * x_BHWC[0].size * x_BHWC.dtype.itemsize))
  return [slice(start, start + size) for start in range(0, len(x_BHWC), size)]


def _padded(x_BHWC: jax.Array, pads: Pads, height: int, width: int) -> jax.Array:
  """The input of whole tiles: with its pads, and one row or column more where the output's number is odd."""
  (top, bottom), (left, right) = pads
  return jnp.pad(x_BHWC, ((0, 0), (top, bottom + height % 2), (left, right + width % 2), (0, 0)))


def _input_tiles(x_BHWC: jax.Array) -> list[jax.Array]:
  """Of every tile its 16 transformed numbers, each as [tiles, C]; row by row."""
  tiles = (column for row in _differences(x_BHWC, 1) for column in _differences(row, 2))
  return [each.reshape(-1, x_BHWC.shape[-1]) for each in tiles]


def _differences(x: jax.Array, axis: int) -> list[jax.Array]:
  num = (x.shape[axis] - 2) // 2
  a, b, c, d = (lax.slice_in_dim(x, i, i + 2 * num - 1, 2, axis) for i in range(4))
  return [a - c, b + c, c - b, b - d]


def _output_tiles(g_BHWO: jax.Array) -> list[jax.Array]:
  """The transpose of what makes outputs of sums: of every tile of 2x2 cotangents 16 numbers, each as [tiles, O]."""

  def spread(g: jax.Array, axis: int) -> list[jax.Array]:
    a, b = (lax.slice_in_dim(g, i, None, 2, axis) for i in (0, 1))
    return [a, a + b, a - b, -b]

  tiles = (column for row in spread(g_BHWO, 1) for column in spread(row, 2))
  return [each.reshape(-1, g_BHWO.shape[-1]) for each in tiles]


def _kernels(kernel_HWIO: jax.Array) -> list[jax.Array]:
  """The 16 transformed numbers of a kernel, each as [C, O]; row by row."""

  def spread(taps: list[jax.Array]) -> list[jax.Array]:
    ends = (taps[0] + taps[2]) / 2
    return [taps[0], ends + taps[1] / 2, ends - taps[1] / 2, taps[2]]

  columns = [
    spread([kernel_HWIO[i, j] for i in range(3)]) for j in range(3)
  ]  # [column of the kernel][row of the tile]
  return [each for a in range(4) for each in spread([column[a] for column in columns])]


def _taps(m: list[jax.Array]) -> list[jax.Array]:
  """The transpose of what spreads a kernel, in one direction."""
  ends = (m[1] + m[2]) / 2
  return [m[0] + ends, (m[1] - m[2]) / 2, ends + m[3]]


def _convolve(x_BHWC: jax.Array, kernels: list[jax.Array]) -> jax.Array:
  """The convolution of an input of whole tiles by a transformed kernel."""
  batch, high, wide = len(x_BHWC), *((size - 2) // 2 for size in x_BHWC.shape[1:3])
  num_out = kernels[0].shape[-1]
  # Products one by one: a batched product is up to a third slower.
  products = (tile @ kernel for tile, kernel in zip(_input_tiles(x_BHWC), kernels, strict=True))
  sums = [each.reshape(batch, high, wide, num_out) for each in products]
  halves = [
    _sums([sums[4 * a + b] for a in range(4)]) for b in range(4)
  ]  # [column of the tile][row of the output]
  rows = [jnp.stack(_sums([half[i] for half in halves]), 3) for i in (0, 1)]
  return jnp.stack(rows, 2).reshape(batch, 2 * high, 2 * wide, num_out)


def _sums(m: list[jax.Array]) -> list[jax.Array]:
  """The two outputs in one direction."""
  return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
