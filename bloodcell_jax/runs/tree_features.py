"""The features of a network that trees are fitted on: its embedding or its last feature map."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.data import dataset
from bloodcell_jax.heads import trees
from bloodcell_jax.runs import compiled, model_set, output_layer

# The input of the head; the last feature map, flattened; its channels, averaged over positions.
FEATURES = ('embedding', 'map', 'average')


@dataclasses.dataclass(frozen=True)
class Features:
  """The network's features of some rows of the data."""

  rows: np.ndarray  # ascending, of the data's table
  feature_ND: np.ndarray  # float32, of those rows
  unit_D: np.ndarray  # int: the unit or channel of each feature
  unit: str  # unit or channel


def of_images(network: model_set.Network, splits: list[str], features: str) -> Features:
  """The features of all images of these splits, each image once.

  Raises:
    signals.Stopped: a stop was requested.
  """
  job = network.job
  rows = np.unique(np.concatenate([job.data.rows[split] for split in splits]))
  batches = job.in_order(rows)
  if features == 'embedding':
    feature_ND = output_layer.embed(job, job.model, network.params, batches)
    return Features(rows, feature_ND.astype(np.float32), np.arange(feature_ND.shape[1]), 'unit')
  apply, parts = job.make_apply(job.model, method=compiled.features), []
  params = job.placed(network.params)
  for batch in batches:
    job.poll()
    map_BHWC = apply(params, batch)[np.asarray(batch.weight_B) > 0]
    parts.append(map_BHWC.mean((1, 2)) if features == 'average' else map_BHWC.reshape(len(map_BHWC), -1))
  feature_ND = np.concatenate(parts).astype(np.float32)
  # In a flattened map the channel index varies fastest.
  channel_D = np.arange(feature_ND.shape[1]) % map_BHWC.shape[-1]
  return Features(rows, feature_ND, channel_D, 'channel')


def of_split(extracted: Features, data: dataset.Dataset, split: str) -> trees.Rows:
  """Features, labels and groups of the images of a split, in its order."""
  rows = data.rows[split]
  feature_ND = extracted.feature_ND[np.searchsorted(extracted.rows, rows)]
  return trees.Rows(feature_ND, data.table.label[rows], data.table.group[rows])
