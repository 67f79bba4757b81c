"""A folder that one process writes at a time."""

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
# Windows locks bytes and hides them from other processes: one far behind the text, which stays readable.
_LOCKED_BYTE = 2**30


# Of this process: lock file -> the handle that holds it.
_held: dict[str, int] = {}


def take(folder: str | os.PathLike[str], beside: bool = False) -> None:
  """The folder, made where it is missing, is this process's alone until it ends; leftovers of a killed one are cleared.

  **Guarantees**: a second process is refused; the lock ends with the process however that ends, so that none is ever
  stale: the kernel holds it (flock; `msvcrt.locking` on Windows), the file only says who does. On a file system without
  locks of that kind the process that the file names decides: it counts as long as it runs on this machine since when
  the file says.

  Args:
    folder: which.
    beside: for a folder that is replaced whole, or must be empty: the lock lies beside it, and it is not made.

  Raises:
    UserError: another process has it, by its number.
  """
  place = pathlib.Path(folder).absolute()
  path = place.with_name(f'.{place.name}{FILE}') if beside else place / FILE
  if str(path) in _held:
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  while not _is_same(handle := _locked(path, place), path):
    # Another process has removed the file between the two calls.
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
    # Windows says PermissionError where another process has the lock.
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
  """Gives back every folder that this process has taken."""
  for path in list(_held):
    _release(pathlib.Path(path))


def _release(path: pathlib.Path) -> None:
  if str(path) not in _held:
    return
  # Removed while it is still held: whoever opened it meanwhile sees that it is another file.
  with contextlib.suppress(OSError):
    path.unlink()
  os.close(_held.pop(str(path)))


def _own() -> dict[str, str | int]:
  return {'pid': os.getpid(), 'host': platform.node(), 'started': _started(os.getpid())}


def _started(pid: int) -> str:
  """The moment that the process began, in clock ticks since the machine did, with the machine's boot; '' if unknown."""
  try:
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    # Behind the name, which may have spaces and brackets, the 20th field is the 22nd of proc(5).
    return f'{boot} {pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]}'
  except (OSError, IndexError):
    return ''


def _is_running(owner: dict[str, str | int]) -> bool:
  if owner.get('host') != platform.node():
    # Nobody can tell from here.
    return bool(owner)
  return _started(int(owner['pid'])) == owner['started'] != ''


def _refusal(folder: pathlib.Path, owner: dict[str, str | int]) -> str:
  who = f'process {owner["pid"]} on {owner["host"]}' if owner else 'another process'
  return f'{folder}: {who} is writing there; wait for it, or choose another folder'


def _read(handle: int) -> dict[str, str | int]:
  try:
    os.lseek(handle, 0, os.SEEK_SET)
    found = json.loads(os.read(handle, 4096))
    return found if {'pid', 'host', 'started'} <= set(found) else {}
  except (OSError, ValueError, TypeError):
    return {}


def _is_same(handle: int, path: pathlib.Path) -> bool:
  try:
    return os.path.samestat(os.fstat(handle), os.stat(path))
  except FileNotFoundError:
    return False
