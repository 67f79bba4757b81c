"""Random transformations of training images: those of Keras' ImageDataGenerator, under its names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import affine, colour, columns, compiled, draws
from bloodcell_jax.data.tensorflow_cpu import tf

KERAS_VERSIONS = (2, 3)
# Columns of the random numbers. Their number decides all of them: one more needs a new run format.
_NAMES = (
  *('theta', 'tx', 'tx_sign', 'ty', 'ty_sign', 'shear', 'zx', 'zy', 'flip_horizontal', 'flip_vertical'),
  *('channel_shift_intensity', 'brightness'),
)


@dataclasses.dataclass(frozen=True)
class Spec:
  """The ranges of the transformations, under the names of the arguments of Keras' ImageDataGenerator.

  A shift range is a number (below 1 a fraction of the side, else pixels; an int n draws an integer below n) or a tuple
  of choices; the sign is random.
  """

  keras_version: int  # 2: as in 2018; 3: as today, with the axes swapped (see `affine.matrices`)
  rotation_range: float  # degrees in either direction, >= 0
  width_shift_range: float | tuple
  height_shift_range: float | tuple
  brightness_range: tuple  # minimum and maximum factor; () for none
  shear_range: float  # degrees in either direction, in [0, 90)
  zoom_range: float | tuple  # z for [1 - z, 1 + z], or minimum and maximum factor; one draw an axis
  channel_shift_range: float  # grey levels in either direction, >= 0
  fill_mode: str  # one of affine.FILL_MODES
  cval: float  # grey level outside the image with fill_mode constant
  horizontal_flip: bool
  vertical_flip: bool
  interpolation_order: int  # one of affine.INTERPOLATION_ORDERS
  # 'channels_last'. It is a field because the keys of cached features hash it.
  data_format: str

  def __post_init__(self):
    for name, choices in (
      ('keras_version', KERAS_VERSIONS),
      ('fill_mode', affine.FILL_MODES),
      ('interpolation_order', affine.INTERPOLATION_ORDERS),
      ('data_format', ('channels_last',)),
    ):
      if getattr(self, name) not in choices:
        _refuse(self, name, f'choose one of {", ".join(map(str, choices))}')
    for name, end in (('rotation_range', math.inf), ('channel_shift_range', math.inf), ('shear_range', 90)):
      if not (_numbers(getattr(self, name)) and 0 <= getattr(self, name) < end):
        _refuse(self, name, 'it must be 0 or more' + (f' and below {end} degrees' if end < math.inf else ''))
    if not _numbers(self.cval):
      _refuse(self, 'cval', 'it must be a grey level')
    for name in ('width_shift_range', 'height_shift_range'):
      _check_shift(self, name)
    if self.brightness_range != () and not _is_pair(self.brightness_range, 0):
      _refuse(self, 'brightness_range', 'give two factors, 0 <= low <= high, or () for none')
    if isinstance(self.zoom_range, tuple | list):
      if not (_is_pair(self.zoom_range, 0) and self.zoom_range[0] > 0):
        _refuse(self, 'zoom_range', 'give a number, or two factors with 0 < low <= high')
    elif not (_numbers(self.zoom_range) and 0 <= self.zoom_range < 1):
      _refuse(self, 'zoom_range', 'a number must lie in [0, 1)')

  @property
  def zoom(self) -> tuple[float, float]:
    """Minimum and maximum zoom factor."""
    if isinstance(self.zoom_range, tuple | list):
      return self.zoom_range[0], self.zoom_range[1]
    return 1 - self.zoom_range, 1 + self.zoom_range

  @property
  def is_active(self) -> bool:
    """Whether any transformation is switched on."""
    ranges = (self.rotation_range, self.shear_range, self.channel_shift_range, self.width_shift_range)
    drawn = any(ranges) or bool(self.height_shift_range) or bool(self.brightness_range)
    return drawn or self.zoom != (1, 1) or self.horizontal_flip or self.vertical_flip


@dataclasses.dataclass(frozen=True)
class Drawn:
  """The parameters of B images, with Keras' names and units."""

  theta_B: np.ndarray  # degrees
  tx_B: np.ndarray  # pixels, from height_shift_range
  ty_B: np.ndarray  # pixels, from width_shift_range
  shear_B: np.ndarray  # degrees
  zx_B: np.ndarray
  zy_B: np.ndarray
  flip_horizontal_B: np.ndarray  # bool
  flip_vertical_B: np.ndarray  # bool
  channel_shift_intensity_B: np.ndarray  # grey levels; NaN for none
  brightness_B: np.ndarray  # factor; NaN for none

  def __len__(self) -> int:
    return len(self.theta_B)

  def parameters(self, i: int) -> dict[str, Any]:
    """The parameters of image i, as Keras' `apply_transform` takes them; None where one is NaN."""
    values = {field.name[:-2]: getattr(self, field.name)[i].item() for field in dataclasses.fields(self)}
    return {name: None if value != value else value for name, value in values.items()}


@dataclasses.dataclass(frozen=True)
class Operands:
  """What the function of `make_apply` takes of B images, in the order of its columns."""

  matrix_B6: Any  # `affine.matrices`, row by row
  flip_horizontal_B: Any  # 0 or 1
  flip_vertical_B: Any
  channel_shift_intensity_B: Any  # as in `Drawn`
  brightness_B: Any


NUM_OPERANDS = columns.count(Operands)


def draw(spec: Spec, seed: int, positions: np.ndarray, shape: tuple[int, ...]) -> Drawn:
  """The parameters of the images at these positions of the training stream.

  **Guarantees**: a parameter depends only on (seed, position) and its own range: neither on the batch, nor on whether
  another transformation is switched on.

  Args:
    spec: the ranges.
    seed: of the run.
    positions: [B] ints: step x batch size + index in the batch.
    shape: of one image, (height, width, channels).

  Source: Keras, `ImageDataGenerator.get_random_transform`, which draws from a global generator in another order.
  """
  height, width, _ = _sides(spec, shape)
  numbers = draws.uniform(seed, 'augment', positions, len(_NAMES))
  uniform = {name: numbers[:, i] for i, name in enumerate(_NAMES)}
  low, high = spec.zoom

  def symmetric(name: str, limit: float) -> np.ndarray:
    return (2 * uniform[name] - 1) * limit

  return Drawn(
    theta_B=symmetric('theta', spec.rotation_range),
    tx_B=_shift(spec.height_shift_range, uniform['tx'], uniform['tx_sign'], height),
    ty_B=_shift(spec.width_shift_range, uniform['ty'], uniform['ty_sign'], width),
    shear_B=symmetric('shear', spec.shear_range),
    zx_B=low + (high - low) * uniform['zx'],
    zy_B=low + (high - low) * uniform['zy'],
    flip_horizontal_B=(uniform['flip_horizontal'] < 0.5) & spec.horizontal_flip,
    flip_vertical_B=(uniform['flip_vertical'] < 0.5) & spec.vertical_flip,
    channel_shift_intensity_B=(
      symmetric('channel_shift_intensity', spec.channel_shift_range)
      if spec.channel_shift_range
      else np.full(len(numbers), np.nan)
    ),
    brightness_B=(
      spec.brightness_range[0] + (spec.brightness_range[1] - spec.brightness_range[0]) * uniform['brightness']
      if spec.brightness_range
      else np.full(len(numbers), np.nan)
    ),
  )


def operands(spec: Spec, drawn: Drawn, shape: tuple[int, ...]) -> np.ndarray:
  """[B, NUM_OPERANDS] float64: the parameters of each image as the function of `make_apply` takes them."""
  height, width, _ = _sides(spec, shape)
  matrix_B23 = affine.matrices(
    drawn.theta_B,
    drawn.tx_B,
    drawn.ty_B,
    drawn.shear_B,
    drawn.zx_B,
    drawn.zy_B,
    height,
    width,
    spec.keras_version,
  )
  return columns.join(
    Operands(
      matrix_B6=matrix_B23.reshape(-1, 6),
      flip_horizontal_B=drawn.flip_horizontal_B,
      flip_vertical_B=drawn.flip_vertical_B,
      channel_shift_intensity_B=drawn.channel_shift_intensity_B,
      brightness_B=drawn.brightness_B,
    )
  )


def make_apply(spec: Spec, shape: tuple[int, ...], finish: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
  """A tensor function (uint8 image_BHWC, operands) -> float32 images in 0..255, before `finish`.

  Applies the affine transformation, channel shift, flips and brightness in one compiled loop over the pixels.

  **Guarantees**: the pixels of Keras' `apply_transform` for the same parameters; with `keras_version=2`, those of 2018
  but for the centre (see `affine.matrices`). Channel shift and brightness are applied where the spec has a range for
  them and the image's parameter is not NaN.

  Args:
    spec: fill mode, interpolation and Keras version; the limits of the ranges are not used.
    shape: of one image, (height, width, channels).
    finish: a tensor function applied to the float images and compiled with the rest: that of `standardize.make_apply`,
      or `tf.identity`.
  """
  height, width, channels = _sides(spec, shape)
  transform = affine.make(height, width, spec.fill_mode, spec.cval, spec.interpolation_order)
  # A fill level outside 0..255, and splines, which overshoot.
  may_exceed = not 0 <= spec.cval <= 255 or spec.interpolation_order > 1

  def geometry(image_BHWC: Any, operand_BD: Any) -> Any:
    image_BHWC = tf.ensure_shape(image_BHWC, [None, height, width, channels])
    own = columns.split(Operands, operand_BD)
    matrix_B23 = tf.reshape(own.matrix_B6, [-1, 2, 3])
    return transform(image_BHWC, matrix_B23, own.flip_horizontal_B > 0, own.flip_vertical_B > 0)

  def levels(image_BHWC: Any, operand_BD: Any) -> Any:
    own = columns.split(Operands, tf.cast(operand_BD, tf.float32))
    if spec.channel_shift_range:
      image_BHWC = colour.shift_channels(image_BHWC, own.channel_shift_intensity_B)
    if spec.brightness_range:
      image_BHWC = colour.brighten(image_BHWC, own.brightness_B, spec.keras_version, may_exceed)
    return finish(image_BHWC)

  if spec.interpolation_order <= 1:
    return compiled.function(lambda image, operand_BD: levels(geometry(image, operand_BD), operand_BD))
  # SciPy's splines cannot be compiled.
  rest = compiled.function(levels)
  return tf.function(lambda image, operand_BD: rest(geometry(image, operand_BD), operand_BD), autograph=False)


def _shift(limits: float | tuple, u_B: np.ndarray, sign_B: np.ndarray, size: int) -> np.ndarray:
  if isinstance(limits, tuple | list | int):
    choices = np.arange(max(limits, 1)) if isinstance(limits, int) else np.array(limits or (0,), float)
    shift_B = choices[(u_B * len(choices)).astype(int)] * np.where(sign_B < 0.5, -1.0, 1.0)
    most = limits if isinstance(limits, int) else choices.max()
  else:
    shift_B, most = (2 * u_B - 1) * limits, limits
  return shift_B * size if most < 1 else shift_B


def _sides(spec: Spec, shape: tuple[int, ...]) -> tuple[int, int, int]:
  height, width, channels = shape
  for name, side in (('height_shift_range', height), ('width_shift_range', width)):
    limits = getattr(spec, name)
    most = max(limits, default=0) if isinstance(limits, tuple | list) else limits
    if most > side:
      _refuse(spec, name, f'that side of the images has only {side} pixels')
  return height, width, channels


def _check_shift(spec: Spec, name: str) -> None:
  limits = getattr(spec, name)
  if isinstance(limits, tuple | list):
    if not _numbers(*limits) or any(value < 0 for value in limits):
      _refuse(spec, name, 'its entries must be numbers of 0 or more; the sign is random')
    if limits and max(limits) >= 1 and any(0 < value < 1 for value in limits):
      _refuse(spec, name, 'it mixes fractions of the side (below 1) and pixels')
  elif not _numbers(limits) or limits < 0:
    _refuse(spec, name, 'it must be 0 or more, or a tuple to choose from')


def _is_pair(value: Any, least: float) -> bool:
  return (
    isinstance(value, tuple | list) and len(value) == 2 and _numbers(*value) and least <= value[0] <= value[1]
  )


def _numbers(*values: Any) -> bool:
  return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def _refuse(spec: Spec, name: str, advice: str) -> None:
  raise types.UserError(f'augment.{name} is {getattr(spec, name)!r}; {advice}')
