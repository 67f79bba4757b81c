"""The output layer among the weights of a network: read, replaced, and its input computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodcell_jax.base import tree
from bloodcell_jax.heads import logistic
from bloodcell_jax.models import rbf
from bloodcell_jax.runs import job as job_lib

# Rows whose differences from all centres are in memory at once.
_CHUNK = 256


def read(job: job_lib.Job, params: Any) -> logistic.Linear:
  """The output layer of the job's network in these weights."""
  leaves, name = tree.names(params), job.experiment.model.network.output_layer
  return logistic.Linear(*(np.asarray(leaves[f'{name}/{key}'], np.float64) for key in ('kernel', 'bias')))


def replaced(job: job_lib.Job, params: Any, layer: logistic.Linear) -> dict[str, Any]:
  """These weights with another output layer, rounded to float32; the others are the same arrays."""
  name = job.experiment.model.network.output_layer
  own = {f'{name}/kernel': layer.kernel_DK, f'{name}/bias': layer.bias_K}
  return tree.nest({**tree.names(params), **{key: array.astype(np.float32) for key, array in own.items()}})


def inputs(params: Any, embedding_ND: np.ndarray) -> np.ndarray:
  """The input of the output layer: the embedding, or the activations of the RBF neurons behind it."""
  leaves = tree.names(params)
  if 'rbf_1/centre' not in leaves:
    return embedding_ND
  neurons = leaves['rbf_1/centre'], leaves['rbf_1/log_width']
  pieces = [embedding_ND[i : i + _CHUNK] for i in range(0, len(embedding_ND), _CHUNK)]
  return np.concatenate([np.asarray(rbf.activations(piece, *neurons)) for piece in pieces])
