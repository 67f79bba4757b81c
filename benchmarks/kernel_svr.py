"""Kernel support vector regression: by features that approximate a Gaussian kernel, or exact.

With `fourier` or `nystroem` the linear regression of `svr.fit` becomes one with the kernel `exp(-gamma |x - y|^2)`;
`exact` is scikit-learn's `SVR` without the approximation, in time that grows with the square of the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from bloodcell_jax.base import rng, types
from bloodcell_jax.heads import svr

KINDS = ('linear', 'rbf')
# Eigenvectors of the landmarks' kernel with less than this share of the largest eigenvalue are dropped.
LEAST_EIGENVALUE = 1e-10


def gamma_scale(feature_ND: np.ndarray) -> float:
  """1 / (D x variance of all entries), a gamma on the scale of the features. Source: scikit-learn, `gamma='scale'`."""
  variance = float(np.var(feature_ND))
  if not variance > 0:
    raise types.RunError(
      'all features are equal, so no kernel can separate them; the network has learned nothing'
    )
  return 1 / (feature_ND.shape[1] * variance)


@dataclasses.dataclass(frozen=True)
class Fourier:
  """Random Fourier features."""

  frequency_DM: np.ndarray
  phase_M: np.ndarray

  def __call__(self, feature_ND: ArrayLike) -> jax.Array:
    """[N, M]; the inner product of two rows is the kernel of their features in expectation."""
    num = len(self.phase_M)
    wave_NM = jnp.cos(jnp.asarray(feature_ND) @ jnp.asarray(self.frequency_DM) + self.phase_M.reshape(1, -1))
    return jnp.sqrt(2 / num) * wave_NM


def fourier(num_inputs: int, num: int, gamma: float, seed: int) -> Fourier:
  """`num` random waves for D = `num_inputs` features; the kernel's error falls with the root of `num`.

  Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines", algorithm 1; scikit-learn
    `RBFSampler`.
  """
  generator = rng.generator(seed, 'fourier')
  frequency_DM = np.sqrt(2 * gamma) * generator.standard_normal((num_inputs, num))
  return Fourier(frequency_DM, generator.uniform(0, 2 * np.pi, num))


@dataclasses.dataclass(frozen=True)
class Nystroem:
  """Nystroem features: kernels with some of the rows, the landmarks."""

  landmark_MD: np.ndarray
  root_MR: np.ndarray  # R <= M: the inverse square root of the kernel of the landmarks
  gamma: float

  def __call__(self, feature_ND: ArrayLike) -> jax.Array:
    """[N, R]; the inner product of two landmarks' rows is their kernel."""
    return gaussian(feature_ND, self.landmark_MD, self.gamma) @ jnp.asarray(self.root_MR)


def nystroem(feature_ND: np.ndarray, num: int, gamma: float, seed: int) -> Nystroem:
  """The map with `num` landmarks drawn from the rows; all rows if there are fewer.

  Source: Williams and Seeger 2001, "Using the Nystroem method to speed up kernel machines"; scikit-learn `Nystroem`.
  """
  chosen = rng.generator(seed, 'nystroem').permutation(len(feature_ND))[:num]
  landmark_MD = np.asarray(feature_ND, np.float64)[np.sort(chosen)]
  with jax.enable_x64(True):
    kernel_MM = np.asarray(gaussian(landmark_MD, landmark_MD, gamma))
  value_M, vector_MM = np.linalg.eigh(kernel_MM)
  # Near-duplicate images give nearly equal rows, whose eigenvectors are rounding errors.
  kept = value_M > LEAST_EIGENVALUE * value_M[-1]
  return Nystroem(landmark_MD, vector_MM[:, kept] / np.sqrt(value_M[kept]).reshape(1, -1), gamma)


def gaussian(first_ND: ArrayLike, second_MD: ArrayLike, gamma: float) -> jax.Array:
  """[N, M] the kernel `exp(-gamma |x - y|^2)`."""
  x, y = jnp.asarray(first_ND), jnp.asarray(second_MD)
  square_NM = jnp.square(x).sum(1)[:, None] - 2 * x @ y.T + jnp.square(y).sum(1)[None, :]
  return jnp.exp(-gamma * jnp.maximum(square_NM, 0))


def exact(
  feature_ND: np.ndarray,
  target_NK: np.ndarray,
  weight_N: np.ndarray,
  spec: svr.Spec,
  kind: str,
  gamma: float,
) -> Callable[[np.ndarray], np.ndarray]:
  """The regressors of scikit-learn's `SVR`, as a function from features to outputs [N, K].

  Args:
    feature_ND: features.
    target_NK: +1 or -1.
    weight_N: > 0, of the error of each row.
    spec: epsilon and C.
    kind: one of KINDS.
    gamma: of the kernel 'rbf'; 'linear' leaves it unused.
  """
  # Imported here: it takes a second to load and few commands need it.
  from sklearn import svm

  if kind not in KINDS:
    raise ValueError(f'kind is {kind!r}; choose one of {", ".join(KINDS)}')
  feature_ND = np.asarray(feature_ND, np.float64)
  fitted = [
    svm.SVR(kernel=kind, gamma=gamma, C=spec.cost, epsilon=spec.epsilon).fit(feature_ND, target_N, weight_N)
    for target_N in target_NK.T
  ]
  return lambda feature_ND: np.stack([one.predict(np.asarray(feature_ND, np.float64)) for one in fitted], 1)
