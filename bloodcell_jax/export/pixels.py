"""`standardize` inside an exported program: from uint8 to the network's input, in JAX."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.weights import own

# Prefix of the statistics among the weights of a program.
PREFIX = own.STATISTICS
_LEAST_STD = np.float32(1e-6)  # added to a standard deviation before dividing (Keras)


def weights(spec: standardize.Spec, statistics: standardize.Statistics | None) -> dict[str, np.ndarray]:
  """The arrays that `apply` needs, by name; none if no statistics were fitted on the training images."""
  if statistics is None:
    return {}
  arrays = {'mean_C': statistics.mean_C if spec.centers else None}
  arrays['std_C'] = statistics.std_C if spec.scales else None
  if spec.zca_whitening and statistics.whitening:
    whitening = statistics.whitening
    arrays |= {'zca_basis_RD': whitening.basis_RD, 'zca_gain_R': whitening.gain_R}
    arrays['zca_rest'] = np.array([whitening.rest])
  return {f'{PREFIX}{name}': np.asarray(x, np.float32) for name, x in arrays.items() if x is not None}


def apply(spec: standardize.Spec, weights: Mapping[str, jax.Array], image_BHWC: jax.Array) -> jax.Array:
  """The network's input, float32.

  **Guarantees**: equal to `standardize.apply` to a few units of single precision.

  Args:
    spec: the steps.
    weights: as from `weights`; others are ignored.
    image_BHWC: uint8, RGB.
  """
  x = image_BHWC.astype(jnp.float32)
  if spec.preprocessing_function:
    # These functions broadcast one value per channel, as NumPy does.
    with jax.numpy_rank_promotion('allow'):
      x = standardize.PREPROCESSING[spec.preprocessing_function](x)
  if spec.rescale:
    x = x * np.float32(spec.rescale)
  if spec.samplewise_center or spec.samplewise_std_normalization:
    x = x - _mean(x)
  if spec.samplewise_std_normalization:
    centred = x - _mean(x)
    x = x / (jnp.sqrt(_mean(centred * centred)) + _LEAST_STD)
  if spec.centers:
    x = x - weights[f'{PREFIX}mean_C'].reshape(1, 1, 1, -1)
  if spec.scales:
    x = x / (weights[f'{PREFIX}std_C'].reshape(1, 1, 1, -1) + _LEAST_STD)
  if spec.zca_whitening:
    x = _whitened(weights, x)
  return x


def _mean(x_BHWC: jax.Array) -> jax.Array:
  """The mean of each image, [B, 1, 1, 1].

  Computed as two products with a vector of ones, first along each row and then over the rows: a single sum over
  67,500 numbers, in whatever order a runtime adds them, loses three digits.
  """
  batch, height, width, channels = x_BHWC.shape
  row_BH1 = x_BHWC.reshape(batch, height, width * channels) @ np.ones((width * channels, 1), np.float32)
  total_B1 = row_BH1.reshape(batch, height) @ np.ones((height, 1), np.float32)
  return (total_B1 / np.float32(height * width * channels)).reshape(batch, 1, 1, 1)


def _whitened(weights: Mapping[str, jax.Array], x_BHWC: jax.Array) -> jax.Array:
  basis_RD, gain_R, rest_1 = (weights[f'{PREFIX}zca_{name}'] for name in ('basis_RD', 'gain_R', 'rest'))
  batch, *shape = x_BHWC.shape
  flat_BD = x_BHWC.reshape(batch, math.prod(shape))
  within_BR = flat_BD @ basis_RD.T * (gain_R - rest_1).reshape(1, -1)
  return (within_BR @ basis_RD + rest_1.reshape(1, 1) * flat_BD).reshape(batch, *shape)
