"""Channel shift and brightness with the clipping and truncation of Keras."""

from __future__ import annotations

from typing import Any

from bloodcell_jax.data.tensorflow_cpu import tf


def shift_channels(image_BHWC: Any, intensity_B: Any) -> Any:
  """The grey levels plus `intensity_B`, the same for all channels, clipped to the image's own range.

  Source: Keras, `apply_channel_shift`.
  """
  low_B, high_B = _range(image_BHWC)
  return _or_none(tf.clip_by_value(image_BHWC + _wide(intensity_B), low_B, high_B), image_BHWC, intensity_B)


def brighten(image_BHWC: Any, factor_B: Any, keras_version: int, may_exceed: bool) -> Any:
  """The images multiplied by the factor and truncated to whole grey levels; unchanged where the factor is NaN.

  Args:
    image_BHWC: float32.
    factor_B: float32, >= 0.
    keras_version: 2: every image is first scaled so that its maximum is 255, as in 2018; 3: only an image that
      exceeds 0..255 is rescaled, from its minimum and maximum, and scaled back afterwards.
    may_exceed: whether an image can exceed 0..255 at all.

  Source: Keras, `apply_brightness_shift` and `array_to_img`; Pillow, `ImageEnhance.Brightness`.
  """
  factor = _wide(factor_B)
  low_B, high_B = _range(image_BHWC)
  if keras_version == 2:
    # The minimum was subtracted only where it was negative.
    changed = _multiply(_stretch(image_BHWC - tf.minimum(low_B, 0.0)), factor)
  else:
    changed = _multiply(image_BHWC, factor)
    if may_exceed:
      stretched = _multiply(_stretch(image_BHWC - low_B), factor) / 255.0 * (high_B - low_B) + low_B
      changed = tf.where((low_B < 0) | (high_B > 255), stretched, changed)
  return _or_none(changed, image_BHWC, factor_B)


def _multiply(image_BHWC: Any, factor: Any) -> Any:
  # Bytes in, bytes out, truncated both times.
  return tf.floor(tf.minimum(factor * tf.floor(image_BHWC), 255.0))


def _stretch(image_BHWC: Any) -> Any:
  _, high_B = _range(image_BHWC)
  return image_BHWC / tf.where(high_B == 0, 1.0, high_B) * 255.0


def _range(image_BHWC: Any) -> tuple[Any, Any]:
  axes = [1, 2, 3]
  return tf.reduce_min(image_BHWC, axes, keepdims=True), tf.reduce_max(image_BHWC, axes, keepdims=True)


def _or_none(changed: Any, image_BHWC: Any, value_B: Any) -> Any:
  return tf.where(_wide(tf.math.is_nan(value_B)), image_BHWC, changed)


def _wide(value_B: Any) -> Any:
  return value_B[:, None, None, None]
