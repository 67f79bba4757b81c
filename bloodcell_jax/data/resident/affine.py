"""The affine transformations of `augmentation.affine` in JAX, which has no double precision on an accelerator.

A sampled point is a whole number and a fraction of 32 bits. The fraction is computed in unsigned integers, whose
overflow drops whole pixels and nothing else, so that it is exact to 1e-7 of a pixel; the whole number needs single
precision only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# A coordinate: whole pixels, int32, and 2**-32 of a pixel, uint32.
Point = tuple[jax.Array, jax.Array]
_HALF = np.uint32(2**31)


def fractions(matrix_BD: np.ndarray) -> np.ndarray:
  """The fractional parts of float64 numbers in units of 2**-32, as uint32.

  Example:
    >>> fractions(np.array([0.5, -0.25, 3.0, -1e-17])).tolist()
    [2147483648, 3221225472, 0, 0]
  """
  return np.round((matrix_BD - np.floor(matrix_BD)) * 2.0**32).astype(np.uint64).astype(np.uint32)


def make(
  height: int, width: int, fill_mode: str, cval: float, interpolation_order: int
) -> Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]:
  """A function (image_BHWC, matrix_B6, fraction_B6, flip_B2) -> float32 image_BHWC.

  **Guarantees**: the pixels of the function of `augmentation.affine.make` for the same matrices, to 1e-3 of a grey
  level, but for points that lie exactly on a border or between two pixels up to the rounding of double precision.

  Args:
    height: of the images.
    width: of the images.
    fill_mode: one of `augmentation.affine.FILL_MODES`.
    cval: the grey level of `constant`.
    interpolation_order: 0 takes the nearest pixel, 1 is linear.
  """

  def apply(
    image_BHWC: jax.Array, matrix_B6: jax.Array, fraction_B6: jax.Array, flip_B2: jax.Array
  ) -> jax.Array:
    index = (_index(height, flip_B2[:, 1])[:, :, None], _index(width, flip_B2[:, 0])[:, None, :])
    near, far, weight = [], [], []
    inside: Any = True
    for axis, size in enumerate((height, width)):
      columns = slice(3 * axis, 3 * axis + 3)
      point = _point(matrix_B6[:, columns, None, None], fraction_B6[:, columns, None, None], *index)
      if fill_mode == 'constant':
        inside &= _is_inside(point, size)
      whole, part = _fold(point, size, fill_mode)
      if interpolation_order == 0:
        whole += part >= _HALF
      near.append(jnp.clip(whole, 0, size - 1))
      far.append(jnp.clip(whole + 1, 0, size - 1))
      weight.append((part.astype(jnp.float32) * np.float32(2**-32))[..., None])
    first_B = jnp.arange(len(image_BHWC))[:, None, None]

    def at(row_BHW: jax.Array, column_BHW: jax.Array) -> jax.Array:
      taken = image_BHWC.at[first_B, row_BHW, column_BHW].get(mode='promise_in_bounds')
      return taken.astype(jnp.float32)

    if interpolation_order == 0:
      result_BHWC = at(near[0], near[1])
    else:
      above = _between(at(near[0], near[1]), at(near[0], far[1]), weight[1])
      below = _between(at(far[0], near[1]), at(far[0], far[1]), weight[1])
      result_BHWC = _between(above, below, weight[0])
    if fill_mode == 'constant':
      result_BHWC = jnp.where(inside[..., None], result_BHWC, np.float32(cval))
    return result_BHWC

  return apply


def _between(first: jax.Array, second: jax.Array, weight: jax.Array) -> jax.Array:
  return first + weight * (second - first)


def _index(size: int, flip_B: jax.Array) -> jax.Array:
  """[B, size] int32: 0 to size - 1, reversed where flipped."""
  forward = jnp.arange(size, dtype=jnp.int32)[None]
  return jnp.where(flip_B[:, None], size - 1 - forward, forward)


def _point(matrix: jax.Array, fraction: jax.Array, row_B: jax.Array, column_B: jax.Array) -> Point:
  """The coordinate on one axis that each pixel of the result samples; `matrix` has the factors of row, column and 1."""
  row_u, column_u = row_B.astype(jnp.uint32), column_B.astype(jnp.uint32)
  part = fraction[:, 2] + row_u * fraction[:, 0] + column_u * fraction[:, 1]
  rough = matrix[:, 2] + row_B * matrix[:, 0] + column_B * matrix[:, 1]
  return jnp.round(rough - part.astype(jnp.float32) * np.float32(2**-32)).astype(jnp.int32), part


def _is_inside(point: Point, size: int) -> jax.Array:
  whole, part = point
  return (whole >= 0) & ((whole < size - 1) | ((whole == size - 1) & (part == 0)))


def _fold(point: Point, size: int, fill_mode: str) -> Point:
  """Maps points outside the image to equivalent ones inside (with `reflect` up to one pixel outside)."""
  whole, part = point
  last = size - 1
  if fill_mode in ('nearest', 'constant') or size == 1:
    is_within = (whole >= 0) & (whole < last)
    return jnp.clip(whole, 0, last), jnp.where(is_within, part, 0)
  if fill_mode == 'wrap':
    is_above = (whole > last) | ((whole == last) & (part > 0))
    # SciPy leaves a point on the last pixel there, and moves one that is whole periods below to the last pixel too.
    periods = (-whole - (part > 0)) // last + 1
    folded = jnp.where(whole < 0, whole + last * periods, whole)
    return jnp.where(is_above, whole - last * (whole // last), folded), part
  whole = whole % (2 * size)
  # Beyond the last pixel, 2 * size - 1 minus the point.
  mirrored = 2 * size - 1 - whole - (part > 0)
  is_mirrored = whole >= size
  return jnp.where(is_mirrored, mirrored, whole), jnp.where(is_mirrored, -part, part)
