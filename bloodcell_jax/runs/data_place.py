"""Where the images of a run are: where its config says, or where they were moved to."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import registry
from bloodcell_jax.runs import compact_run, own_lists, run_data
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic, lock


def is_lost(exp: experiment.Experiment) -> bool:
  """Whether the images are no longer in the folder that the config names."""
  return bool(exp.data.dir) and _uses_dir(exp) and not os.path.exists(exp.data.dir)


def find(
  folder: workdir.Workdir, exp: experiment.Experiment, data_dir: str, say: Callable[[str], None]
) -> experiment.Experiment:
  """The experiment with its images in `data_dir`, or where its config says if that is empty.

  The images of an adapted run lie in its own folder, and are found there when that was moved or renamed. A list of
  groups or labels that is gone, or no longer what the run was trained with, is replaced by the copy that the run keeps.

  Args:
    folder: of the run.
    exp: its experiment.
    data_dir: where the images are; '' for where the config says.
    say: called with a line for each list that has changed.

  Raises:
    UserError: the images or a list are gone, or the run came without its images.
  """
  if compact_run.is_here(folder) and not data_dir:
    raise types.UserError(
      f'{folder.path}: came without the images that it was trained on; give it others: a folder of labelled ones to '
      '`evaluate --data_dir=FOLDER`, any to `explain` and `predict`'
    )
  if not data_dir and is_lost(exp) and folder.adaptation.exists():
    own = folder.path / pathlib.Path(exp.data.dir).name
    data_dir = str(own) if own.is_dir() else ''
  data = dataclasses.replace(exp.data, dir=data_dir) if data_dir and _uses_dir(exp) else exp.data
  exp = dataclasses.replace(exp, data=data)
  if is_lost(exp):
    where = pathlib.Path(exp.data.dir).absolute()
    raise types.UserError(
      f'{where}: the images of {folder.path} are no longer there; name the folder that they are in now: '
      '--data_dir=FOLDER'
    )
  return own_lists.in_use(folder, own_lists.found(folder, exp), say)


def holds(folder: workdir.Workdir, exp: experiment.Experiment, data_dir: str) -> bool:
  """Whether `data_dir` holds the very images that the run was trained on; reads all files, decodes none."""
  try:
    run_data.undecoded(folder, find(folder, exp, data_dir, lambda line: None))
  except types.UserError:
    return False
  return True


def is_needed(folder: workdir.Workdir, exp: experiment.Experiment, data_dir: str) -> bool:
  """Whether `data_dir` holds the images of the run, and the folder that its config names no longer does."""
  return _uses_dir(exp) and holds(folder, exp, data_dir) and not holds(folder, exp, '')


def remember(folder: workdir.Workdir, exp: experiment.Experiment) -> None:
  """Writes the present place of the images to the run's config, unless it cannot be written.

  To be called when the images there are known to be the run's, as `Workdir.check_data` makes sure.
  """
  if not _uses_dir(exp) or not exp.data.dir:
    return
  saved = folder.read_config()
  if os.path.abspath(saved['data.dir']) == os.path.abspath(exp.data.dir):
    return
  # The place is named anew next time where the folder is read-only, or another process is training there.
  with contextlib.suppress(OSError, types.UserError):
    lock.take(folder.path)
    atomic.write_json(folder.config, {**folder.read_config(), 'data.dir': os.path.abspath(exp.data.dir)})


def _uses_dir(exp: experiment.Experiment) -> bool:
  return not registry.SOURCES[exp.data.source].is_synthetic
