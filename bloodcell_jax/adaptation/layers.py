"""The output layer of a run before it is adapted and after, for the same classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import tree
from bloodcell_jax.heads import logistic
from bloodcell_jax.runs import model_set, output_weights


@dataclasses.dataclass(frozen=True)
class Layers:
  """Two layers on the same embeddings."""

  before: logistic.Linear  # of all K classes, as `grown` gives it
  after: logistic.Linear
  known_K: np.ndarray  # bool: the classes that the run knew before

  def probabilities_before(self, embedding_ND: np.ndarray) -> np.ndarray:
    """[N, K] what the run said: nothing of classes that it did not know."""
    probs_NK = np.zeros((len(embedding_ND), len(self.known_K)))
    known = logistic.Linear(self.before.kernel_DK[:, self.known_K], self.before.bias_K[self.known_K])
    probs_NK[:, self.known_K] = known.probabilities(embedding_ND)
    return probs_NK


def grown(layer: logistic.Linear, known: Sequence[str], class_names: Sequence[str]) -> logistic.Linear:
  """The layer of the known classes with an output for each class; that of a new one is the mean of the others.

  Example:
    >>> grown(logistic.Linear(np.array([[1.0, 3.0]]), np.array([0.0, 4.0])), 'ac', 'abc').kernel_DK.tolist()
    [[1.0, 2.0, 3.0]]
  """
  kernel_DK = np.repeat(layer.kernel_DK.mean(1, keepdims=True), len(class_names), 1)
  bias_K = np.full(len(class_names), layer.bias_K.mean())
  places = [class_names.index(name) for name in known]
  kernel_DK[:, places], bias_K[places] = layer.kernel_DK, layer.bias_K
  return logistic.Linear(kernel_DK, bias_K)


def replaced(network: model_set.Network, layer: logistic.Linear, like: Any) -> Any:
  """The weights of the network with another output layer, in the shapes of `like`.

  Auxiliary classifiers, which have no part in an answer, are those of `like` where the number of classes has changed.
  """
  leaves = tree.names(output_weights.replaced(network.job, network.params, layer))
  return tree.nest(
    {
      key: leaves[key] if key in leaves and leaves[key].shape == leaf.shape else leaf
      for key, leaf in tree.names(like).items()
    }
  )
