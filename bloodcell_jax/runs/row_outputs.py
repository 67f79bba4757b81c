"""The outputs of a network for rows of its data: each row goes through the network only once, whoever asks."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.runs import forward
from bloodcell_jax.runs import job as job_lib


class RowOutputs:
  """Logits and embeddings of rows, kept in memory.

  **Guarantees**: a row that was asked for before, as one of another split, is not computed again.

  Args:
    job: has the images.
    params: with which the outputs are logits.
  """

  def __init__(self, job: job_lib.Job, params: Any):
    self._job, self._params = job, params
    self._is_known_N = np.zeros(len(job.data.table), bool)
    self._output_NX = np.zeros((0, 0), np.float32)  # logits, then the embedding

  def predictions(self, split: str) -> types.Predictions:
    """The predictions for a split, each image once.

    Raises:
      RunError: an output is not finite, with the name of the image.
      signals.Stopped: a stop was requested.
    """
    rows = self._job.data.rows[split]
    table = self._job.data.table.take(rows)
    logits_NK = self._outputs(rows)[:, : self._job.num_classes]
    forward.check(logits_NK, table.file)
    return forward.from_logits(logits_NK, table)

  def embedding(self, rows: np.ndarray) -> np.ndarray:
    """[N, D] the inputs of the output layer for the images as they are. Raises `signals.Stopped`."""
    return self._outputs(rows)[:, self._job.num_classes :]

  def _outputs(self, rows: np.ndarray) -> np.ndarray:
    missing = np.array(list(dict.fromkeys(rows[~self._is_known_N[rows]].tolist())), np.int64)
    start, params = 0, self._job.placed(self._params)
    for batch in self._job.in_order(missing):
      self._job.poll()
      output_BX = self._job.apply_with_embedding(params, batch)[np.asarray(batch.weight_B) > 0]
      if not self._output_NX.size:
        self._output_NX = np.zeros((len(self._is_known_N), output_BX.shape[1]), np.float32)
      done = missing[start : start + len(output_BX)]
      self._output_NX[done], self._is_known_N[done] = output_BX, True
      start += len(output_BX)
    if start != len(missing):
      raise AssertionError(f'{start} outputs for {len(missing)} images')
    return self._output_NX[rows] if self._output_NX.size else np.zeros((0, self._job.num_classes))
