"""`adaptation.json` of an adapted run's folder: what it was adapted from and to, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

# The entries: what was asked for, and the results, which are there once the run is complete.
REQUEST, RESULT = 'request', 'result'


def claim(folder: workdir.Workdir, request: Mapping[str, Any]) -> bool:
  """Writes what the run in the folder is adapted to; whether the run is complete already.

  Raises:
    UserError: the folder holds another run, or one that was adapted to something else.
  """
  if not folder.adaptation.exists():
    if folder.config.exists():
      raise types.UserError(f'{folder.path}: holds another run; choose another folder with --to')
    atomic.write_json(folder.adaptation, {REQUEST: dict(request)})
    return False
  entries = _read(folder)
  if not folder.environment.exists():
    # It was refused, or ended, before anything was computed: the corrected command may follow.
    folder.list('groups_csv').unlink(missing_ok=True)
    atomic.write_json(folder.adaptation, {REQUEST: dict(request)})
    return False
  asked = entries[REQUEST]
  if differing := [key for key in {**request, **asked} if asked.get(key) != request.get(key)]:
    raise types.UserError(
      f'{folder.path}: holds a run that was adapted to something else ({", ".join(differing)}); choose another folder '
      'with --to'
    )
  return RESULT in entries and folder.report.exists()


def finish(folder: workdir.Workdir, result: Mapping[str, Any]) -> None:
  """Adds the results."""
  atomic.write_json(folder.adaptation, {**_read(folder), RESULT: dict(result)})


def read(folder: workdir.Workdir) -> dict[str, Any] | None:
  """The request and the results; None for a run that was not adapted, or not to the end."""
  if not folder.adaptation.exists():
    return None
  entries = _read(folder)
  return entries if RESULT in entries else None


def _read(folder: workdir.Workdir) -> dict[str, Any]:
  try:
    entries = json.loads(atomic.read_text(folder.adaptation))
    if not isinstance(entries.get(REQUEST), dict):
      raise ValueError('no request')
    return entries
  except (ValueError, AttributeError):
    raise types.UserError(
      f'{folder.adaptation}: damaged, or changed since it was written; {atomic.restoring(folder.adaptation)}, '
      'or adapt the run again into another folder with --to'
    ) from None
