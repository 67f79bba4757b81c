"""What an ensemble's folder says of it: `ensemble.json`, `combination.npz` and the folders of its members."""

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
  """Where the k-th member's run lies, from 1."""
  return folder.path / 'members' / str(k)


def write(folder: workdir.Workdir, found: Mapping[str, Any], rule: combination.Combination) -> None:
  """Writes both files; `found` has `members`, the numbers of those that answer, and `combine`, how."""
  combination.write(folder.path / 'combination.npz', rule)
  atomic.write_json(folder.ensemble, dict(found))


def read(folder: workdir.Workdir) -> dict[str, Any]:
  """What `write` wrote, with today's names of the keys of `evaluate`.

  Raises:
    UserError: the ensemble is not complete, or the file is damaged.
  """
  try:
    return workdir.with_current_evaluation(json.loads(atomic.read_text(folder.ensemble)))
  except FileNotFoundError:
    raise types.UserError(
      f'{folder.path}: the ensemble is not complete (ensemble.json is missing); the command that began it continues it'
    ) from None
  except ValueError:
    raise types.UserError(
      f'{folder.ensemble}: damaged, or changed since it was written; the command that made the ensemble writes it anew'
    ) from None


def read_combination(folder: workdir.Workdir) -> combination.Combination:
  """How the members' probabilities become one."""
  return combination.read(folder.path / 'combination.npz')
