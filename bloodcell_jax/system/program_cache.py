"""JAX's cache of compiled programs, freed of what a killed process has written by half."""

from __future__ import annotations

import contextlib
import os
import pathlib

# Of the two files of an entry, in the order in which JAX writes them; and of the lock that it holds meanwhile.
_PROGRAM, _TIME, _LOCK = '-cache', '-atime', '.lockfile'
# Seconds to wait for another process that is writing.
_PATIENCE = 1.0


def remove_halves(folder: str | os.PathLike[str], patience: float = _PATIENCE) -> int:
  """Removes the entries without a time of their last use; returns how many.

  A process that is killed between the two files of an entry leaves one. JAX 0.10 reads all times before it writes an
  entry, so that from then on no process that uses the folder could write any; and in JAX 0.12 too the program, perhaps
  cut short, would never be written again.

  **Guarantees**: an entry that another process is writing stays, as do all whole ones. Never raises: where the folder
  cannot be changed, nothing is.

  Args:
    folder: need not exist, or be a folder of this machine.
    patience: seconds to wait where another process holds the cache's lock; none are removed then.
  """
  place = pathlib.Path(folder)
  if not _halves(place):
    return 0
  import filelock  # imported here: there is hardly ever a half, and every command starts with this

  removed = 0
  with contextlib.suppress(OSError, filelock.Timeout), filelock.FileLock(place / _LOCK, timeout=patience):
    # Looked at again: what was being written above is whole now.
    for path in _halves(place):
      path.unlink()
      removed += 1
  return removed


def _halves(place: pathlib.Path) -> list[pathlib.Path]:
  try:
    names = {entry.name for entry in os.scandir(place)}
  except OSError:
    return []
  programs = [name for name in names if name.endswith(_PROGRAM)]
  return [place / name for name in programs if name.removesuffix(_PROGRAM) + _TIME not in names]
