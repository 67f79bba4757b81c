"""Predictions by group (photograph) as a table and a CSV file, the weakest group first."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import metrics
from bloodcell_jax.system import atomic


@dataclasses.dataclass(frozen=True)
class Row:
  """One group of images with the network's predictions."""

  group: str
  label: str  # of most of its images
  num_images: int
  num_right: int
  share_right: float
  majority: str  # the class predicted for most of its images
  mean_vote: str  # the class with the highest mean probability
  label_probability: float  # mean probability of each image's own label


def table(predictions: types.Predictions) -> list[Row]:
  """One row for each group, by ascending share of correct images, then by ascending probability of the label.

  Example:
    >>> probs, label = np.array([[.9, .1], [.4, .6], [.2, .8]]), np.array([0, 0, 1], np.int32)
    >>> names = np.array(['a', 'b', 'c'])
    >>> predictions = types.Predictions(probs, label, np.array(['x', 'x', 'y']), names, ('A', 'B'))
    >>> [(row.group, row.num_right) for row in table(predictions)]
    [('x', 1), ('y', 1)]
  """
  names = predictions.class_names
  sums, group_names = metrics.sums(predictions)
  label_G, majority_G = metrics.majority(sums)
  vote_G, _ = metrics.mean_vote(predictions)
  num_G, right_G = sums.actual_K.sum(1).astype(int), sums.right_K.sum(1).astype(int)
  group_N = np.searchsorted(group_names, predictions.group_N)
  of_label_N = predictions.probs_NK[np.arange(len(predictions)), predictions.label_N]
  probability_G = np.bincount(group_N, of_label_N) / num_G
  rows = [
    Row(
      group=str(group),
      label=names[label_G[g]],
      num_images=int(num_G[g]),
      num_right=int(right_G[g]),
      share_right=float(right_G[g] / num_G[g]),
      majority=names[majority_G[g]],
      mean_vote=names[vote_G[g]],
      label_probability=float(probability_G[g]),
    )
    for g, group in enumerate(group_names)
  ]
  return sorted(rows, key=lambda row: (row.share_right, row.label_probability, row.group))


def write(path: str | os.PathLike[str], rows: list[Row]) -> None:
  """Writes the table as CSV."""
  lines = ([f'{x:.4f}' if isinstance(x, float) else x for x in dataclasses.astuple(row)] for row in rows)
  atomic.write_csv(path, [[field.name for field in dataclasses.fields(Row)], *lines])
