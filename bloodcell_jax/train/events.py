"""Event files for TensorBoard, written without TensorFlow."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Sequence

from bloodcell_jax.train import history

FIGURES = ('loss', 'accuracy', 'val_loss', 'val_accuracy', 'learning_rate', 'images_per_second')
FILE_VERSION = 'brain.Event:2'  # what TensorBoard expects in the first record of a file


class Events:
  """The event file of this process. A continued run starts a new file and writes all epochs into it again.

  TensorBoard shows the newest value of each step, so a continued run is still one curve. If the file cannot be written,
  the OSError names it.
  """

  def __init__(self, directory: str | os.PathLike[str]):
    # Imported late: TensorBoard takes a second to load. Unlike its `Writer`, the record writer needs no TensorFlow.
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer import record_writer

    self._event, self._summary = event_pb2.Event, summary_pb2.Summary
    now = time.time()
    self._path = path = pathlib.Path(directory, f'events.out.tfevents.{now:.6f}.{os.getpid()}')
    path.parent.mkdir(parents=True, exist_ok=True)
    self._file = path.open('wb')
    self._writer = record_writer.RecordWriter(self._file)
    self._written = 0
    self._add(self._event(wall_time=now, file_version=FILE_VERSION))

  def write(self, records: Sequence[history.Record]) -> None:
    """Appends the epochs that are not in the file yet."""
    for record in records[self._written :]:
      values = [
        self._summary.Value(tag=f'epoch/{figure}', simple_value=getattr(record, figure)) for figure in FIGURES
      ]
      self._add(self._event(wall_time=time.time(), step=record.epoch, summary=self._summary(value=values)))
    self._written = max(self._written, len(records))
    with self._named():
      self._file.flush()

  def close(self) -> None:
    """Flushes and closes the file."""
    with self._named():
      self._writer.close()

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
