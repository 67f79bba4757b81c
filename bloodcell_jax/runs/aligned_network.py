"""A network whose output layer takes another laboratory's features, aligned with those of the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bloodcell_jax.base import evenly_spaced
from bloodcell_jax.data import stream
from bloodcell_jax.heads import logistic
from bloodcell_jax.runs import model_set, output_layer, output_weights
from bloodcell_jax.stats import feature_shift
from bloodcell_jax.storage import unlike_file

# Fewest images that a mean and a spread of the features are estimated from, and the most that are looked at.
LEAST_IMAGES, MOST_IMAGES = 30, 400


def can_align(models: model_set.ModelSet, measure: unlike_file.Measure | None) -> bool:
  """Whether the run asks for it, is one network, and knows where the features of its own images lie."""
  first = models.networks[0].job.experiment
  return bool(first.align_features and len(models.networks) == 1 and measure and measure.features)


def sample(rows: np.ndarray) -> np.ndarray:
  """At most MOST_IMAGES of the rows, evenly spaced."""
  return rows[evenly_spaced.rows(len(rows), MOST_IMAGES)]


def align(
  models: model_set.ModelSet, measure: unlike_file.Measure, image_NHWC: Sequence[np.ndarray]
) -> model_set.ModelSet:
  """The same network for images of another laboratory.

  Args:
    models: of one network, as `can_align` says.
    measure: of the run.
    image_NHWC: uint8 images of the laboratory, LEAST_IMAGES or more, of all classes: what they have in common counts
      as the laboratory's.
  """
  assert measure.features is not None, 'see can_align'
  network = models.networks[0]
  embedding_ND = _embed(network, image_NHWC)
  other = feature_shift.fit(embedding_ND, np.zeros(len(embedding_ND), int))
  own = network.output_layer
  layer = logistic.Linear(*feature_shift.aligned(own.kernel_DK, own.bias_K, measure.features, other))
  params = output_weights.replaced(network.job, network.params, layer)
  return dataclasses.replace(models, networks=(dataclasses.replace(network, params=params),))


def _embed(network: model_set.Network, image_NHWC: Sequence[np.ndarray]) -> np.ndarray:
  """[N, D] the embedding of each image as it is."""
  job, num = network.job, len(image_NHWC)
  arrays = stream.Arrays(
    np.stack(image_NHWC), np.zeros((num, job.num_classes), np.float32), np.ones(num, np.float32)
  )
  size = job.experiment.evaluate_batch_size
  batches = stream.in_order(arrays, np.arange(num), size, job.standardize)
  return output_layer.embed(job, job.model, network.params, batches)
