"""The labelled images of another laboratory as the data of a run that keeps no images."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.images import decode
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

_ADVICE = 'repair them, or take their lines out of the list of labels'


def check(labelled: types.Table, spec: decode.Spec, poll: Callable[[], None]) -> None:
  """Refuses labelled images that cannot be used, before anything is written.

  Args:
    labelled: the images.
    spec: how they are decoded.
    poll: called for each image.

  Raises:
    UserError: some cannot be used; the message names them.
  """
  problems = []
  for file, content in zip(labelled.file.tolist(), labelled.content, strict=True):
    poll()
    try:
      decode.image(content, spec)
    except decode.DecodeError as error:
      problems.append(types.Problem(file, str(error)))
  if problems:
    raise types.UserError(reading.complaint(problems, _ADVICE))


def read(
  labelled: types.Table,
  synthetic: bool,
  spec: reading.Spec,
  cache: pathlib.Path,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> dataset.Dataset:
  """The images of the table, all of them for training, in its order.

  Args:
    labelled: the images.
    synthetic: whether those of the run that is adapted were drawn.
    spec: how they are decoded.
    cache: for those that do not fit into memory.
    stop: polled.
    progress: where progress is printed.

  Raises:
    UserError: an image cannot be used.
    signals.Stopped: a stop was requested.
  """
  count = progress.counter('images decoded')

  def on_progress(done: int, total: int) -> None:
    stop.poll()
    count(done, total)

  decoded = decode.table(labelled, spec.decode, cache, on_progress)
  if decoded.problems:
    raise types.UserError(reading.complaint(decoded.problems, _ADVICE))
  # As the names that an adapted run with images gives its photographs.
  source_N = np.char.add('new ', labelled.file.astype(str))
  table = dataclasses.replace(
    labelled, source=source_N, split=np.full(len(labelled), 'TRAIN'), synthetic=synthetic
  )
  rows = {'train': np.arange(len(table))}
  return dataset.Dataset(
    table, decoded.image_NHWC, rows, [], decoded.notes, (), decoded.size_N2, decoded.thumbnail_NHW
  )
