"""The section `augment`: cropping, augmentation and standardization of pixels."""

from __future__ import annotations

from bloodcell_jax.base import types
from bloodcell_jax.config import section
from bloodcell_jax.data.augmentation import augment, crop, mixing, photometric, standardize, transform

# The value of `augment.preprocessing_function` that stands for the one that belongs to the pretrained weights.
OF_WEIGHTS = 'weights'


def read(augment_section: section.Section, weights_path: str) -> transform.Spec:
  """What is done to the pixels of an image before the network sees them.

  Raises:
    UserError: the preprocessing and the weights do not belong together.
  """
  # The networks take channels last; the other order is for users of the library.
  return transform.Spec(
    crop=augment_section.spec(crop.Spec),
    augment=augment_section.spec(augment.Spec, data_format='channels_last'),
    photometric=augment_section.spec(photometric.Spec),
    standardize=_standardize(augment_section, weights_path),
    mixing=augment_section.spec(mixing.Spec),
  )


def check_grey(spec: transform.Spec, channels: int) -> None:
  """Refuses a network that makes grey of red, green and blue where the preprocessing puts blue first.

  Raises:
    UserError: it does.
  """
  if channels == 1 and spec.standardize.preprocessing_function == 'caffe':
    raise types.UserError(
      "augment.preprocessing_function is 'caffe', which puts blue first, but model.channels is 1, which makes grey "
      "with red first; choose 'tf' or 'torch'"
    )


def _standardize(augment_section: section.Section, weights_path: str) -> standardize.Spec:
  function = augment_section.take('preprocessing_function', str)
  if (function == OF_WEIGHTS) != bool(weights_path):
    raise types.UserError(
      f'augment.preprocessing_function is {function!r}, but weights.path is {weights_path!r}: pretrained '
      f'weights bring their own preprocessing, so set it to {OF_WEIGHTS!r} with them and to something else without'
    )
  # The preprocessing of the weights replaces it when they are read.
  name = '' if function == OF_WEIGHTS else function
  return augment_section.spec(standardize.Spec, data_format='channels_last', preprocessing_function=name)
