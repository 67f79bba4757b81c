"""Applies a model to batches: outputs or `Predictions`, one for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from scipy import special

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import test_time
from bloodcell_jax.stats import metrics


def outputs(
  apply: Callable[[Any, types.Batch], np.ndarray],
  params: Any,
  batches: Iterable[types.Batch],
  table: types.Table,
  poll: Callable[[], None],
) -> np.ndarray:
  """[N, K] the outputs of the network for the rows of `table`, whose images are `batches`, in order.

  **Guarantees**: as many rows as the table has, in its order, whatever the batch size; checked here.

  Args:
    apply: `(params, batch) -> logits_BK`.
    params: the model's parameters.
    batches: the table's images in order; rows of weight 0 are padding.
    table: names, labels and groups of the images.
    poll: called before each batch; may raise to stop.

  Raises:
    RunError: an output is not finite, with the name of the image.
  """
  parts = []
  for batch in batches:
    poll()
    parts.append(apply(params, batch)[np.asarray(batch.weight_B) > 0])
  num_classes = len(table.class_names)
  logits_NK = np.concatenate(parts) if parts else np.zeros((0, num_classes))
  if logits_NK.shape != (len(table), num_classes):
    raise AssertionError(f'{logits_NK.shape} predictions for {len(table)} images of {num_classes} classes')
  check(logits_NK, table.file)
  return logits_NK


def pooled(logits_VBK: jax.Array, kind: str) -> jax.Array:
  """[B, K] the answer over V augmented copies.

  Args:
    logits_VBK: of each copy.
    kind: one of `test_time.KINDS`: the logarithms of the mean of their softmax, or the mean of the logits.
  """
  if test_time.is_mean_of_logits(kind):
    return logits_VBK.mean(0)
  return jax.nn.logsumexp(jax.nn.log_softmax(logits_VBK), axis=0) - np.log(len(logits_VBK))


def check(output_NK: np.ndarray, file_N: Sequence[str] | np.ndarray) -> None:
  """Raises RunError where an output is not finite, naming the first such image: no probability follows from it."""
  bad_N = ~np.isfinite(output_NK).all(1)
  if bad_N.any():
    raise types.RunError(
      f'{file_N[int(bad_N.argmax())]}: the output of the network is not finite, for {bad_N.sum():,} of {len(bad_N):,} '
      'images; its weights or statistics.npz are damaged, or optimizer.learning_rate was too high'
    )


def from_logits(logits_NK: np.ndarray, table: types.Table) -> types.Predictions:
  """The predictions whose probabilities are the softmax of the logits [N, K]."""
  probs_NK = special.softmax(logits_NK.astype(np.float64), axis=1)
  return types.Predictions(probs_NK, table.label, table.group, table.file, table.class_names)


def run(
  apply: Callable[[Any, types.Batch], np.ndarray],
  params: Any,
  batches: Iterable[types.Batch],
  table: types.Table,
  poll: Callable[[], None],
) -> types.Predictions:
  """The predictions for the rows of `table`; the arguments are those of `outputs`."""
  return from_logits(outputs(apply, params, batches, table, poll), table)


def figures(predictions: types.Predictions) -> dict[str, float]:
  """The validation metrics of an epoch: mean cross-entropy in nats, and accuracy."""
  loss, accuracy = metrics.loss_and_accuracy(predictions.probs_NK, predictions.label_N)
  return {'val_loss': loss, 'val_accuracy': accuracy}
