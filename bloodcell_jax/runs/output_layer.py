"""Fits the head of a network on its features, before a stage is trained."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import stages
from bloodcell_jax.data import stream
from bloodcell_jax.heads import logistic, rbf, svr
from bloodcell_jax.runs import compiled, frozen_features, output_weights
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.train import progress as progress_lib


def fit(
  job: job_lib.Job,
  stage: stages.Stage,
  params: Any,
  features: frozen_features.Features | None,
  progress: progress_lib.Progress,
) -> Any:
  """The parameters with the head `stage.output_layer` fitted on every training image once, without dropout.

  With cached features of augmented images, each of these copies stands for its share of the image.

  **Guarantees**: the weights below the head are the same arrays; the same parameters and images give the same bits on
  the same machine.

  Args:
    job: the job.
    stage: the stage, which names the head; 'svr' and 'logistic' replace the last dense layer, 'rbf' also the
      neurons before it.
    params: the network's weights.
    features: the cached features of the frozen blocks, used instead of the images; None without a cache.
    progress: where progress is printed.

  Raises:
    UserError: there are more neurons than distinct images.
    RunError: a feature is not finite, or the fit does not converge.
    signals.Stopped: a stop was requested.
  """
  began = time.monotonic()
  model, arrays, batches = _training(job, features)
  embedding_ND = embed(job, model, params, batches)
  weight_N = arrays.weight_N.astype(np.float64)
  target_NK = 2 * arrays.target_NK.astype(np.float64) - 1
  if stage.output_layer == rbf.NAME:
    leaves = dict(tree.names(params))
    centre_MD = rbf.centres(embedding_ND, job.experiment.model.rbf_units, job.experiment.seed)
    leaves['rbf_1/centre'] = centre_MD.astype(np.float32)
    leaves['rbf_1/log_width'] = np.log(rbf.widths(centre_MD, embedding_ND)).astype(np.float32)
    params = tree.nest(leaves)
  input_ND = output_weights.inputs(params, embedding_ND)
  if stage.output_layer == rbf.NAME:
    layer = logistic.Linear(*rbf.outputs(input_ND, target_NK, weight_N))
    summary = f'{len(centre_MD)} neurons of radial basis functions'
  elif stage.output_layer == logistic.NAME:
    label_N, spec = arrays.target_NK.argmax(1), job.experiment.logistic
    layer = logistic.fit_new(input_ND, label_N, weight_N, job.num_classes, spec)
    share = float(np.mean(layer.logits(input_ND).argmax(1) == label_N))
    summary = f'logistic regression of strength {spec.strength:g}, training accuracy {share:.3f}'
  else:
    # Augmented copies of an image share its weight, so that the stage that follows has the same minimum.
    share = len(job.data.rows['train']) / len(input_ND)
    fitted = svr.fit(input_ND, target_NK, weight_N * share, job.experiment.svr)
    layer = logistic.Linear(fitted.kernel_DK, fitted.bias_K)
    summary = (
      f'support vector regression, objective {fitted.objective_K.sum():.6g}, '
      f'relative gap {fitted.gap_K.max():.1e}'
    )
  progress.line(
    f'{stage.fit.name}: output layer fitted on {len(input_ND):,} x {input_ND.shape[1]} features: {summary}, '
    f'{time.monotonic() - began:.1f} s'
  )
  return output_weights.replaced(job, params, layer)


def embed(job: job_lib.Job, model: Any, params: Any, batches: Iterable[types.Batch]) -> np.ndarray:
  """[N, D] the input of the head for each row of the batches, without padding rows.

  Raises:
    signals.Stopped: a stop was requested.
  """
  apply, parts = job.make_apply(model, method=compiled.embedding), []
  params = job.placed(params)
  for batch in batches:
    job.poll()
    parts.append(apply(params, batch)[np.asarray(batch.weight_B) > 0])
  return np.concatenate(parts)


def _training(
  job: job_lib.Job, features: frozen_features.Features | None
) -> tuple[Any, stream.Arrays, Iterable[types.Batch]]:
  """The network or the part after the cached blocks, the targets and weights of training, and its batches in order."""
  if features:
    arrays, size = features.arrays, job.experiment.evaluate_batch_size
    items = np.arange(len(arrays.weight_N))
    return features.model, arrays, stream.in_order(arrays, items, size, frozen_features.widened)
  rows, whole = job.data.rows['train'], job.arrays
  arrays = stream.Arrays(whole.image_NHWC, whole.target_NK[rows], whole.weight_N[rows])
  return job.model, arrays, job.in_order(rows)
