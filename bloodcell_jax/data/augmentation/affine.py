"""Affine transformations of images as Keras composes them and SciPy samples them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.data.tensorflow_cpu import tf

FILL_MODES = ('nearest', 'constant', 'reflect', 'wrap')
# Orders above 1 are splines, which need a filter over the whole image first; SciPy computes those.
INTERPOLATION_ORDERS = (0, 1, 2, 3, 4, 5)


def matrices(
  theta_B: np.ndarray,
  tx_B: np.ndarray,
  ty_B: np.ndarray,
  shear_B: np.ndarray,
  zx_B: np.ndarray,
  zy_B: np.ndarray,
  height: int,
  width: int,
  keras_version: int,
) -> np.ndarray:
  """[B, 2, 3] float64 in (row, column): maps a pixel of the result to the point of the image that it samples.

  Rotation . shift . shear . zoom about the centre `size / 2 - 0.5`, for both versions. Until the end of 2020 Keras took
  `size / 2 + 0.5`, which moved an image turned by the angle a by `sqrt(2) * |2 sin(a / 2)|` pixels.

  Keras of 2018 gave x to the rows: `height_shift_range` moves rows. Since the end of 2020 Keras exchanges the two
  axes of the finished matrix: the rows' shift moves columns, rotation turns the other way, and an image
  that is not square is turned about the point that has the centre's coordinates exchanged.

  Args:
    theta_B: rotation in degrees.
    tx_B: shift along the first axis, pixels.
    ty_B: shift along the second axis, pixels.
    shear_B: degrees.
    zx_B: of the first axis; above 1 the content gets smaller.
    zy_B: of the second axis.
    height: of the image, pixels.
    width: of the image, pixels.
    keras_version: 2: the first axis is the rows; 3: as Keras does today.

  Source: Keras 2.2 `apply_affine_transform` in `keras_preprocessing`; Keras 3.15
    `keras/src/legacy/preprocessing/image.py`.

  Example:
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> matrices(zero, 2 * one, zero, zero, one, one, 5, 7, keras_version=2)[0].tolist()
    [[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]
    >>> matrices(zero, 2 * one, zero, zero, one, one, 5, 7, keras_version=3)[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]
  """
  num = len(theta_B)
  theta_B, shear_B = np.deg2rad(theta_B), np.deg2rad(shear_B)
  matrix_B33 = _eye(num)
  matrix_B33[:, 0, 0], matrix_B33[:, 0, 1] = np.cos(theta_B), -np.sin(theta_B)
  matrix_B33[:, 1, 0], matrix_B33[:, 1, 1] = np.sin(theta_B), np.cos(theta_B)
  shift_B33 = _eye(num)
  shift_B33[:, 0, 2], shift_B33[:, 1, 2] = tx_B, ty_B
  sheared_B33 = _eye(num)
  sheared_B33[:, 0, 1], sheared_B33[:, 1, 1] = -np.sin(shear_B), np.cos(shear_B)
  zoom_B33 = _eye(num)
  zoom_B33[:, 0, 0], zoom_B33[:, 1, 1] = zx_B, zy_B
  offset_B33, reset_B33 = _eye(num), _eye(num)
  centre = (height / 2 - 0.5, width / 2 - 0.5)
  offset_B33[:, :2, 2], reset_B33[:, :2, 2] = centre, np.negative(centre)
  # Multiplied in the order of Keras, for the same rounding.
  matrix_B33 = offset_B33 @ (matrix_B33 @ shift_B33 @ sheared_B33 @ zoom_B33) @ reset_B33
  if keras_version == 3:
    matrix_B33 = matrix_B33[:, [1, 0, 2]][:, :, [1, 0, 2]]
  return matrix_B33[:, :2]


def _eye(num: int) -> np.ndarray:
  return np.tile(np.eye(3), (num, 1, 1))


def make(
  height: int, width: int, fill_mode: str, cval: float, interpolation_order: int
) -> Callable[[Any, Any, Any, Any], Any]:
  """A tensor function (image_BHWC, matrix_B23, flip_horizontal_B, flip_vertical_B) -> float32 image_BHWC.

  The images are transformed, then flipped. The sampled points are computed in double precision by the operations of
  SciPy, and the four pixels around each are gathered. TensorFlow's own `ImageProjectiveTransformV3` computes in single
  precision, which is wrong by hundredths of a grey level on fine texture, defines `wrap` differently, and is slower.

  **Guarantees**: the pixels of `scipy.ndimage.affine_transform` for these modes, to 1e-4 of a grey level.

  Args:
    height: of the images.
    width: of the images.
    fill_mode: one of FILL_MODES, for points outside. As in SciPy, `constant` begins at the centres of the outermost
      pixels, and the period of `wrap` is one pixel less than the side.
    cval: the grey level of `constant`.
    interpolation_order: one of INTERPOLATION_ORDERS: 0 takes the nearest pixel, 1 is linear.

  Source: SciPy, `map_coordinate` and `NI_GeometricTransform` in `scipy/ndimage/src/ni_interpolation.c`.
  """
  if interpolation_order > 1:
    return _by_scipy(fill_mode, cval, interpolation_order)

  def apply(image_BHWC: Any, matrix_B23: Any, flip_horizontal_B: Any, flip_vertical_B: Any) -> Any:
    row_B = _index(height, flip_vertical_B)[:, :, None]
    column_B = _index(width, flip_horizontal_B)[:, None, :]
    weight = []
    near, far = [], []
    inside: Any = True
    for axis, size in enumerate((height, width)):
      factor = matrix_B23[:, axis, :, None, None]
      # The order of summation of SciPy, so that a point exactly between two pixels is rounded to the same one.
      at_BHW = (factor[:, 2] + row_B * factor[:, 0]) + column_B * factor[:, 1]
      if fill_mode == 'constant':
        inside = inside & (at_BHW >= 0) & (at_BHW <= size - 1)
      at_BHW = _fold(at_BHW, size, fill_mode)
      floor_BHW = tf.floor(at_BHW + 0.5 if interpolation_order == 0 else at_BHW)
      index_BHW = tf.cast(floor_BHW, tf.int32)
      near.append(tf.clip_by_value(index_BHW, 0, size - 1))
      far.append(tf.clip_by_value(index_BHW + 1, 0, size - 1))
      weight.append(tf.cast(at_BHW - floor_BHW, tf.float32)[..., None])

    num = tf.shape(image_BHWC)[0]
    pixel_PC = tf.reshape(image_BHWC, [num * height * width, image_BHWC.shape[-1]])
    first_B = tf.range(num)[:, None, None] * height

    def at(row_BHW: Any, column_BHW: Any) -> Any:
      return tf.cast(tf.gather(pixel_PC, (first_B + row_BHW) * width + column_BHW), tf.float32)

    if interpolation_order == 0:
      result_BHWC = at(near[0], near[1])
    else:
      above_left, above = at(near[0], near[1]), at(near[0], far[1])
      above = above_left + weight[1] * (above - above_left)
      below_left, below = at(far[0], near[1]), at(far[0], far[1])
      below = below_left + weight[1] * (below - below_left)
      result_BHWC = above + weight[0] * (below - above)
    if fill_mode == 'constant':
      result_BHWC = tf.where(inside[..., None], result_BHWC, tf.constant(cval, tf.float32))
    return result_BHWC

  return apply


def _index(size: int, flip_B: Any) -> Any:
  """[B, size] float64: 0 to size - 1, reversed where flipped."""
  forward = tf.range(size, dtype=tf.float64)
  return tf.where(flip_B[:, None], (size - 1) - forward, forward)


def _fold(at: Any, size: int, fill_mode: str) -> Any:
  """Maps points outside the image to equivalent ones inside (with `reflect` up to one pixel outside)."""
  last = float(size - 1)
  if fill_mode in ('nearest', 'constant') or size == 1:
    return tf.clip_by_value(at, tf.constant(0, tf.float64), tf.constant(last, tf.float64))
  if fill_mode == 'wrap':
    below = at + last * (_truncate(-at / last) + 1)
    above = at - last * _truncate(at / last)
    return tf.where(at < 0, below, tf.where(at > last, above, at))
  period = 2.0 * size
  below = tf.where(at < -period, at + period * _truncate(-at / period), at)
  # The epsilon keeps a point just below 0 from being rounded to -1.
  mirrored = tf.maximum(-below, np.finfo(np.float64).eps) - 1
  below = tf.where(below < -size, below + period, mirrored)
  above = at - period * _truncate(at / period)
  above = tf.where(above >= size, period - above - 1, above)
  return tf.where(at < 0, below, tf.where(at > last, above, at))


def _truncate(ratio: Any) -> Any:
  # Truncation, as C converts to an integer; the ratios that are used are not negative.
  return tf.floor(ratio)


def _by_scipy(fill_mode: str, cval: float, interpolation_order: int) -> Callable[[Any, Any, Any, Any], Any]:
  from scipy import ndimage

  def transform(image_BHWC, matrix_B23, flip_horizontal_B, flip_vertical_B):
    result_BHWC = image_BHWC.astype(np.float32)
    for image_HWC, matrix in zip(result_BHWC, matrix_B23, strict=True):
      if (matrix != np.eye(2, 3)).any():
        for k in range(image_HWC.shape[-1]):
          image_HWC[..., k] = ndimage.affine_transform(
            image_HWC[..., k],
            matrix[:, :2],
            matrix[:, 2],
            order=interpolation_order,
            mode=fill_mode,
            cval=cval,
          )
    result_BHWC[flip_horizontal_B] = result_BHWC[flip_horizontal_B, :, ::-1]
    result_BHWC[flip_vertical_B] = result_BHWC[flip_vertical_B, ::-1]
    return result_BHWC

  def apply(image_BHWC: Any, *parameters: Any) -> Any:
    result_BHWC = tf.numpy_function(transform, [image_BHWC, *parameters], tf.float32)
    return tf.ensure_shape(result_BHWC, image_BHWC.shape)

  return apply
