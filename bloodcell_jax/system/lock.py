"""A lock on a folder, so that only one process writes there at a time."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pathlib
import platform

import filelock

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

FILE = '.lock'
# Beside the lock file: the owner, for people, since Windows lets nobody else read a file that is locked; and the file
# that is the lock by being there, where the file system has no locks.
_OWNER, _SOFT = '.owner', '.soft'
# Seconds in which the lock of a process that has died is taken over.
_PATIENCE, _POLL = 0.3, 0.05

# Locks of this process: lock file -> the lock.
_held: dict[str, filelock.BaseFileLock] = {}


def take(folder: str | os.PathLike[str], beside: bool = False) -> None:
  """Locks the folder for this process until it ends; creates it and removes the leftovers of a killed process.

  **Guarantees**: a second process is refused; the lock ends with the process however that ends, so it is never stale:
  the kernel holds it. On a file system without such locks the folder counts as locked while the process that a file
  names, with that start time, runs on this machine, or if it ran on another.

  Args:
    folder: to lock.
    beside: puts the lock file beside the folder and does not create the folder; for a folder that is replaced as a
      whole or must be empty.

  Raises:
    UserError: another process holds the lock; the message has its number.
  """
  place = pathlib.Path(folder).absolute()
  path = place.with_name(f'.{place.name}{FILE}') if beside else place / FILE
  if str(path) in _held:
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  try:
    own = _acquired(path)
  except filelock.Timeout:
    raise types.UserError(_refusal(place, _read(_beside(path, _OWNER)))) from None
  try:
    with atomic.named(place):
      _beside(path, _OWNER).write_text(json.dumps({'pid': os.getpid(), 'host': platform.node()}))
  except BaseException:
    _release_files(path, own)
    raise
  _held[str(path)] = own
  atexit.register(_release, path)
  atomic.clear(place, _in_use(place))


def _in_use(place: pathlib.Path) -> list[pathlib.Path]:
  """The folders below `place` with a lock of their own that a process holds, such as a run's export."""
  return [
    path.parent if path.name == FILE else path.with_name(path.name[1 : -len(FILE)])
    for path in sorted(place.rglob(f'*{FILE}'))
    if path.name.startswith('.') and path != place / FILE and _is_held(path)
  ]


def _is_held(path: pathlib.Path) -> bool:
  if str(path) in _held:
    return True
  try:
    own = _acquired(path)
  except (filelock.Timeout, OSError):
    return True
  own.release()
  return False


def _acquired(path: pathlib.Path) -> filelock.BaseFileLock:
  """The lock. Raises Timeout where another process has it."""
  own: filelock.BaseFileLock = filelock.FileLock(path, thread_local=False, fallback_to_soft=False)
  try:
    own.acquire(timeout=_PATIENCE, poll_interval=_POLL)
  except filelock.Timeout:
    raise
  except OSError:
    # No locks here; a folder that cannot be written is refused once more.
    own = filelock.SoftFileLock(_beside(path, _SOFT), thread_local=False)
    own.acquire(timeout=_PATIENCE, poll_interval=_POLL)
  return own


def release() -> None:
  """Releases all locks of this process."""
  for path in list(_held):
    _release(pathlib.Path(path))


def _release(path: pathlib.Path) -> None:
  own = _held.pop(str(path), None)
  # A fork has its parent's locks in memory, but holds none.
  if own is None or not own.is_locked:
    return
  _release_files(path, own)


def _release_files(path: pathlib.Path, own: filelock.BaseFileLock) -> None:
  # Removed while still locked: a process that has opened it meanwhile sees that the file has gone, and looks again.
  for file in (_beside(path, _OWNER), path):
    with contextlib.suppress(OSError):
      file.unlink()
  with contextlib.suppress(OSError):
    own.release()


def _beside(path: pathlib.Path, suffix: str) -> pathlib.Path:
  return path.with_name(f'{path.name}{suffix}')


def _refusal(folder: pathlib.Path, owner: dict[str, str | int]) -> str:
  who = f'process {owner["pid"]} on {owner["host"]}' if owner else 'another process'
  return f'{folder}: {who} is writing there; wait for it, or choose another folder'


def _read(path: pathlib.Path) -> dict[str, str | int]:
  try:
    owner = json.loads(path.read_text())
    return owner if {'pid', 'host'} <= set(owner) else {}
  except (OSError, ValueError, TypeError):
    return {}
