"""Predictions by group as a table and a CSV file: how each photograph fared, the weakest first."""

from __future__ import annotations

import csv
import dataclasses
import io
import os

import numpy as np

from bloodcell_jax import atomic, types


@dataclasses.dataclass(frozen=True)
class Row:
  """One group of images and what the network makes of it."""

  group: str
  label: str  # of most of its images
  num_images: int
  num_right: int
  share_right: float
  majority: str  # what most of its images are called
  mean_vote: str  # the class with the highest mean probability
  label_probability: float  # mean probability of each image's own label


def table(predictions: types.Predictions) -> list[Row]:
  """A row a group; the smallest share of right images first, then the smallest probability of the label.

  Example:
    >>> probs, label = np.array([[.9, .1], [.4, .6], [.2, .8]]), np.array([0, 0, 1], np.int32)
    >>> names = np.array(['a', 'b', 'c'])
    >>> found = types.Predictions(probs, label, np.array(['x', 'x', 'y']), names, ('A', 'B'))
    >>> [(row.group, row.num_right) for row in table(found)]
    [('x', 1), ('y', 1)]
  """
  names = predictions.class_names
  group_names, group_N = np.unique(predictions.group_N, return_inverse=True)
  called_N = predictions.probs_NK.argmax(1)
  of_label_N = predictions.probs_NK[np.arange(len(predictions)), predictions.label_N]
  rows = []
  for g, group in enumerate(group_names):
    inside = np.flatnonzero(group_N == g)
    called, label = called_N[inside], predictions.label_N[inside]
    num_right = int((called == label).sum())
    rows.append(
      Row(
        group=str(group),
        label=names[np.bincount(label).argmax()],
        num_images=len(inside),
        num_right=num_right,
        share_right=num_right / len(inside),
        majority=names[np.bincount(called).argmax()],
        mean_vote=names[predictions.probs_NK[inside].mean(0).argmax()],
        label_probability=float(of_label_N[inside].mean()),
      )
    )
  return sorted(rows, key=lambda row: (row.share_right, row.label_probability, row.group))


def write(path: str | os.PathLike[str], rows: list[Row]) -> None:
  """The table as CSV."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow([field.name for field in dataclasses.fields(Row)])
  for row in rows:
    values = dataclasses.astuple(row)
    writer.writerow([f'{value:.4f}' if isinstance(value, float) else value for value in values])
  atomic.write_text(path, text.getvalue())
