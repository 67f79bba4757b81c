"""From images on the device and a recipe to the network's input, in JAX, as a part of the update."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import pipelines, types
from bloodcell_jax.data.augmentation import standardize, transform
from bloodcell_jax.data.resident import affine, levels
from bloodcell_jax.data.resident.recipe import Recipe


def check(spec: transform.Spec) -> None:
  """Raises UserError where the spec changes images in a way that only `pipeline.training` knows."""
  photometric, mixing = spec.photometric, spec.mixing
  is_on = {
    'crop_range': spec.crop.is_active,
    'interpolation_order': spec.augment.is_active and spec.augment.interpolation_order > 1,
    'hue_range': photometric.hue_range,
    'saturation_range': photometric.saturation_range,
    'stain_range': photometric.stain_range,
    'blur_range': photometric.blur_range,
    'noise_range': photometric.noise_range,
    'jpeg_quality_range': photometric.jpeg_quality_range,
    'mixup_alpha': mixing.mixup_alpha,
    'cutmix_alpha': mixing.cutmix_alpha,
    'zca_whitening': spec.standardize.zca_whitening,
  }
  names = [f'augment.{name}' for name, value in is_on.items() if value]
  if names:
    raise types.UserError(
      f'data.pipeline is {pipelines.DEVICE}, which does not support {" and ".join(names)}; set it to tf_data'
    )


def make_gather(
  spec: transform.Spec, statistics: standardize.Statistics | None, shape: tuple[int, ...]
) -> Callable[[jax.Array, Recipe], jax.Array]:
  """A function (uint8 image_NHWC, recipe) -> float32 image_BHWC, standardized for the network.

  **Guarantees**: the pixels of `transform.make_apply` for the same operands, to 1e-3 of a grey level; where brightness
  cuts to whole grey levels, a value that is whole but for rounding may become its neighbour.

  Args:
    spec: what `check` accepts.
    statistics: of the training images, where the spec needs them.
    shape: of one image, (height, width, channels).

  Raises:
    UserError: settings that do not fit the images, or that need statistics where there are none.
  """
  height, width, _ = shape
  augment, photometric = spec.augment, spec.photometric
  if photometric.quarter_turns and height != width:
    raise types.UserError(f'augment.quarter_turns is True; images of {height}x{width} pixels are not square')
  warp = affine.make(height, width, augment.fill_mode, augment.cval, augment.interpolation_order)
  may_exceed = not 0 <= augment.cval <= 255
  finish = standardize.make_jax(spec.standardize, statistics)

  def gather(image_NHWC: jax.Array, recipe: Recipe) -> jax.Array:
    image_BHWC = _rows(image_NHWC, recipe)
    if augment.is_active:
      image_BHWC = warp(image_BHWC, recipe.matrix_B6, recipe.fraction_B6, recipe.flip_B2)
      if augment.channel_shift_range:
        image_BHWC = levels.shift_channels(image_BHWC, recipe.level_B2[:, 0])
      if augment.brightness_range:
        image_BHWC = levels.brighten(image_BHWC, recipe.level_B2[:, 1], augment.keras_version, may_exceed)
    image_BHWC = image_BHWC.astype(jnp.float32)
    if photometric.quarter_turns:
      image_BHWC = _turn(image_BHWC, recipe.turn_B2[:, 0])
    if photometric.mirrors:
      image_BHWC = _where(recipe.turn_B2[:, 1] > 0, image_BHWC[:, :, ::-1], image_BHWC)
    if photometric.erasing_probability:
      image_BHWC = _erase(image_BHWC, recipe.erased_B4, height, width)
    return finish(image_BHWC)

  return gather


def gather_features(feature_NHWC: jax.Array, recipe: Recipe) -> jax.Array:
  """The features of the rows as float32, whatever their dtype."""
  return _rows(feature_NHWC, recipe).astype(jnp.float32)


def batch(image_BHWC: jax.Array, recipe: Recipe) -> types.Batch:
  """The batch of these images with the targets and weights of their recipe."""
  return types.Batch(image_BHWC, recipe.target_BK, recipe.weight_B, recipe.position_B)


def _rows(array_NHWC: jax.Array, recipe: Recipe) -> jax.Array:
  return array_NHWC.at[recipe.row_B].get(mode='promise_in_bounds')


def _turn(image_BHWC: jax.Array, turns_B: jax.Array) -> jax.Array:
  image_BHWC = _where(turns_B % 2 == 1, image_BHWC.transpose(0, 2, 1, 3), image_BHWC)
  image_BHWC = _where((turns_B == 1) | (turns_B == 2), image_BHWC[:, ::-1], image_BHWC)
  return _where(turns_B >= 2, image_BHWC[:, :, ::-1], image_BHWC)


def _erase(image_BHWC: jax.Array, erased_B4: jax.Array, height: int, width: int) -> jax.Array:
  sides = np.array([height, width, height, width], np.float32)
  top, left, bottom, right = jnp.moveaxis(jnp.round(erased_B4 * sides[None])[:, :, None], 1, 0)
  row, column = jnp.arange(height, dtype=jnp.float32)[None], jnp.arange(width, dtype=jnp.float32)[None]
  inside_BHW = ((row >= top) & (row < bottom))[:, :, None] & ((column >= left) & (column < right))[:, None, :]
  return jnp.where(inside_BHW[..., None], jnp.mean(image_BHWC, (1, 2), keepdims=True), image_BHWC)


def _where(chosen_B: jax.Array, image_BHWC: jax.Array, other_BHWC: jax.Array) -> jax.Array:
  return jnp.where(chosen_B[:, None, None, None], image_BHWC, other_BHWC)
