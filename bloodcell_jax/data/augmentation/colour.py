"""Channel shift and brightness as Keras carries them out, cut-offs and all."""

from __future__ import annotations

from typing import Any

from bloodcell_jax.data.tensorflow_cpu import tf


def shift_channels(image_BHWC: Any, intensity_B: Any) -> Any:
  """The grey levels moved by `intensity_B`, all channels alike, kept between the image's least and greatest.

  Source: Keras, `apply_channel_shift`.
  """
  low_B, high_B = _ends(image_BHWC)
  return _or_none(tf.clip_by_value(image_BHWC + _wide(intensity_B), low_B, high_B), image_BHWC, intensity_B)


def brighten(image_BHWC: Any, factor_B: Any, keras_version: int, may_leave: bool) -> Any:
  """The images with their grey levels multiplied, as whole numbers; unchanged where the factor is NaN.

  Args:
    image_BHWC: float32.
    factor_B: float32, >= 0.
    keras_version: 2: every image is stretched to 255 first, as in 2018; 3: only one that leaves 0..255 is,
      from end to end, and moved back afterwards.
    may_leave: whether one can leave 0..255 at all.

  Source: Keras, `apply_brightness_shift` and `array_to_img`; Pillow, `ImageEnhance.Brightness`.
  """
  factor = _wide(factor_B)
  low_B, high_B = _ends(image_BHWC)
  if keras_version == 2:
    # The darkest value was taken off only where it was negative.
    changed = _multiply(_stretch(image_BHWC - tf.minimum(low_B, 0.0)), factor)
  else:
    changed = _multiply(image_BHWC, factor)
    if may_leave:
      stretched = _multiply(_stretch(image_BHWC - low_B), factor) / 255.0 * (high_B - low_B) + low_B
      changed = tf.where((low_B < 0) | (high_B > 255), stretched, changed)
  return _or_none(changed, image_BHWC, factor_B)


def _multiply(image_BHWC: Any, factor: Any) -> Any:
  # Bytes in, bytes out, cut off and not rounded both times.
  return tf.floor(tf.minimum(factor * tf.floor(image_BHWC), 255.0))


def _stretch(image_BHWC: Any) -> Any:
  _, high_B = _ends(image_BHWC)
  return image_BHWC / tf.where(high_B == 0, 1.0, high_B) * 255.0


def _ends(image_BHWC: Any) -> tuple[Any, Any]:
  axes = [1, 2, 3]
  return tf.reduce_min(image_BHWC, axes, keepdims=True), tf.reduce_max(image_BHWC, axes, keepdims=True)


def _or_none(changed: Any, image_BHWC: Any, value_B: Any) -> Any:
  return tf.where(_wide(tf.math.is_nan(value_B)), image_BHWC, changed)


def _wide(value_B: Any) -> Any:
  return value_B[:, None, None, None]
