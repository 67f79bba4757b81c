"""Batch normalization folded into the convolution before it, so that a network has convolutions with a bias alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.weights import published

# Keras' weights of a BatchNormalization; gamma is 1 and beta 0 where the layer has none.
STATISTICS = ('moving_mean', 'moving_variance')
SCALES = ('gamma', 'beta')


def fold(
  arrays: Mapping[str, np.ndarray], norms: Sequence[published.Norm], where: str
) -> dict[str, np.ndarray]:
  """The weights with each normalization in the kernel and bias of its convolution.

  With moving mean m and variance v, `gamma * (kernel * x + bias - m) / sqrt(v + epsilon) + beta` is a convolution with
  the kernel `kernel * s` and the bias `(bias - m) * s + beta`, where `s = gamma / sqrt(v + epsilon)` for each output.

  **Guarantees**: the folded convolution is the convolution followed by the normalization in inference, but for
  rounding; nothing else is changed. Computed in float64, returned as float32.

  Args:
    arrays: by Keras' names, `conv1/kernel` HWIO, `bn_conv1/gamma`, ...; a convolution may have no bias.
    norms: which normalization follows which convolution. Those of which nothing is there are already folded.
    where: the file's name in errors.

  Raises:
    UserError: the statistics, or the convolution that they belong to, are missing or of another size.
  """
  folded = dict(arrays)
  for norm in norms:
    own = {key: folded.pop(f'{norm.name}/{key}', None) for key in (*STATISTICS, *SCALES)}
    if all(array is None for array in own.values()):
      continue
    kernel = folded.get(f'{norm.conv}/kernel')
    mean_O, variance_O = own['moving_mean'], own['moving_variance']
    if kernel is None or mean_O is None or variance_O is None:
      raise types.UserError(f'{where}: {norm.name} needs {", ".join(STATISTICS)} and {norm.conv}/kernel')
    num = kernel.shape[-1]
    bias_O = folded.get(f'{norm.conv}/bias')
    parts = [array for array in (*own.values(), bias_O) if array is not None]
    if any(array.shape != (num,) for array in parts):
      raise types.UserError(f'{where}: {norm.name} does not have the {num} channels of {norm.conv}')
    gamma_O, beta_O = own['gamma'], own['beta']
    # Missing ones are plain numbers: numpy broadcasts them.
    scale_O = (1.0 if gamma_O is None else gamma_O.astype(np.float64)) / np.sqrt(
      variance_O.astype(np.float64) + norm.epsilon
    )
    shift_O = (0.0 if bias_O is None else bias_O.astype(np.float64)) - mean_O.astype(np.float64)
    folded[f'{norm.conv}/kernel'] = (kernel * scale_O.reshape(1, 1, 1, -1)).astype(np.float32)
    bias = shift_O * scale_O + (0.0 if beta_O is None else beta_O.astype(np.float64))
    folded[f'{norm.conv}/bias'] = bias.astype(np.float32)
  return folded
