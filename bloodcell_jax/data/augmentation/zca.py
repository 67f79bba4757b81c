"""ZCA whitening, fitted through the samples' Gram matrix where the covariance matrix would not fit into memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from bloodcell_jax.base import types

# Size limit of the basis in float32: 5,965 images of 150x150x3. Fitting takes 1.5 times as much, reading and writing 2.
MOST_BYTES = 1.5 * 2**30
# Images processed together; 256 of 150x150x3 in double precision are 138 MB.
_BLOCK = 256


@dataclasses.dataclass(frozen=True)
class Whitening:
  """The matrix `basis.T @ diag(gain) @ basis + rest * (identity - basis.T @ basis)`, never formed.

  With all D directions in the basis it is the full matrix; with fewer it is exact in the span of the samples, and
  all directions orthogonal to them share one gain.
  """

  basis_RD: np.ndarray  # float32, orthonormal rows
  gain_R: np.ndarray  # float32, 1 / standard deviation
  rest: float

  def apply(self, flat_ND: np.ndarray) -> np.ndarray:
    """The whitened rows, float32."""
    within_NR = flat_ND @ self.basis_RD.T
    whitened_ND = (within_NR * (self.gain_R - np.float32(self.rest))) @ self.basis_RD
    return whitened_ND + np.float32(self.rest) * flat_ND if self.rest else whitened_ND


def fit(
  read: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, epsilon: float, keras_version: int
) -> Whitening:
  """The whitening of these rows.

  Computes the eigenvectors of the smaller of the two Gram matrices: that of the samples where there are fewer samples
  than pixels. Products are summed in double precision, because a Gram matrix squares the condition number.

  Args:
    read: row indices to centred float32 images [n, D].
    rows: the samples, N of them.
    epsilon: limits the gain of directions of small variance.
    keras_version: 2 for the gain 1 / sqrt(variance + epsilon), also outside the basis, as in 2018; 3 for
      sqrt(N) / (singular value + epsilon), and 0 outside the basis, as today.

  Raises:
    UserError: the basis would be larger than MOST_BYTES.

  Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images", appendix A; Keras 2.2 and 3.15,
    `ImageDataGenerator.fit`.

  Example:
    >>> image_ND = np.array([[1, 0, 0], [0, 2, 0], [-1, 0, 0], [0, -2, 0]], np.float32)
    >>> whitening = fit(lambda rows: image_ND[rows], np.arange(4), 1e-6, keras_version=3)
    >>> whitening.apply(image_ND[:2]).round(3).tolist()
    [[1.414..., 0.0, 0.0], [0.0, 1.414..., 0.0]]
  """
  num, size = len(rows), read(rows[:1]).shape[1]
  most = int(MOST_BYTES // (4 * size))
  if min(num, size) > most:
    raise types.UserError(
      f'augment.zca_samples: {num} images of {size} values are too many for ZCA; set it to {most} or fewer'
    )
  if num <= size:
    basis_RD, squared_R = _by_samples(read, rows, size)
  else:
    basis_RD, squared_R = _by_features(read, rows, size)
  if keras_version == 2:
    gain_R, rest = 1 / np.sqrt(squared_R / num + epsilon), 1 / np.sqrt(epsilon)
  else:
    gain_R, rest = np.sqrt(num) / (np.sqrt(squared_R) + epsilon), 0.0
  return Whitening(basis_RD, gain_R.astype(np.float32), float(rest))


def _by_samples(read, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
  image_ND = np.empty((len(rows), size), np.float32)
  for block in _blocks(len(rows)):
    image_ND[block] = read(rows[block])
  gram_NN = np.zeros((len(rows), len(rows)))  # only the lower triangle is read
  for block in _blocks(len(rows)):
    left = image_ND[block].astype(np.float64)
    for other in _blocks(block.stop):
      gram_NN[block, other] = left @ image_ND[other].astype(np.float64).T
  vector_NR, squared_R = _eigen(gram_NN)
  turn_RN = (vector_NR / np.sqrt(squared_R)).T
  # The basis overwrites the images, some columns at a time, which saves half of the memory.
  num_kept = len(squared_R)
  for start in range(0, size, 4096):
    columns = slice(start, start + 4096)
    image_ND[:num_kept, columns] = turn_RN @ image_ND[:, columns].astype(np.float64)
  return image_ND[:num_kept], squared_R


def _by_features(read, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
  gram_DD = np.zeros((size, size))
  for block in _blocks(len(rows)):
    image_ND = read(rows[block]).astype(np.float64)
    gram_DD += image_ND.T @ image_ND
  vector_DR, squared_R = _eigen(gram_DD)
  return np.ascontiguousarray(vector_DR.T.astype(np.float32)), squared_R


def _eigen(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Eigenvectors as columns, and eigenvalues, without those that are 0 up to rounding."""
  from scipy import linalg

  values, vectors = linalg.eigh(gram, lower=True, overwrite_a=True, driver='evr')
  kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
  return vectors[:, kept], values[kept]


def _blocks(num: int) -> Iterator[slice]:
  return (slice(start, min(start + _BLOCK, num)) for start in range(0, num, _BLOCK))
