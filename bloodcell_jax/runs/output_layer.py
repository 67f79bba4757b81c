"""The top of a network, fitted on the features below it: how a stage may begin."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import stages
from bloodcell_jax.data import stream
from bloodcell_jax.heads import rbf, svr
from bloodcell_jax.models import rbf as rbf_layer
from bloodcell_jax.runs import frozen_features, job
from bloodcell_jax.train import progress


def fit(
  made: job.Job,
  stage: stages.Stage,
  params: Any,
  features: frozen_features.Features | None,
  shown: progress.Progress,
) -> Any:
  """The parameters with the output layer of the stage, fitted on every training image once without dropout.

  **Guarantees**: every weight below the top is the very array it was; the same parameters and images give the same bits
  on the same machine.

  Args:
    made: the job.
    stage: which top; 'svr' replaces the last dense layer, 'rbf' that and the neurons before it.
    params: the network's.
    features: what is kept of the frozen part, where something is: then it takes the images' place.
    shown: where what was fitted is told.

  Raises:
    UserError: more neurons than images that differ.
    RunError: features that are not finite, or a fit that does not converge.
    signals.Stopped: a stop was asked for.
  """
  began = time.monotonic()
  model, arrays, batches = _training(made, features)
  embedding_ND = embed(made, model, params, batches)
  weight_N = arrays.weight_N.astype(np.float64)
  target_NK = 2 * arrays.target_NK.astype(np.float64) - 1
  leaves, last = dict(tree.names(params)), made.experiment.model.network.output_layer
  if stage.output_layer == rbf.NAME:
    centre_MD = rbf.centres(embedding_ND, made.experiment.model.rbf_units, made.experiment.seed)
    leaves['rbf_1/centre'] = centre_MD.astype(np.float32)
    leaves['rbf_1/log_width'] = np.log(rbf.widths(centre_MD, embedding_ND)).astype(np.float32)
  if made.experiment.model.head == rbf.NAME:
    centre_MD, log_width_M = leaves['rbf_1/centre'], leaves['rbf_1/log_width']
    embedding_ND = _activations(embedding_ND, centre_MD, log_width_M)
  if stage.output_layer == rbf.NAME:
    kernel_DK, bias_K = rbf.outputs(embedding_ND, target_NK, weight_N)
    said = f'{len(centre_MD)} neurons of radial basis functions'
  else:
    found = svr.fit(embedding_ND, target_NK, weight_N, made.experiment.svr)
    kernel_DK, bias_K = found.kernel_DK, found.bias_K
    said = f'support vector regression, objective {found.objective_K.sum():.6g}, relative gap {found.gap_K.max():.1e}'
  leaves[f'{last}/kernel'] = kernel_DK.astype(np.float32)
  leaves[f'{last}/bias'] = bias_K.astype(np.float32)
  shown.line(
    f'{stage.fit.name}: top fitted on {len(embedding_ND):,} x {embedding_ND.shape[1]} features: {said}, '
    f'{time.monotonic() - began:.1f} s'
  )
  return tree.nest(leaves)


def embed(made: job.Job, model: Any, params: Any, batches: Iterable[types.Batch]) -> np.ndarray:
  """[N, D] what the top of the network sees of each row of the batches, those without weight left out.

  Raises:
    signals.Stopped: a stop was asked for.
  """
  apply, parts = made.make_apply(model, method=_embedding), []
  for batch in batches:
    made.poll()
    parts.append(apply(params, batch)[np.asarray(batch.weight_B) > 0])
  return np.concatenate(parts)


def _training(
  made: job.Job, features: frozen_features.Features | None
) -> tuple[Any, stream.Arrays, Iterable[types.Batch]]:
  """The network, or what of it is left, and its training items: targets and weights, and the batches in order."""
  if features:
    arrays, size = features.arrays, made.experiment.evaluate_batch_size
    items = np.arange(len(arrays.weight_N))
    return features.model, arrays, stream.in_order(arrays, items, size, frozen_features.widened)
  rows, whole = made.data.rows['train'], made.arrays
  arrays = stream.Arrays(whole.image_NHWC, whole.target_NK[rows], whole.weight_N[rows])
  return made.model, arrays, made.in_order(rows)


def _embedding(model: Any, image_BHWC: Any, position_B: Any, train: bool) -> Any:
  return model.embedding(model.features(image_BHWC), position_B, train)


def _activations(feature_ND: np.ndarray, centre_MD: Any, log_width_M: Any) -> np.ndarray:
  # In pieces: the differences of all rows at once would fill the memory.
  pieces = [feature_ND[i : i + 256] for i in range(0, len(feature_ND), 256)]
  return np.concatenate([np.asarray(rbf_layer.activations(x, centre_MD, log_width_M)) for x in pieces])
