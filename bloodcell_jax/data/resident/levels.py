"""Channel shift and brightness of `augmentation.colour` in JAX, with the clipping and truncation of Keras."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def shift_channels(image_BHWC: jax.Array, intensity_B: jax.Array) -> jax.Array:
  """As `augmentation.colour.shift_channels`; unchanged where the intensity is NaN."""
  low_B, high_B = _range(image_BHWC)
  return _or_none(jnp.clip(image_BHWC + _wide(intensity_B), low_B, high_B), image_BHWC, intensity_B)


def brighten(image_BHWC: jax.Array, factor_B: jax.Array, keras_version: int, may_exceed: bool) -> jax.Array:
  """As `augmentation.colour.brighten`; unchanged where the factor is NaN."""
  factor = _wide(factor_B)
  low_B, high_B = _range(image_BHWC)
  if keras_version == 2:
    changed = _multiply(_stretch(image_BHWC - jnp.minimum(low_B, 0.0)), factor)
  else:
    changed = _multiply(image_BHWC, factor)
    if may_exceed:
      stretched = _multiply(_stretch(image_BHWC - low_B), factor) / 255.0 * (high_B - low_B) + low_B
      changed = jnp.where((low_B < 0) | (high_B > 255), stretched, changed)
  return _or_none(changed, image_BHWC, factor_B)


def _multiply(image_BHWC: jax.Array, factor: jax.Array) -> jax.Array:
  return jnp.floor(jnp.minimum(factor * jnp.floor(image_BHWC), 255.0))


def _stretch(image_BHWC: jax.Array) -> jax.Array:
  _, high_B = _range(image_BHWC)
  return image_BHWC / jnp.where(high_B == 0, 1.0, high_B) * 255.0


def _range(image_BHWC: jax.Array) -> tuple[jax.Array, jax.Array]:
  axes = (1, 2, 3)
  return jnp.min(image_BHWC, axes, keepdims=True), jnp.max(image_BHWC, axes, keepdims=True)


def _or_none(changed: jax.Array, image_BHWC: jax.Array, value_B: jax.Array) -> jax.Array:
  return jnp.where(_wide(jnp.isnan(value_B)), image_BHWC, changed)


def _wide(value_B: jax.Array) -> jax.Array:
  return value_B[:, None, None, None]
