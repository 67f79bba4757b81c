"""Cells of another laboratory's folders predicted again, by the network aligned with them."""

from __future__ import annotations

import dataclasses
import itertools
import os

import numpy as np

from bloodcell_jax.data.images import decode
from bloodcell_jax.inference import classifier, file_predictions
from bloodcell_jax.runs import aligned_network
from bloodcell_jax.stats import unlike


def predict_again(
  loaded: classifier.Classifier,
  predictions: file_predictions.CellPredictions,
  judgement: unlike.Judgement | None,
  spec: decode.Spec,
  frames_of: file_predictions.FramesOf | None,
) -> tuple[file_predictions.CellPredictions, int]:
  """The predictions, for cells in foreign folders those of the aligned network, and the number of such cells.

  All foreign cells are aligned together: folders of one class each would lose what tells the classes apart.

  Args:
    loaded: the classifier.
    predictions: by it.
    judgement: of the cells.
    spec: how each cell becomes the network's input.
    frames_of: as for `file_predictions.read_images`.

  Raises:
    signals.Stopped: a stop was requested.
  """
  if judgement is None or not aligned_network.can_align(loaded.models, loaded.measure):
    return predictions, 0
  rows = np.flatnonzero(unlike.in_foreign(judgement, [os.path.dirname(path) for path in predictions.path]))
  if len(rows) < aligned_network.LEAST_IMAGES:
    return predictions, 0
  sample = file_predictions.read_images(predictions, aligned_network.sample(rows).tolist(), spec, frames_of)
  images = [image_HWC for image_HWC in sample if image_HWC is not None]
  if len(images) < aligned_network.LEAST_IMAGES:
    return predictions, 0
  assert loaded.measure is not None, 'it can be aligned'
  models = aligned_network.align(loaded.models, loaded.measure, images)
  aligned = dataclasses.replace(loaded, models=models)
  probs_NK, size = predictions.probs_NK.copy(), loaded.job.experiment.evaluate_batch_size
  seen = file_predictions.read_images(predictions, rows.tolist(), spec, frames_of)
  for start in range(0, len(rows), size):
    loaded.job.poll()
    some = rows[start : start + size]
    batch = list(itertools.islice(seen, len(some)))
    there = np.array([image_HWC is not None for image_HWC in batch])
    if there.any():
      image_BHWC = np.stack([image_HWC for image_HWC in batch if image_HWC is not None])
      probs_NK[some[there]] = aligned.probabilities(image_BHWC)
  return dataclasses.replace(predictions, probs_NK=probs_NK), len(rows)


def line(num: int) -> str:
  """What to say of so many cells that were predicted again."""
  return (
    f'{num:,} cells of another laboratory were classified with their features aligned to the training '
    '(evaluate.align_features); the calibration does not hold for them'
  )
