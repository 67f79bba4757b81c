"""The embeddings of images by a network, kept in the folder of the run that they are for."""

from __future__ import annotations

import pathlib

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import test_time
from bloodcell_jax.data.images import feature_cache, on_demand
from bloodcell_jax.runs import model_set, output_layer, output_weights
from bloodcell_jax.train import progress as progress_lib

# Images whose embeddings are kept together: an interruption costs no more than these.
_CHUNK = 64


def embed(
  network: model_set.Network,
  table: types.Table,
  image_NHWC: on_demand.Images,
  tta: str,
  cache: pathlib.Path,
  progress: progress_lib.Progress,
) -> np.ndarray:
  """[N, D] float32: the input of the output layer for each image, the mean over its copies.

  **Guarantees**: interrupted and called again, it computes again what was lost of the last `_CHUNK` images only.

  Args:
    network: whose.
    table: of the images.
    image_NHWC: uint8, cropped and resized.
    tta: test-time augmentation, one of `test_time.KINDS`: its copies.
    cache: where the embeddings are kept.
    progress: where progress is printed.

  Raises:
    signals.Stopped: a stop was requested.
  """
  job, count = network.job, progress.counter('embeddings')
  target_NK = np.zeros((len(table), job.num_classes), np.float32)
  weight_N = np.ones(len(table), np.float32)
  size = min(_CHUNK, job.experiment.evaluate_batch_size)
  width = network.output_layer.kernel_DK.shape[0]
  parts = [np.zeros((0, width), np.float32)]
  for start in range(0, len(table), _CHUNK):
    rows = np.arange(start, min(start + _CHUNK, len(table)))

    def compute(items: np.ndarray, rows: np.ndarray = rows) -> np.ndarray:
      inputs = []
      for copy_NHWC in test_time.copies(image_NHWC[rows[items]], tta):
        arrays = stream.Arrays(copy_NHWC, target_NK[rows[items]], weight_N[rows[items]])
        batches = stream.in_order(arrays, np.arange(len(items)), size, job.standardize)
        embedding_ND = output_layer.embed(job, job.model, network.params, batches)
        inputs.append(output_weights.inputs(network.params, embedding_ND))
      return inputs[0] if len(inputs) == 1 else np.mean(inputs, 0)

    name = 'embedding-' + feature_cache.key(
      network=network.fingerprint,
      images=' '.join(table.digest[rows]),
      decoding=repr(job.experiment.data.decode),
      # `none` is not named, so that embeddings cached before there were copies stay valid.
      **({} if tta == test_time.NONE else {'tta': tta}),
    )
    shape = (len(rows), width)
    parts.append(
      np.array(feature_cache.read_or_build(cache, name, shape, 'float32', compute, lambda done, total: None))
    )
    count(int(rows[-1]) + 1, len(table))
  return np.concatenate(parts)


def tta(exp: experiment.Experiment) -> str:
  """The test-time augmentation of embeddings for a run: its own, with the mean taken of the logits."""
  return test_time.with_mean_of_logits(exp.tta)
