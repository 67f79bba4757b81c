"""The lists of groups and labels of a trained run: its own copies, where those that it was given have changed."""

from __future__ import annotations

import dataclasses
import filecmp
import os
import pathlib
from collections.abc import Callable
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.division import folds
from bloodcell_jax.data.sources import label_csv, listed_names
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

# Fields of the data's spec that name lists; a run keeps a copy of each.
LISTS = ('groups_csv', 'labels_csv')
# Folders of the parts of a run, which have the lists of the whole run.
_PARTS = ('members', 'folds')


def in_use(
  folder: workdir.Workdir, exp: experiment.Experiment, say: Callable[[str], None]
) -> experiment.Experiment:
  """The experiment with the lists that the run was trained with.

  A list whose content is no longer that of the run's copy is replaced by the copy, such as one that another `audit` has
  written over. A run that has not trained yet uses what it is given, and so does a command that names another list than
  the run's config.

  Args:
    folder: of the run, or of a member or a fold, which has the lists of the whole run.
    exp: its experiment.
    say: called with a line for each list that is replaced.

  Raises:
    UserError: the run's config is damaged.
  """
  whole = _whole(folder)
  if not whole.config.exists() or not whole.has_results():
    return exp
  saved = whole.read_config()

  def choose(name: str, path: str, copy: pathlib.Path) -> str:
    of_run = map(os.path.abspath, label_csv.paths(saved[f'data.{name}']))
    is_known = os.path.exists(path) and os.path.abspath(path) in of_run and atomic.is_intact(copy)
    if not is_known or filecmp.cmp(path, copy, shallow=False):
      return path
    say(
      f'{path}: has changed since {whole.path} was trained with it; its copy {copy} is used (to train with the changed '
      'list, choose another --workdir)'
    )
    return str(copy)

  return _with(exp, whole, choose)


def found(folder: workdir.Workdir, exp: experiment.Experiment) -> experiment.Experiment:
  """The experiment with the run's copies in place of lists that are gone.

  Raises:
    UserError: one is gone, and so is its copy.
  """

  def choose(name: str, path: str, copy: pathlib.Path) -> str:
    if os.path.exists(path):
      return path
    if not copy.exists():
      raise types.UserError(
        f'{path}: is gone, and {folder.path} was trained with it; put it back there, or copy it to {copy}'
      )
    return str(copy)

  return _with(exp, _whole(folder), choose)


def keep(folder: workdir.Workdir, exp: experiment.Experiment) -> None:
  """Copies the lists that the run is trained with to its folder, so that it does not depend on their place.

  What is kept is what the run was trained with, also where a list has changed since.
  """
  used = in_use(folder, exp, lambda line: None).data
  for name in LISTS:
    for path, copy in zip(
      label_csv.paths(getattr(used, name)), _copies(folder, name, getattr(exp.data, name)), strict=True
    ):
      if not os.path.exists(path):
        continue
      content = pathlib.Path(path).read_bytes()
      if not copy.exists() or copy.read_bytes() != content:
        atomic.write_bytes(copy, content)
      listed_names.keep_place(str(copy), path, exp.data.dir)


def _whole(folder: workdir.Workdir) -> workdir.Workdir:
  """The run that the folder is a part of, or itself."""
  path = folder.path.absolute()
  if path.parent.name in _PARTS:
    above = path.parents[1]
  elif path.name == folds.OUT_OF_FOLD:
    above = path.parent
  else:
    return folder
  whole = _whole(workdir.Workdir(above))
  # Else a user has called the folder so.
  return whole if whole.config.exists() else folder


def _copies(folder: workdir.Workdir, name: str, value: str) -> list[pathlib.Path]:
  """The run's copies of the lists that a field of the data's spec names, in order."""
  first = folder.list(name)
  numbers = range(2, len(label_csv.paths(value)) + 1)
  return [first, *(first.with_stem(f'{first.stem}-{number}') for number in numbers)] if value else []


def _with(
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  choose: Callable[[str, str, pathlib.Path], str],
) -> experiment.Experiment:
  """The experiment with what `choose(name, path, copy)` gives for each list."""
  lists: dict[str, Any] = {}
  for name in LISTS:
    value = getattr(exp.data, name)
    given = label_csv.paths(value)
    chosen = [choose(name, *each) for each in zip(given, _copies(folder, name, value), strict=True)]
    if chosen != given:
      lists[name] = ','.join(chosen)
  return dataclasses.replace(exp, data=dataclasses.replace(exp.data, **lists)) if lists else exp
