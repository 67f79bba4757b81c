"""A run's figures for TensorBoard, written without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bloodcell_jax.train import history

FIGURES = ('loss', 'accuracy', 'val_loss', 'val_accuracy', 'learning_rate', 'images_per_second')


class Events:
  """One event file; epochs that stood in an earlier file of the folder are not written again."""

  def __init__(self, directory: str | os.PathLike[str]):
    # Imported here: TensorBoard takes a second to load.
    from tensorboard.summary import Writer

    self._writer = Writer(os.fspath(directory))
    self._written = 0

  def skip(self, num_records: int) -> None:
    """Says that so many epochs stand in the folder already."""
    self._written = num_records

  def write(self, records: Sequence[history.Record]) -> None:
    """Adds the epochs not yet written."""
    for record in records[self._written :]:
      for figure in FIGURES:
        self._writer.add_scalar(f'epoch/{figure}', getattr(record, figure), step=record.epoch)
    self._written = max(self._written, len(records))
    self._writer.flush()

  def close(self) -> None:
    self._writer.close()
