"""The lists of groups and labels of a trained run: its own copies, where the lists that it was given have changed."""

from __future__ import annotations

import dataclasses
import filecmp
import os
from collections.abc import Callable
from typing import Any

from bloodcell_jax.config import experiment
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

# Fields of the data's spec that name a list; a run keeps a copy of each.
LISTS = ('groups_csv', 'labels_csv')


def in_use(
  folder: workdir.Workdir, exp: experiment.Experiment, say: Callable[[str], None]
) -> experiment.Experiment:
  """The experiment with the lists that the run was trained with.

  A list whose content is no longer that of the run's copy is replaced by the copy, such as one that another `audit` has
  written over. A run that has not trained yet uses what it is given, and so does a command that names another list than
  the run's config.

  Args:
    folder: of the run.
    exp: its experiment.
    say: called with a line for each list that is replaced.

  Raises:
    UserError: the run's config is damaged.
  """
  if not folder.config.exists() or not folder.has_results():
    return exp
  saved = folder.read_config()
  lists: dict[str, Any] = {}
  for name in LISTS:
    path, copy = getattr(exp.data, name), folder.list(name)
    is_of_run = bool(path) and os.path.abspath(saved[f'data.{name}']) == os.path.abspath(path)
    if (
      is_of_run
      and os.path.exists(path)
      and atomic.is_intact(copy)
      and not filecmp.cmp(path, copy, shallow=False)
    ):
      say(
        f'{path}: has changed since {folder.path} was trained with it; its copy {copy} is used (to train with the '
        'changed list, choose another --workdir)'
      )
      lists[name] = str(copy)
  return dataclasses.replace(exp, data=dataclasses.replace(exp.data, **lists))
