"""The output layer of an adapted run, fitted on images of both laboratories; its strength is chosen by groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from bloodcell_jax.base import groups
from bloodcell_jax.heads import logistic

# How strongly the layer is drawn to that of the run: `logistic.fit`'s strength. One of them is chosen.
STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4)
# The weight of the new laboratory's images together; that of the old one's is the rest.
NEW_SHARE = 0.5
NUM_FOLDS = 5


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
class Choice:
  """The layer that was fitted, and what it says of images that it was not fitted on."""

  layer: logistic.Linear
  strength: float
  # Of the new images, each by a layer that was fitted, and whose strength was chosen, without its group.
  cross_fitted_NK: np.ndarray
  num_folds: int


def choose(
  home: Examples, new: Examples, before: logistic.Linear, seed: int, poll: Callable[[], None]
) -> Choice:
  """Fits the layer on all images, and for each fold of the new groups on the others.

  **Guarantees**: neither the label nor any other image of its group has a part in what is said of an image in
  `cross_fitted_NK`; the same arguments give the same bits on the same machine.

  Args:
    home: of the old laboratory.
    new: of the new one, of two classes or more.
    before: the layer of the run.
    seed: of the folds.
    poll: called before each fit; may raise to stop.
  """
  fold_N = groups.spread_folds(new.label_N, new.group_N, NUM_FOLDS, seed)
  cross_fitted_NK = np.full((len(new.label_N), len(before.bias_K)), np.nan)
  for fold in np.unique(fold_N):
    inside_N = fold_N == fold
    rest = new.take(~inside_N)
    strength = _strength(home, rest, before, seed, poll)
    layer = fit(home, rest, before, strength)
    cross_fitted_NK[inside_N] = layer.probabilities(new.embedding_ND[inside_N])
  strength = _strength(home, new, before, seed, poll)
  return Choice(fit(home, new, before, strength), strength, cross_fitted_NK, len(np.unique(fold_N)))


def fit(home: Examples, new: Examples, before: logistic.Linear, strength: float) -> logistic.Linear:
  """The layer fitted on both laboratories, each with its share of the weight, in each the classes with equal shares."""
  num_classes = len(before.bias_K)
  weight_N = np.concatenate(
    [
      (1 - NEW_SHARE) * _equal(home.label_N, num_classes),
      NEW_SHARE * _equal(new.label_N, num_classes),
    ]
  )
  return logistic.fit(
    np.concatenate([home.embedding_ND, new.embedding_ND]),
    np.concatenate([home.label_N, new.label_N]),
    weight_N,
    before,
    strength,
  )


def _strength(
  home: Examples, new: Examples, before: logistic.Linear, seed: int, poll: Callable[[], None]
) -> float:
  """The strength of least cross-entropy of new images that the layer was not fitted on, classes weighted equally."""
  fold_N = groups.spread_folds(new.label_N, new.group_N, NUM_FOLDS, seed + 1)
  weight_N = _equal(new.label_N, len(before.bias_K))
  rows = np.arange(len(new.label_N))
  losses = []
  for strength in STRENGTHS:
    loss_N = np.empty(len(new.label_N))
    for fold in np.unique(fold_N):
      poll()
      inside_N = fold_N == fold
      layer = fit(home, new.take(~inside_N), before, strength)
      probs_K = layer.probabilities(new.embedding_ND)[rows, new.label_N]
      loss_N[inside_N] = -np.log(np.maximum(probs_K[inside_N], np.nextafter(0, 1)))
    losses.append(float(weight_N @ loss_N))
  return STRENGTHS[int(np.argmin(losses))]


def _equal(label_N: np.ndarray, num_classes: int) -> np.ndarray:
  """[N] weights of sum 1, every class that has rows the same sum."""
  count_K = np.bincount(label_N, minlength=num_classes)
  return 1 / (np.count_nonzero(count_K) * count_K[label_N])
