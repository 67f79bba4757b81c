"""Random changes of colour, stain, sharpness and noise, flips and quarter turns, which ImageDataGenerator lacks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import columns, draws
from bloodcell_jax.data.tensorflow_cpu import tf

# By name: the name of scikit-image's stain matrix, and how many of its three stains are dyes, the rest being residual.
STAINS = {'hed': ('hed', 3), 'giemsa': ('bex', 2)}
# Most extreme aspect ratio of an erased rectangle. Zhong et al. 2020, "Random Erasing Data Augmentation", section 4.
_MOST_SLENDER = 0.3
# Columns of the random numbers. Their number decides all of them: one more needs a new run format.
_NAMES = (
  'turns',
  'mirror',
  'hue',
  'saturation',
  'stain_0',
  'stain_1',
  'stain_2',
  'blur',
  'noise',
  'noise_seed',
)
_NUM = 16


@dataclasses.dataclass(frozen=True)
class Spec:
  """The ranges of the changes. 0, False and () switch a change off."""

  quarter_turns: bool  # by 0, 90, 180 or 270 degrees, exactly
  mirrors: bool  # flips half of the images left to right; with the turns all eight symmetries of a square
  hue_range: float  # in either direction, as a fraction of the colour circle, in [0, 0.5]
  saturation_range: tuple  # minimum and maximum factor
  stain_range: float  # s: each dye's amount is multiplied by a factor in [1 - s, 1 + s], in [0, 1)
  stain_vectors: str  # one of STAINS: which dyes
  blur_range: float  # maximum standard deviation of the Gaussian, pixels
  noise_range: float  # maximum standard deviation, grey levels
  jpeg_quality_range: tuple  # minimum and maximum quality, integers in 1..100
  erasing_probability: float  # probability that a rectangle of an image is erased, in [0, 1]
  erasing_area: tuple  # its minimum and maximum area as a fraction of the image

  def __post_init__(self):
    for name, most in (
      ('hue_range', 0.5),
      ('erasing_probability', 1),
      ('blur_range', math.inf),
      ('noise_range', math.inf),
    ):
      if not 0 <= getattr(self, name) <= most or math.isinf(getattr(self, name)):
        _refuse(self, name, 'it must be 0 or more' + (f' and {most} or less' if most < math.inf else ''))
    if not 0 <= self.stain_range < 1:
      _refuse(self, 'stain_range', 'it must lie in [0, 1)')
    if self.stain_vectors not in STAINS:
      _refuse(self, 'stain_vectors', f'choose one of {", ".join(STAINS)}')
    for name, least, most in (
      ('saturation_range', 0, math.inf),
      ('jpeg_quality_range', 1, 100),
      ('erasing_area', 0, 1),
    ):
      value = getattr(self, name)
      numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
      if value != () and not (numbers and len(value) == 2 and least <= value[0] <= value[1] <= most):
        _refuse(
          self,
          name,
          f'give two numbers, {least} <= low <= high{f" <= {most}" if most < math.inf else ""}, or ()',
        )
    if self.erasing_probability and not self.erasing_area:
      _refuse(self, 'erasing_area', 'erasing_probability needs it')

  @property
  def is_active(self) -> bool:
    """Whether any change is switched on."""
    ranges = (self.hue_range, self.stain_range, self.blur_range, self.noise_range, self.erasing_probability)
    return any(ranges) or any(
      (self.quarter_turns, self.mirrors, self.saturation_range, self.jpeg_quality_range)
    )


@dataclasses.dataclass(frozen=True)
class Drawn:
  """The parameters of B images, in the order of the columns of `operands`."""

  turns_B: np.ndarray  # counter-clockwise quarter turns, 0 to 3
  mirror_B: np.ndarray  # 0 or 1, after the turn
  hue_B: np.ndarray  # fraction of the colour circle
  saturation_B: np.ndarray  # factor
  stain_B3: np.ndarray  # factors
  blur_B: np.ndarray  # pixels
  noise_B: np.ndarray  # grey levels
  noise_seed_B: np.ndarray  # integers
  jpeg_quality_B: np.ndarray
  erased_B4: np.ndarray  # top, left, bottom, right as fractions of the sides; all 0 for none

  def __len__(self) -> int:
    return len(self.turns_B)

  def parameters(self, i: int) -> dict[str, Any]:
    """The parameters of image i, to be shown to people."""
    values = {
      field.name[: field.name.rindex('_')]: getattr(self, field.name)[i] for field in dataclasses.fields(self)
    }
    return {name: value.tolist() for name, value in values.items()}


NUM_OPERANDS = columns.count(Drawn)


def draw(spec: Spec, seed: int, positions: np.ndarray) -> Drawn:
  """The parameters of the images at these positions of the training stream.

  **Guarantees**: as `augment.draw`.
  """
  numbers = draws.uniform(seed, 'photometric', positions, _NUM)
  uniform = {name: numbers[:, i] for i, name in enumerate(_NAMES)}
  one = np.ones(len(numbers))
  low, high = spec.saturation_range or (1.0, 1.0)
  worst, best = spec.jpeg_quality_range or (100, 100)
  stain_B3 = 1 + spec.stain_range * (2 * np.stack([uniform[f'stain_{k}'] for k in range(3)], 1) - 1)
  stain_B3[:, STAINS[spec.stain_vectors][1] :] = 1
  return Drawn(
    turns_B=np.floor(uniform['turns'] * 4) * spec.quarter_turns,
    mirror_B=(uniform['mirror'] < 0.5) * one * spec.mirrors,
    hue_B=spec.hue_range * (2 * uniform['hue'] - 1),
    saturation_B=low + (high - low) * uniform['saturation'],
    stain_B3=stain_B3,
    blur_B=spec.blur_range * uniform['blur'],
    noise_B=spec.noise_range * uniform['noise'],
    noise_seed_B=np.floor(uniform['noise_seed'] * 2**31),
    jpeg_quality_B=np.floor(worst + (best - worst + 1) * numbers[:, 10]),
    erased_B4=_rectangles(spec, numbers[:, 11:]),
  )


def operands(drawn: Drawn) -> np.ndarray:
  """[B, NUM_OPERANDS] float64: the parameters of each image as the function of `make_apply` takes them."""
  return columns.join(drawn)


def make_apply(spec: Spec, shape: tuple[int, int, int]) -> Callable[[Any, Any], Any]:
  """A tensor function (float32 image_BHWC in 0..255, operands) -> changed float32 images in 0..255.

  Hue, saturation, stain, blur, noise, JPEG, turn, flip, erasing, in this order; changes without a range are skipped.

  Args:
    spec: the ranges; they decide which changes are compiled.
    shape: (height, width, channels) of an image.

  Raises:
    UserError: quarter turns of images that are not square.

  Source: Ruifrok and Johnston 2001, "Quantification of histochemical staining by color deconvolution"; Tellez et al.
    2018, "Whole-slide mitosis detection in H&E breast histology", for the factors of the stains.
  """
  height, width, _ = shape
  if spec.quarter_turns and height != width:
    _refuse(spec, 'quarter_turns', f'images of {height}x{width} pixels are not square')

  def change_one(image_and_operands: tuple[Any, Any]) -> Any:
    image_HWC, operand_D = image_and_operands
    drawn = columns.split(Drawn, operand_D)
    image_HWC /= 255.0
    if spec.hue_range:
      image_HWC = tf.image.adjust_hue(image_HWC, drawn.hue_B)
    if spec.saturation_range:
      image_HWC = tf.image.adjust_saturation(image_HWC, drawn.saturation_B)
    if spec.stain_range or spec.blur_range:
      image_HWC = tf.numpy_function(
        _by_skimage(spec.stain_vectors), [image_HWC, drawn.stain_B3, drawn.blur_B], tf.float32
      )
      image_HWC = tf.ensure_shape(image_HWC, shape)
    if spec.noise_range:
      pair = tf.stack([tf.cast(drawn.noise_seed_B, tf.int32), 0])
      image_HWC += drawn.noise_B / 255.0 * tf.random.stateless_normal(shape, pair)
    image_HWC = tf.clip_by_value(image_HWC, 0.0, 1.0)
    if spec.jpeg_quality_range:
      image_HWC = tf.image.adjust_jpeg_quality(image_HWC, tf.cast(drawn.jpeg_quality_B, tf.int32))
    return tf.ensure_shape(image_HWC * 255.0, shape)

  one_by_one = any(
    (
      spec.hue_range,
      spec.saturation_range,
      spec.stain_range,
      spec.blur_range,
      spec.noise_range,
      spec.jpeg_quality_range,
    )
  )

  def apply(image_BHWC: Any, operand_BD: Any) -> Any:
    # float32 rounds the seed of the noise to 24 significant bits, which still differ between images.
    narrow_BD = tf.cast(operand_BD, tf.float32)
    if one_by_one:
      image_BHWC = tf.map_fn(
        change_one, (image_BHWC, narrow_BD), fn_output_signature=tf.TensorSpec(shape, tf.float32)
      )
    drawn = columns.split(Drawn, narrow_BD)
    if spec.quarter_turns:
      image_BHWC = _turn(image_BHWC, drawn.turns_B)
    if spec.mirrors:
      image_BHWC = _where(drawn.mirror_B > 0, image_BHWC[:, :, ::-1], image_BHWC)
    if spec.erasing_probability:
      image_BHWC = _erase(image_BHWC, drawn.erased_B4, height, width)
    return image_BHWC

  return tf.function(apply, autograph=False)


def _by_skimage(stain_vectors: str) -> Callable[..., np.ndarray]:
  from skimage import color, filters

  name, _ = STAINS[stain_vectors]
  from_rgb, to_rgb = getattr(color, f'{name}_from_rgb'), getattr(color, f'rgb_from_{name}')

  def change(image_HWC: np.ndarray, factors: np.ndarray, blur: np.ndarray) -> np.ndarray:
    if (factors != 1).any():
      stains = color.separate_stains(image_HWC, from_rgb)
      # Only the ratio of the change is computed from stains: separating drops what no stain explains, so it is not the
      # inverse of combining.
      change = color.combine_stains(stains * factors, to_rgb) / color.combine_stains(stains, to_rgb)
      image_HWC = np.clip(image_HWC * change, 0, 1)
    if blur > 0:
      image_HWC = filters.gaussian(image_HWC, float(blur), channel_axis=-1)
    return image_HWC.astype(np.float32)

  return change


def _turn(image_BHWC: Any, turns_B: Any) -> Any:
  # A quarter turn is a transposition and a reversal of the rows; half a turn is two reversals.
  image_BHWC = _where(turns_B % 2 == 1, tf.transpose(image_BHWC, [0, 2, 1, 3]), image_BHWC)
  image_BHWC = _where((turns_B == 1) | (turns_B == 2), image_BHWC[:, ::-1], image_BHWC)
  return _where(turns_B >= 2, image_BHWC[:, :, ::-1], image_BHWC)


def _erase(image_BHWC: Any, erased_B4: Any, height: int, width: int) -> Any:
  sides = tf.constant([height, width, height, width], tf.float32)
  top, left, bottom, right = tf.unstack(tf.round(erased_B4 * sides)[:, :, None], axis=1)
  row, column = tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32)
  inside_BHW = ((row >= top) & (row < bottom))[:, :, None] & ((column >= left) & (column < right))[:, None, :]
  return tf.where(inside_BHW[..., None], tf.reduce_mean(image_BHWC, [1, 2], keepdims=True), image_BHWC)


def _rectangles(spec: Spec, u_B5: np.ndarray) -> np.ndarray:
  """[B, 4] top, left, bottom, right in [0, 1]; all 0 where nothing is erased."""
  low, high = spec.erasing_area or (0.0, 0.0)
  area_B = low + (high - low) * u_B5[:, 1]
  ratio_B = np.exp(np.log(_MOST_SLENDER) * (2 * u_B5[:, 2] - 1))
  height_B = np.minimum(np.sqrt(area_B * ratio_B), 1)
  width_B = np.minimum(np.sqrt(area_B / ratio_B), 1)
  top_B, left_B = u_B5[:, 3] * (1 - height_B), u_B5[:, 4] * (1 - width_B)
  erased_B4 = np.stack([top_B, left_B, top_B + height_B, left_B + width_B], 1)
  return erased_B4 * (u_B5[:, :1] < spec.erasing_probability)


def _where(chosen_B: Any, image_BHWC: Any, other_BHWC: Any) -> Any:
  return tf.where(chosen_B[:, None, None, None], image_BHWC, other_BHWC)


def _refuse(spec: Spec, name: str, advice: str) -> None:
  raise types.UserError(f'augment.{name} is {getattr(spec, name)!r}; {advice}')
