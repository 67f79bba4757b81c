"""A lock on a folder, so that only one process writes there at a time."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pathlib
import platform

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None  # type: ignore[assignment]

FILE = '.lock'
# On Windows a locked byte cannot be read by other processes: lock one far beyond the text.
_LOCKED_BYTE = 2**30

# Locks of this process: lock file -> its handle.
_held: dict[str, int] = {}


def take(folder: str | os.PathLike[str], beside: bool = False) -> None:
  """Locks the folder for this process until it ends; creates it and removes the leftovers of a killed process.

  **Guarantees**: a second process is refused; the lock ends with the process however that ends, so it is never stale:
  the kernel holds it (flock; `msvcrt.locking` on Windows), and the file only names the owner. On a file system without
  such locks the folder counts as locked while the process that the file names, with that start time, runs on this
  machine.

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
  while not _is_same(handle := _locked(path, place), path):
    # Another process removed the file between the two calls.
    os.close(handle)
  os.ftruncate(handle, 0)
  os.lseek(handle, 0, os.SEEK_SET)
  os.write(handle, json.dumps(_own()).encode())
  _held[str(path)] = handle
  atexit.register(_release, path)
  atomic.clear(place)


def _locked(path: pathlib.Path, place: pathlib.Path) -> int:
  """The open file that stands for `place`, locked."""
  handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
  try:
    _lock(handle)
  except OSError as error:
    owner = _read(handle)
    # Windows raises PermissionError if another process has the lock.
    if isinstance(error, BlockingIOError | PermissionError) or _is_running(owner):
      os.close(handle)
      raise types.UserError(_refusal(place, owner)) from None
  return handle


def _lock(handle: int) -> None:
  if fcntl:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return
  import msvcrt

  os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
  msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]


def release() -> None:
  """Releases all locks of this process."""
  for path in list(_held):
    _release(pathlib.Path(path))


def _release(path: pathlib.Path) -> None:
  if str(path) not in _held:
    return
  # Removed while still locked: a process that has opened it meanwhile sees that the file has changed.
  with contextlib.suppress(OSError):
    path.unlink()
  os.close(_held.pop(str(path)))


def _own() -> dict[str, str | int]:
  return {'pid': os.getpid(), 'host': platform.node(), 'started': _started(os.getpid())}


def _started(pid: int) -> str:
  """Start time of the process in clock ticks since boot, with the id of the boot; '' if unknown."""
  try:
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    # Field 22 of proc(5) is the 20th after the name, which may contain spaces and brackets.
    return f'{boot} {pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]}'
  except (OSError, IndexError):
    return ''


def _is_running(owner: dict[str, str | int]) -> bool:
  if owner.get('host') != platform.node():
    # Unknown from this machine: assume that it runs.
    return bool(owner)
  return _started(int(owner['pid'])) == owner['started'] != ''


def _refusal(folder: pathlib.Path, owner: dict[str, str | int]) -> str:
  who = f'process {owner["pid"]} on {owner["host"]}' if owner else 'another process'
  return f'{folder}: {who} is writing there; wait for it, or choose another folder'


def _read(handle: int) -> dict[str, str | int]:
  try:
    os.lseek(handle, 0, os.SEEK_SET)
    owner = json.loads(os.read(handle, 4096))
    return owner if {'pid', 'host', 'started'} <= set(owner) else {}
  except (OSError, ValueError, TypeError):
    return {}


def _is_same(handle: int, path: pathlib.Path) -> bool:
  try:
    return os.path.samestat(os.fstat(handle), os.stat(path))
  except FileNotFoundError:
    return False
