"""`model.json`, the contract of an exported program: its input and output, and what is left to its caller."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.data.images import cell_view, decode, locate
from bloodcell_jax.export import program
from bloodcell_jax.inference import classifier

FORMAT = 'bloodcell_jax model 1'


def build(loaded: classifier.Classifier, exported: program.Program, calibrated_on: str) -> dict[str, Any]:
  """The contract as JSON values; the lists `steps` are for people, in order of execution.

  Args:
    loaded: the run's classifier.
    exported: its program.
    calibrated_on: the split that its calibration was fitted on, as from `selection.calibrated_on`.
  """
  spec, size = loaded.job.experiment.data.decode, exported.image_size
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
    'calibration': _calibration(loaded, calibrated_on),
  }


def decoding(spec: decode.Spec) -> list[str]:
  """Preprocessing of a file by the caller, in words."""
  steps = [
    'read the file as 8-bit RGB: rotate by its EXIF orientation, composite alpha on white unless it hides every pixel '
    '(nowhere above 1 of 255: then ignore it), ignore the colour profile'
  ]
  if spec.stretch_brightness:
    steps.append(
      'stretch the brightness: multiply each value by 255 / the largest value of the image and round down'
    )
  if spec.view == 'nucleus':
    steps.append(
      f'crop a square around the nucleus with a side of {locate.CROP_SHARE:.3f} times the image height '
      '(`bloodcell_jax/data/images/locate.py`); if no nucleus is found, keep the whole image'
    )
  if spec.view in cell_view.SIDES:
    steps.append(
      f'crop a square around the nucleus with a side of {cell_view.SIDES[spec.view]:g} times the square root of '
      'its area, beyond the edge of the image in the colour of its ground '
      '(`bloodcell_jax/data/images/cell_view.py`); if no nucleus is found, take the whole image, made square in the '
      'same colour'
    )
  size = spec.image_size
  steps.append(
    f"resize to {size}x{size} without keeping the aspect ratio, with Pillow's {spec.interpolation} filter "
    '(`Image.resize`, which averages when it shrinks; filters of this name in other libraries may not)'
  )
  return steps


def pixels(spec: standardize.Spec) -> list[str]:
  """Preprocessing of the pixels inside the program, in words."""
  kinds = {
    'caffe': 'reorder to BGR, subtract 103.939, 116.779, 123.68',
    'torch': 'divide by 255, subtract 0.485, 0.456, 0.406, divide by 0.229, 0.224, 0.225',
    'tf': 'divide by 127.5, subtract 1',
  }
  steps = (
    [f'{spec.preprocessing_function}: {kinds[spec.preprocessing_function]}']
    if spec.preprocessing_function
    else []
  )
  if spec.rescale:
    steps.append(f'multiply by {spec.rescale:.6g}')
  if spec.samplewise_center or spec.samplewise_std_normalization:
    steps.append("subtract the image's mean")
  if spec.samplewise_std_normalization:
    steps.append("divide by the image's standard deviation")
  if spec.centers:
    steps.append("subtract the training images' mean of each channel")
  if spec.scales:
    steps.append("divide by the training images' standard deviation of each channel")
  if spec.zca_whitening:
    steps.append('ZCA whitening, fitted on the training images')
  return steps or ['none: values 0 to 255']


def _calibration(loaded: classifier.Classifier, split: str) -> dict[str, Any]:
  rule = loaded.rule
  if rule is None:
    return {
      'temperature': None,
      'steps': ['none: the run has no calibration.json; evaluate it, then export it again'],
    }
  steps = [
    f'logits divided by {rule.temperature:.4g}, fitted on {split}: {rule.num_groups} groups, '
    f'{rule.num_images} images'
  ]
  limit = None if np.isinf(rule.conformal.limit) else rule.conformal.limit
  if rule.threshold is None:
    steps.append(
      f'not inside the program: no threshold gave an error rate on {split} of at most {rule.max_error:.0%}; '
      'leave every image for review'
    )
  else:
    steps.append(
      f'not inside the program: leave an image for review if its highest probability is under {rule.threshold:.4g} '
      f'(chosen on {split} for an error rate of at most {rule.max_error:.0%} among accepted images)'
    )
  return {
    'fitted_on': split,
    'temperature': rule.temperature,
    'threshold': rule.threshold,
    'max_error': rule.max_error,
    'conformal': {**dataclasses.asdict(rule.conformal), 'limit': limit},
    'num_groups': rule.num_groups,
    'num_images': rule.num_images,
    'steps': steps,
  }
