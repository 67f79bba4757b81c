"""The files of an ensemble's folder: `ensemble.json`, `combination.npz` and the folders of its members."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import combination
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic


def member(folder: workdir.Workdir, k: int) -> pathlib.Path:
  """The folder of the k-th member's run, counted from 1."""
  return folder.path / 'members' / str(k)


def write(folder: workdir.Workdir, summary: Mapping[str, Any], rule: combination.Combination) -> None:
  """Writes both files; `summary` has `members`, the numbers of the members in use, and `combine`, the method."""
  combination.write(folder.path / 'combination.npz', rule)
  atomic.write_json(folder.ensemble, dict(summary))


def read(folder: workdir.Workdir) -> dict[str, Any]:
  """What `write` wrote, with today's names of the keys of `evaluate`.

  Raises:
    UserError: the ensemble is not complete, or the file is damaged.
  """
  try:
    return workdir.with_current_evaluation(json.loads(atomic.read_text(folder.ensemble)))
  except FileNotFoundError:
    raise types.UserError(
      f'{folder.path}: the ensemble is not complete (ensemble.json is missing); repeat the command to continue it'
    ) from None
  except ValueError:
    raise types.UserError(
      f'{folder.ensemble}: damaged, or changed since it was written; train the ensemble again to rewrite it'
    ) from None


def read_combination(folder: workdir.Workdir) -> combination.Combination:
  """The rule that combines the members' probabilities."""
  return combination.read(folder.path / 'combination.npz')
