"""What a program takes and gives, and what it leaves to its caller: `model.json`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.data.images import decode, locate
from bloodcell_jax.export import program
from bloodcell_jax.inference import classifier

FORMAT = 'bloodcell_jax model 1'


def of(loaded: classifier.Classifier, exported: program.Program) -> dict[str, Any]:
  """The contract as JSON values; the sentences in it are for people, in the order in which things are done."""
  spec, size = loaded.made.experiment.data.decode, exported.image_size
  return {
    'format': FORMAT,
    'note': loaded.note,
    'class_names': list(exported.class_names),
    'input': {'name': program.INPUT, 'dtype': 'uint8', 'shape': ['N', size, size, 3], 'channels': 'RGB'},
    'output': {
      'name': program.OUTPUT,
      'dtype': 'float32',
      'shape': ['N', len(exported.class_names)],
      'calibrated': loaded.rule is not None,
    },
    'decoding': {
      'view': spec.view,
      'stretch_brightness': spec.stretch_brightness,
      'interpolation': spec.interpolation,
      'image_size': size,
      'steps': decoding(spec),
    },
    'pixels': {**dataclasses.asdict(exported.standardize), 'steps': pixels(exported.standardize)},
    'calibration': _calibration(loaded),
  }


def decoding(spec: decode.Spec) -> list[str]:
  """What is done to a file before the program sees it: not inside the program."""
  steps = ['read the file as 8-bit RGB: turned upright by its EXIF, alpha laid on white, no colour profile']
  if spec.stretch_brightness:
    steps.append(
      'stretch the brightness: each value x 255 / the brightest value of the image, cut to a whole number'
    )
  if spec.view == 'nucleus':
    steps.append(
      f'cut out the square around the nucleus, {locate.CROP_SHARE:.3f} of the image height a side '
      '(`bloodcell_jax/data/images/locate.py`); where no nucleus is found, keep the whole image'
    )
  size = spec.image_size
  steps.append(
    f"resize to {size}x{size}, not keeping the aspect ratio, by Pillow's {spec.interpolation} "
    "(`Image.resize`, which averages where it shrinks; other libraries' method of this name may not)"
  )
  return steps


def pixels(spec: standardize.Spec) -> list[str]:
  """What is done to grey levels before the network: inside the program."""
  kinds = {
    'caffe': 'BGR, minus 103.939, 116.779, 123.68',
    'torch': 'divided by 255, minus 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225',
    'tf': 'divided by 127.5, minus 1',
  }
  steps = (
    [f'{spec.preprocessing_function}: {kinds[spec.preprocessing_function]}']
    if spec.preprocessing_function
    else []
  )
  if spec.rescale:
    steps.append(f'multiplied by {spec.rescale:.6g}')
  if spec.samplewise_center or spec.samplewise_std_normalization:
    steps.append("minus the image's mean")
  if spec.samplewise_std_normalization:
    steps.append("divided by the image's standard deviation")
  if spec.centers:
    steps.append("minus the training images' mean of each channel")
  if spec.scales:
    steps.append("divided by the training images' standard deviation of each channel")
  if spec.zca_whitening:
    steps.append('ZCA whitening fitted on the training images')
  return steps or ['none: grey levels 0 to 255']


def _calibration(loaded: classifier.Classifier) -> dict[str, Any]:
  rule = loaded.rule
  if rule is None:
    return {
      'temperature': None,
      'steps': ['none: the run has no calibration.json; evaluate it, and export it again'],
    }
  steps = [
    f'logits divided by {rule.temperature:.4g}, fitted on validation: {rule.num_groups} groups of photographs, '
    f'{rule.num_images} images'
  ]
  limit = None if np.isinf(rule.conformal.limit) else rule.conformal.limit
  if rule.threshold is None:
    steps.append(
      f'not inside: at no confidence is the share of errors on validation at most {rule.max_error:.0%}; '
      'leave every image to a person'
    )
  else:
    steps.append(
      f'not inside: leave an image whose highest probability is under {rule.threshold:.4g} to a person '
      f'(chosen on validation for at most {rule.max_error:.0%} errors among the others)'
    )
  return {
    'temperature': rule.temperature,
    'threshold': rule.threshold,
    'max_error': rule.max_error,
    'conformal': {**dataclasses.asdict(rule.conformal), 'limit': limit},
    'num_groups': rule.num_groups,
    'num_images': rule.num_images,
    'steps': steps,
  }
