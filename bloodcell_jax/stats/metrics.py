"""Figures of merit as functions of sums, so that resampling groups is arithmetic on their sums.

Every figure here is a ratio of sums over images. `sums` gives those sums for each group; adding the groups
of a resample and dividing gives the figure of the resample, for all resamples at once.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax import types

# Guo et al. 2017, "On calibration of modern neural networks", section 2: equal-width bins of confidence; 15 as there.
NUM_BINS = 15
NAMES = ('accuracy', 'balanced_accuracy', 'macro_f1', 'log_loss', 'brier', 'ece')
PER_CLASS = ('precision', 'recall', 'f1')


@dataclasses.dataclass(frozen=True)
class Sums:
  """Sums over the images of a set; leading axes, if any, are sets (groups, resamples)."""

  confusion_KK: np.ndarray  # images by true class (row) and predicted class
  log_loss: np.ndarray  # nats
  brier: np.ndarray  # sum over classes of the squared error of the probability
  bin_S3: np.ndarray  # by bin of confidence: images, sum of confidence, correct ones


def sums(predictions: types.Predictions) -> tuple[Sums, np.ndarray]:
  """The sums of each group [G, ...] and the groups' names [G]."""
  group_names, group_N = np.unique(predictions.group_N, return_inverse=True)
  num_rows, num_classes = predictions.probs_NK.shape
  label_N, probs_NK = predictions.label_N, predictions.probs_NK
  predicted_N = probs_NK.argmax(1)
  confidence_N = probs_NK.max(1)
  rows = np.arange(num_rows)
  # A probability that underflowed to 0 counts as the smallest double: 745 nats instead of infinity.
  loss_N = -np.log(np.maximum(probs_NK[rows, label_N], np.nextafter(0, 1)))
  brier_N = ((probs_NK - np.eye(num_classes)[label_N]) ** 2).sum(1)
  # Bins (0, 1/15], (1/15, 2/15], ...: the upper edge belongs to the bin.
  bin_N = np.clip(np.ceil(confidence_N * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)

  def add(shape: tuple[int, ...], index: tuple[np.ndarray, ...], values: np.ndarray | float) -> np.ndarray:
    total = np.zeros((len(group_names), *shape))
    np.add.at(total, (group_N, *index), values)
    return total

  bins = [
    add((NUM_BINS,), (bin_N,), values)
    for values in (1.0, confidence_N, (predicted_N == label_N).astype(float))
  ]
  return Sums(
    confusion_KK=add((num_classes, num_classes), (label_N, predicted_N), 1.0),
    log_loss=add((), (), loss_N),
    brier=add((), (), brier_N),
    bin_S3=np.stack(bins, -1),
  ), group_names


def combine(groups: Sums, times_RG: np.ndarray) -> Sums:
  """The sums of each resample [R, ...], in which group g counts `times_RG[r, g]` times."""
  return Sums(
    *(
      np.tensordot(times_RG.astype(float), getattr(groups, field.name), 1)
      for field in dataclasses.fields(Sums)
    )
  )


def figures(s: Sums) -> dict[str, np.ndarray]:
  """Every figure of NAMES and PER_CLASS (with a trailing class axis) of each set.

  A class without images in a set has no recall there: balanced accuracy and macro F1 are means over the classes
  present, and the class' own figures are NaN. scikit-learn's `balanced_accuracy_score` does the same; its
  `f1_score` would count the absent class as 0, which would punish a resample for what it did not draw.

  A class that is present but never predicted has precision NaN and F1 0.
  """
  confusion = s.confusion_KK
  hits = np.diagonal(confusion, axis1=-2, axis2=-1)
  actual, predicted = confusion.sum(-1), confusion.sum(-2)
  total = actual.sum(-1)
  present = actual > 0
  recall = _ratio(hits, actual)
  precision = _ratio(hits, predicted)
  f1 = np.where(present, _ratio(2 * hits, actual + predicted), np.nan)
  count, confidence, correct = (s.bin_S3[..., i] for i in range(3))
  del count
  return {
    'accuracy': _ratio(hits.sum(-1), total),
    'balanced_accuracy': _mean_present(recall, present),
    'macro_f1': _mean_present(f1, present),
    'log_loss': _ratio(s.log_loss, total),
    'brier': _ratio(s.brier, total),
    'ece': _ratio(np.abs(confidence - correct).sum(-1), total),
    'precision': precision,
    'recall': recall,
    'f1': f1,
  }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.where(below > 0, above / below, np.nan)


def _mean_present(value_K: np.ndarray, present_K: np.ndarray) -> np.ndarray:
  return _ratio(np.where(present_K, value_K, 0).sum(-1), present_K.sum(-1).astype(float))
