"""Standardization of images, the last step before the network, in training and prediction: Keras' `standardize`."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import typing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bloodcell_jax.base import evenly_spaced, types
from bloodcell_jax.data.augmentation import zca
from bloodcell_jax.system import atomic

# Added to a standard deviation before dividing by it (Keras).
_LEAST_STD = 1e-6
_BLOCK = 256  # images read at a time


def _caffe(image_BHWC: Any) -> Any:
  return _per_channel(image_BHWC[..., ::-1], (103.939, 116.779, 123.68), (1, 1, 1))


def _torch(image_BHWC: Any) -> Any:
  return _per_channel(image_BHWC / np.float32(255), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _tf(image_BHWC: Any) -> Any:
  return image_BHWC / np.float32(127.5) - np.float32(1)


# The modes of `keras.applications.imagenet_utils.preprocess_input`, by name; the functions work on NumPy arrays and on
# tensors.
PREPROCESSING: Mapping[str, Callable[[Any], Any]] = {'caffe': _caffe, 'torch': _torch, 'tf': _tf}


@dataclasses.dataclass(frozen=True)
class Spec:
  """The arguments of Keras' ImageDataGenerator that standardize images, in the order in which they apply."""

  preprocessing_function: str  # a key of PREPROCESSING, or '' for none
  rescale: float  # factor of the grey levels; 0 for none
  samplewise_center: bool
  samplewise_std_normalization: bool  # implies samplewise_center
  featurewise_center: bool
  featurewise_std_normalization: bool  # implies featurewise_center
  zca_whitening: bool  # implies featurewise_center and disables featurewise_std_normalization
  zca_epsilon: float  # > 0
  zca_samples: int  # number of training images, evenly spaced, that ZCA is fitted on; 0 for all
  keras_version: int  # 2: ZCA as in 2018; 3: as today (see `zca.fit`)
  # 'channels_last'. It is a field because checkpoints name it and the keys of cached features hash it.
  data_format: str

  def __post_init__(self):
    if self.preprocessing_function not in ('', *PREPROCESSING):
      _refuse(self, 'preprocessing_function', f"choose one of {', '.join(PREPROCESSING)}, or '' for none")
    if not (math.isfinite(self.rescale) and self.rescale >= 0):
      _refuse(self, 'rescale', 'it must be a positive factor, or 0 for none')
    if not (math.isfinite(self.zca_epsilon) and self.zca_epsilon > 0):
      _refuse(self, 'zca_epsilon', 'it must be above 0')
    if self.zca_samples < 0:
      _refuse(self, 'zca_samples', 'it must be 0 or more')
    for name, choices in (('keras_version', (2, 3)), ('data_format', ('channels_last',))):
      if getattr(self, name) not in choices:
        _refuse(self, name, f'choose one of {", ".join(map(str, choices))}')

  @property
  def centers(self) -> bool:
    """Whether the means of the channels are subtracted."""
    return self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening

  @property
  def scales(self) -> bool:
    """Whether the channels are divided by their standard deviations."""
    return self.featurewise_std_normalization and not self.zca_whitening


@dataclasses.dataclass(frozen=True)
class Statistics:
  """Statistics of the training images; None where the spec does not need them."""

  rescale: float  # of the spec that they were fitted with
  mean_C: np.ndarray | None
  std_C: np.ndarray | None
  whitening: zca.Whitening | None


def fit(spec: Spec, read: Callable[[np.ndarray], np.ndarray], num_rows: int) -> Statistics:
  """The statistics of the training images, which are read in blocks.

  As in Keras, they are computed before the preprocessing function and the samplewise steps.

  Args:
    spec: which statistics are needed.
    read: indices below `num_rows` -> image_BHWC in 0..255, of training rows only. Augmented images correspond to Keras'
      arguments `augment` and `rounds`.
    num_rows: number of training rows.
  """
  mean_C: np.ndarray | None = None
  std_C: np.ndarray | None = None
  whitening: zca.Whitening | None = None
  if spec.centers:
    mean_C, std_C = _moments(spec, read, num_rows)
  if spec.zca_whitening and mean_C is not None:
    rows = evenly_spaced.rows(num_rows, spec.zca_samples or num_rows)
    mean = mean_C.astype(np.float32)

    def centred(chosen: np.ndarray) -> np.ndarray:
      return (_rescaled(spec, read(chosen)) - mean).reshape(len(chosen), -1)

    whitening = zca.fit(centred, rows, spec.zca_epsilon, spec.keras_version)
  return Statistics(spec.rescale, mean_C, std_C if spec.scales else None, whitening)


def apply(spec: Spec, statistics: Statistics | None, image_BHWC: np.ndarray) -> np.ndarray:
  """Standardized float32 images; in NumPy, for evaluation and prediction.

  Raises:
    UserError: statistics that the spec needs are missing or do not fit it.
  """
  _check(spec, statistics)
  image = _before(spec, image_BHWC.astype(np.float32))
  if spec.samplewise_center or spec.samplewise_std_normalization:
    image = image - image.mean((1, 2, 3), keepdims=True)
  if spec.samplewise_std_normalization:
    image = image / (image.std((1, 2, 3), keepdims=True) + np.float32(_LEAST_STD))
  image = _featurewise(spec, statistics, image)
  if statistics and spec.zca_whitening and statistics.whitening:
    image = statistics.whitening.apply(image.reshape(len(image), -1)).reshape(image.shape)
  return image


def make_apply(spec: Spec, statistics: Statistics | None) -> Callable[[Any], Any]:
  """`apply` as a tensor function, to be compiled with the steps before it.

  **Guarantees**: the values of `apply`, up to a few units in the last place of single precision.

  Raises:
    UserError: as `apply`.
  """
  from bloodcell_jax.data.tensorflow_cpu import tf

  _check(spec, statistics)
  whitening = statistics.whitening if statistics and spec.zca_whitening else None
  if whitening:
    basis_RD = tf.constant(whitening.basis_RD)

  def function(image: Any) -> Any:
    image = _before(spec, tf.cast(image, tf.float32))
    if spec.samplewise_center or spec.samplewise_std_normalization:
      # In double precision: a sequential sum of 67,500 numbers in single precision loses three digits.
      wide = tf.cast(image, tf.float64)
      wide -= tf.reduce_mean(wide, [1, 2, 3], keepdims=True)
      if spec.samplewise_std_normalization:
        wide /= tf.sqrt(tf.reduce_mean(wide * wide, [1, 2, 3], keepdims=True)) + _LEAST_STD
      image = tf.cast(wide, tf.float32)
    image = _featurewise(spec, statistics, image)
    if whitening:
      flat_BD = tf.reshape(image, [-1, basis_RD.shape[1]])
      within_BR = tf.matmul(flat_BD, basis_RD, transpose_b=True) * (
        whitening.gain_R - np.float32(whitening.rest)
      )
      flat_BD = tf.matmul(within_BR, basis_RD) + np.float32(whitening.rest) * flat_BD
      image = tf.reshape(flat_BD, tf.shape(image))
    return image

  return function


def make_jax(spec: Spec, statistics: Statistics | None) -> Callable[[Any], Any]:
  """`apply` as a function of JAX arrays, without ZCA whitening, to be compiled with the steps before it.

  **Guarantees**: the values of `apply`, up to a few units in the last place of single precision.

  Raises:
    UserError: as `apply`.
  """
  import jax
  import jax.numpy as jnp

  _check(spec, statistics)
  assert not spec.zca_whitening, 'refused before'

  def function(image: Any) -> Any:
    # The shared formulas subtract [C] from [B, H, W, C].
    with jax.numpy_rank_promotion('allow'):
      image = _before(spec, image.astype(jnp.float32))
      if spec.samplewise_center or spec.samplewise_std_normalization:
        image -= jnp.mean(image, (1, 2, 3), keepdims=True)
      if spec.samplewise_std_normalization:
        image /= jnp.sqrt(jnp.mean(image * image, (1, 2, 3), keepdims=True)) + np.float32(_LEAST_STD)
      return _featurewise(spec, statistics, image)

  return function


def write(path: str | os.PathLike[str], statistics: Statistics) -> None:
  """Writes the statistics to `path`, an .npz, atomically."""
  values: dict[str, Any] = {'rescale': np.float64(statistics.rescale)}
  for name in ('mean_C', 'std_C'):
    if getattr(statistics, name) is not None:
      values[name] = getattr(statistics, name)
  if statistics.whitening:
    values |= {f'zca_{k}': v for k, v in vars(statistics.whitening).items()}
  buffer = io.BytesIO()
  np.savez(buffer, **values)
  # A view, not a copy: with ZCA the data can have a gigabyte.
  atomic.write_bytes(path, typing.cast(bytes, buffer.getbuffer()))


def read(path: str | os.PathLike[str]) -> Statistics:
  """The statistics that `write` wrote.

  Raises:
    UserError: the file is missing, damaged or of another kind.
  """
  try:
    # np.load does not close a file that turns out not to be an archive.
    with open(path, 'rb') as file, np.load(file, allow_pickle=False) as arrays:
      whitening = None
      if 'zca_rest' in arrays:
        whitening = zca.Whitening(arrays['zca_basis_RD'], arrays['zca_gain_R'], float(arrays['zca_rest']))
      mean_C, std_C = (arrays.get(name) for name in ('mean_C', 'std_C'))
      for name, value in arrays.items():
        if not np.isfinite(value).all():
          raise ValueError(f'{name} is not finite')
      return Statistics(float(arrays['rescale']), mean_C, std_C, whitening)
  except MemoryError:
    raise
  except Exception as error:  # NumPy raises nearly any error on damaged bytes
    raise types.UserError(
      f'{path}: is not a file of statistics ({atomic.damage(error)}); {atomic.restoring(path)}, or rename it and '
      'repeat the command that trained the run, which writes it anew'
    ) from None


def _before(spec: Spec, image: Any) -> Any:
  if spec.preprocessing_function:
    image = PREPROCESSING[spec.preprocessing_function](image)
  return _rescaled(spec, image)


def _rescaled(spec: Spec, image: Any) -> Any:
  if isinstance(image, np.ndarray):
    image = image.astype(np.float32, copy=False)
  return image * np.float32(spec.rescale) if spec.rescale else image


def _featurewise(spec: Spec, statistics: Statistics | None, image: Any) -> Any:
  if spec.centers and statistics and statistics.mean_C is not None:
    image = image - statistics.mean_C.astype(np.float32)
  if spec.scales and statistics and statistics.std_C is not None:
    image = image / (statistics.std_C.astype(np.float32) + np.float32(_LEAST_STD))
  return image


def _moments(
  spec: Spec, read: Callable[[np.ndarray], np.ndarray], num_rows: int
) -> tuple[np.ndarray, np.ndarray]:
  """Mean and standard deviation of each channel; float32, summed in double precision.

  Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", formula 1.5b.
  """
  count, mean_C, squares_C = 0, np.zeros(1), np.zeros(1)
  for start in range(0, num_rows, _BLOCK):
    image = _rescaled(spec, read(np.arange(start, min(start + _BLOCK, num_rows))))
    value_CP = np.moveaxis(image, -1, 0).reshape(image.shape[-1], -1)
    new, num = value_CP.mean(1, dtype=np.float64), value_CP.shape[1]
    away_C = new - mean_C
    squares_C = squares_C + value_CP.var(1, dtype=np.float64) * num + away_C**2 * count * num / (count + num)
    count += num
    mean_C = mean_C + away_C * num / count
  return mean_C.astype(np.float32), np.sqrt(squares_C / count).astype(np.float32)


def _check(spec: Spec, statistics: Statistics | None) -> None:
  for name, is_needed, fitted in (
    ('zca_whitening', spec.zca_whitening, statistics and statistics.whitening),
    ('featurewise_std_normalization', spec.scales, statistics and statistics.std_C is not None),
    ('featurewise_center', spec.centers, statistics and statistics.mean_C is not None),
  ):
    if is_needed and not fitted:
      raise types.UserError(f'augment.{name} needs statistics of the training images, but none were fitted')
  if spec.centers and statistics and statistics.rescale != spec.rescale:
    _refuse(spec, 'rescale', f'the statistics were fitted with {statistics.rescale}')


def _per_channel(image_BHWC: Any, mean: tuple, std: tuple) -> Any:
  mean_C, std_C = np.array(mean, np.float32), np.array(std, np.float32)
  return (image_BHWC - mean_C) / std_C


def _refuse(spec: Spec, name: str, advice: str) -> None:
  raise types.UserError(f'augment.{name} is {getattr(spec, name)!r}; {advice}')
