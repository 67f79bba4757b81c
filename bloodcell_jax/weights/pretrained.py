"""Weights together with where they come from and how they want their pixels, whatever file holds them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from bloodcell_jax import types
from bloodcell_jax.weights import convention as convention_lib
from bloodcell_jax.weights import keras3, keras_h5, pip_carrier, project_export, published, torchvision

AUTO = 'auto'  # the weights that come with the package's requirements
# By suffix: the reader, and the convention of the weights that are published in such files, which do not say it.
READERS = {
  '.h5': (keras_h5.read, convention_lib.CAFFE),
  '.hdf5': (keras_h5.read, convention_lib.CAFFE),
  '.keras': (keras3.read_keras, convention_lib.CAFFE),
  '.pth': (torchvision.read_pth, convention_lib.TORCHVISION),
  '.pt': (torchvision.read_pth, convention_lib.TORCHVISION),
  '.safetensors': (torchvision.read_safetensors, convention_lib.TORCHVISION),
}
EXPORT = '.npz'
PUBLISHED = {record.file: (record.algorithm, record.digest) for record in published.FILES}


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which weights a network begins with."""

  path: str  # empty for none; else what `read` takes
  left_out: tuple  # patterns of names in the file that are not wanted, such as another head

  def __post_init__(self):
    for pattern in self.left_out:
      try:
        re.compile(pattern)
      except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise types.UserError(f'weights.left_out has {pattern!r}, which is no pattern ({error})') from None


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A set of weights. **Guarantees**: every array is of finite float32."""

  params: Mapping[
    str, np.ndarray
  ]  # by Keras' names, `block1_conv1/kernel` HWIO, `fc1/kernel` [inputs, units]
  convention: convention_lib.Convention  # of the pixels they were trained on
  origin: str  # for people: the file's name and the start of its SHA-256, or the package

  def __post_init__(self):
    for name, array in self.params.items():
      if array.dtype != np.float32 or not np.isfinite(array).all():
        raise types.UserError(f'{self.origin}: {name} has values that are no finite float32 numbers')


def read(where: str) -> Pretrained:
  """The weights in a file, its kind told by its suffix, or with 'auto' those that came with the requirements.

  **Guarantees**: nothing in a file can run code, and none takes much more memory than its size.

  Args:
    where: 'auto', or a path: .h5, .weights.h5 or .keras (Keras), .pth, .pt or .safetensors (torchvision's VGG16),
      .npz (this package's export). Keras' and torchvision's files do not tell their pixel convention; theirs is
      taken to be that of the published weights, Caffe's and torchvision's.

  Raises:
    UserError: one line that names the file and what is wrong.
  """
  if where == AUTO:
    arrays = pip_carrier.read(pip_carrier.find(), pip_carrier.SHA256)
    origin = f'torchvision IMAGENET1K_V1 from {pip_carrier.PACKAGE} {pip_carrier.VERSION}'
    return Pretrained(_floats(arrays), convention_lib.TORCHVISION, origin)
  path = pathlib.Path(where)
  suffix = path.suffix.lower()
  if suffix not in READERS and suffix != EXPORT:
    known = ', '.join([*READERS, EXPORT])
    raise types.UserError(f'{where}: unknown kind of weights; give {AUTO!r} or a file ending in {known}')
  origin = f'{path.name}, SHA-256 {_checked_hash(path)[:16]}'
  if suffix == EXPORT:
    arrays, convention, before = project_export.read(path)
    return Pretrained(_floats(arrays), convention, f'{origin}, from {before}')
  reader, convention = READERS[suffix]
  return Pretrained(_floats(reader(path)), convention, origin)


def _floats(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}


def _checked_hash(path: pathlib.Path) -> str:
  """The file's SHA-256, once a file of a published name has shown to be the published one."""
  try:
    with open(path, 'rb') as file:
      found = hashlib.file_digest(file, 'sha256').hexdigest()
      kind, expected = PUBLISHED.get(path.name, ('sha256', ''))
      file.seek(0, os.SEEK_SET)
      if expected and not hashlib.file_digest(file, kind).hexdigest().startswith(expected):
        raise types.UserError(
          f'{path}: not the published file of that name, its {kind} is not {expected}; '
          'fetch it again, or rename it if it is your own'
        )
  except OSError as error:
    raise types.UserError(f'{path}: cannot be read ({error.strerror})') from None
  return found
