"""Memory available to this process: of the machine, within control groups and process limits."""

from __future__ import annotations

import ctypes
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  import jax

try:
  import resource
except ImportError:  # not on Windows
  resource = None  # type: ignore[assignment]

# Least resident memory and least address space of the smallest run, in bytes, measured (docs/reliability.md).
LEAST, LEAST_ADDRESSES = 700_000_000, 3_500_000_000
# Observed peak memory was up to this many times the estimate for programs and batches (thread stacks, buffers kept by
# the allocator); see docs/reliability.md.
PEAK_FACTOR = 4
# Bytes for the threads that write a checkpoint. Without them Python can wait forever for a thread to start.
WRITING = 100_000_000
KEPT = (
  'The checkpoints are kept, and the same command continues; '
  'train with another batch or image size in another --workdir'
)
# Parts of error messages of XLA, C++, the dynamic loader, the system and Python's threads.
_MESSAGES = (
  'RESOURCE_EXHAUSTED', 'bad_alloc', 'failed to map segment', 'annot allocate memory', "can't start new thread",
)  # fmt: skip
_GROUPS = pathlib.Path('/sys/fs/cgroup')


def available() -> int:
  """Bytes that this process can allocate without swapping, within its control groups and its own limits.

  Containers limit memory by control groups, batch systems often by `ulimit -v`. Source: proc(5); cgroup-v1/memory and
  cgroup-v2 in the documentation of the Linux kernel.
  """
  return max(0, min([_shared('MemAvailable'), *_of_process()]))


def obtainable() -> int:
  """As `available`, plus free swap; the system kills a process that allocates more."""
  return max(0, min([_shared('MemAvailable', 'SwapFree'), *_of_process()]))


def free(device: jax.Device) -> int:
  """Free bytes of a device by its own statistics, or of the host if it has none."""
  stats = device.memory_stats() or {}
  if 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)
  return obtainable()


def require(needed: int, free: int, what: str, advice: str, *, peak_factor: int = 1) -> None:
  """Raises an error instead of letting the system kill the process; warns on standard error if memory may be short.

  Args:
    needed: least bytes to allocate.
    free: free bytes.
    what: what needs them, such as 'an update'.
    advice: what to do, such as 'lower train.batch_size'.
    peak_factor: the peak may be this many times `needed`; there is a warning if that is not free.

  Raises:
    RunError: `needed` exceeds `free`.
  """
  from bloodcell_jax.base import types  # imported here: main.py calls `shortage` before JAX is loaded

  if needed > free:
    raise types.RunError(
      f'{what}: needs {needed / 1e9:.2f} GB more, but {free / 1e9:.2f} GB of memory are free; {advice}. {KEPT}'
    )
  if peak_factor * needed > free:
    print(
      f'{what}: needs {needed / 1e9:.2f} to {peak_factor * needed / 1e9:.2f} GB more, but {free / 1e9:.2f} GB '
      f'of memory are free: the system may kill this process. If it does, {advice}. {KEPT}',
      file=sys.stderr,
      flush=True,
    )


def shortage() -> str:
  """A one-line warning if there is less memory than the smallest run needs; else empty."""
  free = _shared('MemAvailable', 'SwapFree')
  if free < LEAST:
    return (
      f'{free / 1e9:.2f} GB of memory are free for this process, but a run needs at least {LEAST / 1e9:.1f} GB: the '
      'system may kill it. Checkpoints saved until then are kept'
    )
  addresses = min(_of_process(), default=LEAST_ADDRESSES)
  if addresses < LEAST_ADDRESSES:
    return (
      f'a limit of this process (ulimit -v) leaves {addresses / 1e9:.2f} GB of address space, but a run reserves '
      f'{LEAST_ADDRESSES / 1e9:.1f} GB, most of them unused: it may fail'
    )
  return ''


def is_short(error: BaseException) -> bool:
  """Whether an error is due to a lack of memory, address space or threads."""
  return isinstance(error, MemoryError) or any(message in str(error) for message in _MESSAGES)


def _shared(*fields: str) -> int:
  """Bytes that this process can share with others: these fields of /proc/meminfo, within its control groups."""
  own = pathlib.Path('/proc/self/cgroup')
  return min([_of_machine(*fields), *_of_groups(own.read_text() if own.exists() else '', _GROUPS)])


def _of_machine(*fields: str) -> int:
  try:
    with open('/proc/meminfo') as file:
      values = dict(line.split(':') for line in file)
    return 1024 * sum(int(values[name].split()[0]) for name in fields)
  except (OSError, KeyError, ValueError):
    if hasattr(os, 'sysconf'):
      # macOS: assume that half of the installed memory is free.
      return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2
    return _of_windows('SwapFree' in fields)


class _WindowsStatus(ctypes.Structure):
  """MEMORYSTATUSEX. Source: sysinfoapi.h in the documentation of the Windows API."""

  _fields_ = (
    ('length', ctypes.c_uint32),
    ('load', ctypes.c_uint32),
    *(
      (name, ctypes.c_uint64)
      for name in (
        'physical',
        'free_physical',
        'page_file',
        'free_page_file',  # physical memory included
        'addresses',
        'free_addresses',
        'extended',
      )
    ),
  )


def _of_windows(with_swap: bool) -> int:
  """Free bytes of a machine with Windows; 2**62 where it does not say, so that nothing is refused."""
  status = _WindowsStatus(length=ctypes.sizeof(_WindowsStatus))
  try:
    is_answered = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
  except (AttributeError, OSError):
    is_answered = 0
  if not is_answered:
    return 2**62
  return status.free_page_file if with_swap else status.free_physical


def _of_groups(membership: str, top: pathlib.Path) -> Iterator[int]:
  """Free bytes of each memory control group, from the process' own up; `membership`: text of /proc/self/cgroup."""
  for line in membership.splitlines():
    _, controllers, path = line.split(':', 2)
    if not controllers:
      yield from _left_up(top, path, 'memory.max', 'memory.current', 'inactive_file', 'active_file')
    elif 'memory' in controllers.split(','):
      names = 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file', 'total_active_file'
      yield from _left_up(top / 'memory', path, *names)


def _left_up(top: pathlib.Path, path: str, limit: str, usage: str, *files: str) -> Iterator[int]:
  group = top / path.strip('/')
  # In a container the process' group may be mounted as the top, under another name.
  for each in (group, *group.parents):
    yield from _left(each, limit, usage, *files)
    if each == top:
      return


def _left(group: pathlib.Path, limit: str, usage: str, *files: str) -> Iterator[int]:
  try:
    most, used = ((group / name).read_text().strip() for name in (limit, usage))
    stats = dict(line.split() for line in (group / 'memory.stat').read_text().splitlines() if line)
    if most != 'max':
      # The page cache is reclaimed when memory is needed.
      yield int(most) - int(used) + sum(int(stats.get(name, 0)) for name in files)
  except (OSError, ValueError):
    return


def _of_process() -> Iterator[int]:
  if resource is None:
    return
  limit = resource.getrlimit(resource.RLIMIT_AS)[0]
  if limit == resource.RLIM_INFINITY:
    return
  try:
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  except (OSError, ValueError, IndexError):
    return
  yield limit - pages * os.sysconf('SC_PAGE_SIZE')
