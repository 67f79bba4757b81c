"""The output layer of an adapted run, fitted on images of both laboratories; how strongly is chosen by groups."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from bloodcell_jax.base import groups
from bloodcell_jax.heads import logistic
from bloodcell_jax.stats import metrics

# How strongly the layer is shrunk towards its starting point (the strength of `logistic.fit`), and whether that point
# is the run's own layer or zero. One of the pairs is chosen.
STRENGTHS = (1e-2, 1e-3)
BEGINNINGS = ('before', 'zero')
# The weight of the new laboratory's images together; that of the old one's is the rest.
NEW_SHARE = 0.5
# Folds of the cross-fitted predictions, and of the choice within each.
NUM_FOLDS, NUM_INNER = 5, 3
# The kernel is confined to at most this many directions, those of largest variance: more do not help and are slow.
MOST_DIRECTIONS = 128


@dataclasses.dataclass(frozen=True)
class Examples:
  """Images of a laboratory as the output layer gets them."""

  embedding_ND: np.ndarray  # float32
  label_N: np.ndarray  # int, in [0, K)
  group_N: np.ndarray  # str

  def take(self, chosen_N: np.ndarray) -> Examples:
    """The same with these rows only."""
    return Examples(self.embedding_ND[chosen_N], self.label_N[chosen_N], self.group_N[chosen_N])


@dataclasses.dataclass(frozen=True)
class Settings:
  """How the layer is fitted."""

  strength: float  # one of STRENGTHS
  beginning: str  # one of BEGINNINGS


@dataclasses.dataclass(frozen=True)
class Choice:
  """The layer that was fitted, and what it says of images that it was not fitted on."""

  layer: logistic.Linear
  settings: Settings
  # Of the new images, each by a layer that was fitted, and whose settings were chosen, without its group.
  cross_fitted_NK: np.ndarray
  num_folds: int


def choose(
  home: Examples, new: Examples, before: logistic.Linear, seed: int, poll: Callable[[], None]
) -> Choice:
  """Fits the layer on all images, and for each fold of the new groups on the others.

  **Guarantees**: neither an image's own label nor any other label of its group influences its row of
  `cross_fitted_NK`; the same arguments give the same bits on the same machine.

  Args:
    home: of the old laboratory.
    new: of the new one, of two classes or more.
    before: the layer of the run.
    seed: of the folds.
    poll: called before each fit; may raise to stop.
  """
  # Imported here: few commands need it. The products are small: threads cost more than they save.
  import threadpoolctl

  with threadpoolctl.threadpool_limits(1, 'blas'):
    return _choose(home, new, before, seed, poll)


def fit_chosen(
  home: Examples, new: Examples, before: logistic.Linear, seed: int, poll: Callable[[], None]
) -> logistic.Linear:
  """The layer of `choose` for the same arguments, without saying anything of images left out."""
  import threadpoolctl

  with threadpoolctl.threadpool_limits(1, 'blas'):
    basis_DR, home, new, start = _in_directions(home, new, before)
    return _whole(basis_DR, fit(home, new, start, _settings(home, new, start, seed, poll)))


def _choose(
  home: Examples, new: Examples, before: logistic.Linear, seed: int, poll: Callable[[], None]
) -> Choice:
  basis_DR, home, new, start = _in_directions(home, new, before)
  fold_N = groups.spread_folds(new.label_N, new.group_N, NUM_FOLDS, seed)
  cross_fitted_NK = np.full((len(new.label_N), len(start.bias_K)), np.nan)
  for fold in np.unique(fold_N):
    inside_N = fold_N == fold
    rest = new.take(~inside_N)
    layer = fit(home, rest, start, _settings(home, rest, start, seed, poll))
    cross_fitted_NK[inside_N] = layer.probabilities(new.embedding_ND[inside_N])
  settings = _settings(home, new, start, seed, poll)
  whole = _whole(basis_DR, fit(home, new, start, settings))
  return Choice(whole, settings, cross_fitted_NK, len(np.unique(fold_N)))


def _in_directions(
  home: Examples, new: Examples, before: logistic.Linear
) -> tuple[np.ndarray, Examples, Examples, logistic.Linear]:
  """[D, R] the directions, and both laboratories and the layer in these."""
  basis_DR = _directions(np.concatenate([home.embedding_ND, new.embedding_ND]))
  home, new = (
    dataclasses.replace(one, embedding_ND=one.embedding_ND.astype(np.float64) @ basis_DR)
    for one in (home, new)
  )
  return basis_DR, home, new, logistic.Linear(basis_DR.T @ before.kernel_DK, before.bias_K)


def _whole(basis_DR: np.ndarray, layer: logistic.Linear) -> logistic.Linear:
  """The layer on embeddings, of one on their directions."""
  return logistic.Linear(basis_DR @ layer.kernel_DK, layer.bias_K)


def fit(home: Examples, new: Examples, before: logistic.Linear, settings: Settings) -> logistic.Linear:
  """The layer fitted on both laboratories, each with its share of the weight, in each the classes with equal shares."""
  num_classes = len(before.bias_K)
  shares = ((home, 1 - NEW_SHARE), (new, NEW_SHARE))
  weight_N = np.concatenate([share * _equal(one.label_N, num_classes) for one, share in shares])
  if settings.beginning == 'zero':
    before = logistic.Linear(np.zeros_like(before.kernel_DK), np.zeros(num_classes))
  return logistic.fit(
    np.concatenate([home.embedding_ND, new.embedding_ND]),
    np.concatenate([home.label_N, new.label_N]),
    weight_N,
    before,
    settings.strength,
  )


def _settings(
  home: Examples, new: Examples, before: logistic.Linear, seed: int, poll: Callable[[], None]
) -> Settings:
  """Those of least cross-entropy of new images that the layer was not fitted on, classes weighted equally."""
  fold_N = groups.spread_folds(new.label_N, new.group_N, NUM_INNER, seed + 1)
  weight_N = _equal(new.label_N, len(before.bias_K))
  best, least = Settings(STRENGTHS[0], BEGINNINGS[0]), np.inf
  for beginning, strength in itertools.product(BEGINNINGS, STRENGTHS):
    settings, loss_N = Settings(strength, beginning), np.empty(len(new.label_N))
    for fold in np.unique(fold_N):
      poll()
      inside_N = fold_N == fold
      layer = fit(home, new.take(~inside_N), before, settings)
      loss_N[inside_N] = metrics.losses(layer.probabilities(new.embedding_ND), new.label_N)[inside_N]
    if (loss := float(weight_N @ loss_N)) < least:
      best, least = settings, loss
  return best


def _directions(embedding_ND: np.ndarray) -> np.ndarray:
  """[D, R] orthonormal; all of them where there are no more than MOST_DIRECTIONS."""
  size = embedding_ND.shape[1]
  if size <= MOST_DIRECTIONS:
    return np.eye(size)
  centred_ND = embedding_ND.astype(np.float64) - embedding_ND.mean(0, dtype=np.float64)
  # From the covariance, whose size does not grow with the images.
  _, vector_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
  return vector_DD[:, ::-1][:, :MOST_DIRECTIONS]


def _equal(label_N: np.ndarray, num_classes: int) -> np.ndarray:
  """[N] weights of sum 1, every class that has rows the same sum."""
  count_K = np.bincount(label_N, minlength=num_classes)
  return 1 / (np.count_nonzero(count_K) * count_K[label_N])
