"""Event files for TensorBoard, written without TensorFlow."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bloodcell_jax.train import history

FIGURES = ('loss', 'accuracy', 'val_loss', 'val_accuracy', 'learning_rate', 'images_per_second')
FILE_VERSION = 'brain.Event:2'  # what TensorBoard expects in the first record of a file


class Events:
  """The event file of this process. A continued run starts a new file and writes all epochs into it again; a complete
  run, which has no epoch to write, starts none.

  TensorBoard shows the newest value of each step, so a continued run is still one curve. If the file cannot be written,
  the OSError names it.
  """

  def __init__(self, directory: str | os.PathLike[str]):
    self._path = pathlib.Path(directory, f'events.out.tfevents.{time.time():.6f}.{os.getpid()}')
    self._written = 0
    self._writer: Any = None  # until there is something to write

  def write(self, records: Sequence[history.Record]) -> None:
    """Appends the epochs that are not in the file yet; begins the file with the first of them."""
    if len(records) <= self._written:
      return
    # Imported late: TensorBoard takes a second to load.
    from tensorboard.compat.proto import event_pb2, summary_pb2

    if self._writer is None:
      self._open()
      self._add(event_pb2.Event(wall_time=time.time(), file_version=FILE_VERSION))
    for record in records[self._written :]:
      values = [
        summary_pb2.Summary.Value(tag=f'epoch/{figure}', simple_value=getattr(record, figure))
        for figure in FIGURES
      ]
      summary = summary_pb2.Summary(value=values)
      self._add(event_pb2.Event(wall_time=time.time(), step=record.epoch, summary=summary))
    self._written = len(records)
    with self._named():
      self._writer.flush()

  def close(self) -> None:
    """Flushes and closes the file."""
    if self._writer is not None:
      with self._named():
        self._writer.close()

  def _open(self) -> None:
    # Unlike TensorBoard's `Writer`, the record writer needs no TensorFlow.
    from tensorboard.summary.writer import record_writer

    self._path.parent.mkdir(parents=True, exist_ok=True)
    self._writer = record_writer.RecordWriter(self._path.open('wb'))

  def _add(self, event) -> None:
    with self._named():
      self._writer.write(event.SerializeToString())

  @contextlib.contextmanager
  def _named(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      # Errors of an open file do not name it.
      raise OSError(error.errno, error.strerror or str(error), str(self._path)) from error
