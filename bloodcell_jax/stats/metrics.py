"""Figures of merit as functions of sums, so that groups are resampled by adding their sums.

Every figure but the ROC area is a ratio of sums over images. `sums` gives those sums for each group; adding
the groups of a resample and dividing gives the figure of the resample, for all resamples at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bloodcell_jax.base import types

# Guo et al. 2017, "On calibration of modern neural networks", section 2: equal-width bins of confidence; 15
# as there.
NUM_BINS = 15
# Stands in for a probability that underflowed to 0, the smallest double: 745 nats instead of infinity. As a NumPy
# scalar it makes doubles of float32 arrays, in which it would be 0.
TINY = np.nextafter(0, 1)


@dataclasses.dataclass(frozen=True)
class Sums:
  """Sums over the images of a set; leading axes, if any, are sets (groups, resamples)."""

  # Not the confusion matrix, whose size grows with the square of the number of classes, for each group and resample.
  actual_K: np.ndarray  # images of each class
  predicted_K: np.ndarray  # images predicted as each class
  right_K: np.ndarray  # images of each class that are predicted as it
  log_loss: np.ndarray  # nats
  brier: np.ndarray  # sum over classes of the squared error of the probability
  bin_S3: np.ndarray  # by bin of confidence: images, sum of confidence, correct ones


def losses(probs_NK: np.ndarray, label_N: np.ndarray) -> np.ndarray:
  """[N] the cross-entropy of each image in nats."""
  return -np.log(np.maximum(probs_NK[np.arange(len(label_N)), label_N], TINY))


def loss_and_accuracy(probs_NK: np.ndarray, label_N: np.ndarray) -> tuple[float, float]:
  """The mean cross-entropy in nats, and the accuracy, every image counted once."""
  return float(losses(probs_NK, label_N).mean()), float((probs_NK.argmax(1) == label_N).mean())


def sums(predictions: types.Predictions, weight_N: np.ndarray | None = None) -> tuple[Sums, np.ndarray]:
  """Returns the sums of each group [G, ...] and the groups' names [G].

  Args:
    predictions: of a set of images.
    weight_N: >= 0, of each image, such as `prevalence_weights`; None to count each once.

  Raises:
    UserError: there are no rows, or a probability is not in [0, 1]; the message names the file.
  """
  label_N, probs_NK = predictions.label_N, predictions.probs_NK
  _check(predictions)
  group_names, group_N = np.unique(predictions.group_N, return_inverse=True)
  num_rows, num_classes = probs_NK.shape
  predicted_N = probs_NK.argmax(1)
  confidence_N = probs_NK.max(1)
  once_N = np.ones(num_rows) if weight_N is None else weight_N
  loss_N = losses(probs_NK, label_N)
  brier_N = ((probs_NK - np.eye(num_classes)[label_N]) ** 2).sum(1)
  # Bins (0, 1/15], (1/15, 2/15], ...: the upper edge belongs to the bin.
  bin_N = np.clip(np.ceil(confidence_N * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)

  def add(shape: tuple[int, ...], index: tuple[np.ndarray, ...], value_N: np.ndarray) -> np.ndarray:
    total = np.zeros((len(group_names), *shape))
    np.add.at(total, (group_N, *index), once_N * value_N)
    return total

  ones_N = np.ones(num_rows)
  bins = [
    add((NUM_BINS,), (bin_N,), value_N)
    for value_N in (ones_N, confidence_N, (predicted_N == label_N).astype(float))
  ]
  return Sums(
    actual_K=add((num_classes,), (label_N,), ones_N),
    predicted_K=add((num_classes,), (predicted_N,), ones_N),
    right_K=add((num_classes,), (label_N,), (predicted_N == label_N).astype(float)),
    log_loss=add((), (), loss_N),
    brier=add((), (), brier_N),
    bin_S3=np.stack(bins, -1),
  ), group_names


def combine(groups: Sums, times_RG: np.ndarray) -> Sums:
  """The sums of each resample [R, ...], in which group g counts `times_RG[r, g]` times."""
  return Sums(*(np.tensordot(times_RG.astype(float), part, 1) for part in _parts(groups)))


def leave_one_out(groups: Sums) -> Sums:
  """The sums [G, ...] of all groups but one, for each in turn."""
  return Sums(*(part.sum(0) - part for part in _parts(groups)))


def figures(s: Sums) -> dict[str, np.ndarray]:
  """All figures that follow from sums, of each set; those of PER_CLASS have a trailing class axis.

  The recall of a class without images is undefined: balanced accuracy and macro F1 are means over the classes
  present, and the figures of an absent class are NaN. scikit-learn's `balanced_accuracy_score` does the same; its
  `f1_score` counts an absent class as 0, which would lower the figure of every resample that happens to lack it.

  A class that is present but never predicted has precision NaN and F1 0.
  """
  return {f.name: f.function(s) for f in (*FIGURES, *PER_CLASS) if f.function is not None}


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of merit; reports, comparisons and model cards are generated from this table."""

  name: str  # its key in metrics.json
  title: str  # for people
  low: float  # its range
  high: float
  is_higher_better: bool
  is_headline: bool  # printed after training and compared between two models
  is_resampled: bool  # False where resampling groups biases it: its interval is by jackknife
  function: Callable[[Sums], np.ndarray] | None  # None: not a function of sums


def _accuracy(s: Sums) -> np.ndarray:
  return _ratio(s.right_K.sum(-1), _total(s))


def _precision(s: Sums) -> np.ndarray:
  return np.where(_present(s), _ratio(s.right_K, s.predicted_K), np.nan)


def _recall(s: Sums) -> np.ndarray:
  return _ratio(s.right_K, s.actual_K)


def _f1(s: Sums) -> np.ndarray:
  return np.where(_present(s), _ratio(2 * s.right_K, s.actual_K + s.predicted_K), np.nan)


def _mean(part: np.ndarray, s: Sums) -> np.ndarray:
  return _ratio(part, _total(s))


def _ece(s: Sums) -> np.ndarray:
  return _mean(np.abs(s.bin_S3[..., 1] - s.bin_S3[..., 2]).sum(-1), s)


def _total(s: Sums) -> np.ndarray:
  return s.actual_K.sum(-1)


def _present(s: Sums) -> np.ndarray:
  return s.actual_K > 0


# In the order of every table. Macro F1 first: it counts rare classes.
FIGURES: tuple[Figure, ...] = (
  Figure('macro_f1', 'macro F1', 0, 1, True, True, True, lambda s: _mean_present(_f1(s), _present(s))),
  Figure(
    'balanced_accuracy', 'balanced accuracy', 0, 1, True, False, True,
    lambda s: _mean_present(_recall(s), _present(s)),
  ),
  Figure('accuracy', 'accuracy', 0, 1, True, True, True, _accuracy),
  Figure('macro_roc_auc', 'macro ROC area', 0, 1, True, False, True, None),
  Figure('log_loss', 'log loss', 0, np.inf, False, False, True, lambda s: _mean(s.log_loss, s)),
  Figure('brier', 'Brier score', 0, 2, False, False, True, lambda s: _mean(s.brier, s)),
  # A sum of absolute values, which resampling biases upwards.
  Figure('ece', 'calibration error (ECE)', 0, 1, False, False, False, _ece),
)  # fmt: skip
PER_CLASS: tuple[Figure, ...] = (
  Figure('precision', 'precision', 0, 1, True, False, True, _precision),
  Figure('recall', 'recall', 0, 1, True, False, True, _recall),
  Figure('f1', 'F1', 0, 1, True, False, True, _f1),
  Figure('roc_auc', 'ROC area', 0, 1, True, False, True, None),
)


def names() -> tuple[str, ...]:
  """Names of those in FIGURES that follow from sums."""
  return tuple(f.name for f in FIGURES if f.function is not None)


def headlines() -> tuple[Figure, ...]:
  """The figures in a one-line summary."""
  return tuple(f for f in FIGURES if f.is_headline)


def prevalence_weights(predictions: types.Predictions, prevalence_K: Sequence[float]) -> np.ndarray | None:
  """[N] weights under which class k makes up `prevalence_K[k]` of the images; None if such a class is absent.

  Example:
    >>> label, names = np.array([0, 0, 0, 1], np.int32), np.array(['a', 'b', 'c', 'd'])
    >>> predictions = types.Predictions(np.eye(2)[label], label, names, names, ('A', 'B'))
    >>> prevalence_weights(predictions, (0.5, 0.5)).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
  """
  share_K = np.bincount(predictions.label_N, minlength=len(predictions.class_names)) / len(predictions)
  wanted_K = np.asarray(prevalence_K, float)
  if (share_K[wanted_K > 0] == 0).any():
    return None
  return np.divide(wanted_K, share_K, out=np.zeros_like(share_K), where=share_K > 0)[predictions.label_N]


def confusion(predictions: types.Predictions) -> np.ndarray:
  """[K, K] the number of images by true class (row) and predicted class (column)."""
  num = len(predictions.class_names)
  cell_N = predictions.label_N.astype(np.int64) * num + predictions.probs_NK.argmax(1)
  return np.bincount(cell_N, minlength=num * num).reshape(num, num)


def majority(of_group: Sums) -> tuple[np.ndarray, np.ndarray]:
  """The label [G] of each group and its most frequent prediction [G]; the first class in a tie."""
  return of_group.actual_K.argmax(-1), of_group.predicted_K.argmax(-1)


def mean_vote(predictions: types.Predictions) -> tuple[np.ndarray, np.ndarray]:
  """The class [G] with the highest mean probability over each group's images, and the groups' names [G]."""
  group_names, group_N = np.unique(predictions.group_N, return_inverse=True)
  total_GK = np.zeros((len(group_names), len(predictions.class_names)))
  np.add.at(total_GK, group_N, predictions.probs_NK)
  return total_GK.argmax(1), group_names


def _check(predictions: types.Predictions) -> None:
  if not len(predictions):
    raise types.UserError('there are no predictions to score; the split has no images')
  probs_NK = predictions.probs_NK
  # NaN fails both comparisons.
  bad_N = ~((probs_NK >= 0) & (probs_NK <= 1 + 1e-6)).all(1)
  if bad_N.any():
    row = int(bad_N.argmax())
    raise types.UserError(
      f'{predictions.file_N[row]}: the probabilities {probs_NK[row].tolist()} are not all in [0, 1]; predict again'
    )


def _parts(s: Sums) -> list[np.ndarray]:
  return [getattr(s, field.name) for field in dataclasses.fields(Sums)]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.where(below > 0, above / below, np.nan)


def _mean_present(value_K: np.ndarray, present_K: np.ndarray) -> np.ndarray:
  return _ratio(np.where(present_K, value_K, 0).sum(-1), present_K.sum(-1).astype(float))
