"""How much memory there is for this process: what the machine has left, within the limits that are set for it."""

from __future__ import annotations

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

# What the smallest run takes, libraries included, and what of addresses, as measured (docs/reliability.md).
LEAST, LEAST_ADDRESSES = 700_000_000, 3_500_000_000
# How many times what XLA and the batches ask for was taken, as measured there: threads of their own, what they keep.
MOST = 4
# What the threads take that write a checkpoint. Without it Python can wait for ever for one of them to begin.
WRITING = 100_000_000
KEPT = 'The checkpoints are kept, and the same command continues'
# Of XLA, C++, the loader of libraries, the system and Python's threads.
_SAID = (
  'RESOURCE_EXHAUSTED', 'bad_alloc', 'failed to map segment', 'annot allocate memory', "can't start new thread",
)  # fmt: skip
_GROUPS = pathlib.Path('/sys/fs/cgroup')


def available() -> int:
  """Bytes that this process can still take: of the machine's without swapping, of its control groups', of its own.

  A container has the limits of a control group, a batch system often those of `ulimit -v`. Source: proc(5), and
  cgroup-v1/memory and cgroup-v2 in the documentation of the Linux kernel.
  """
  return max(0, min([_shared('MemAvailable'), *_of_process()]))


def obtainable() -> int:
  """As `available`, with what the machine has left of its swap: to take more ends the process."""
  return max(0, min([_shared('MemAvailable', 'SwapFree'), *_of_process()]))


def free(device: jax.Device) -> int:
  """Bytes that a device has left, as it says itself; where it says nothing, those of the host."""
  stats = device.memory_stats() or {}
  if 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)
  return obtainable()


def require(needed: int, free: int, what: str, advice: str, *, most: int = 1) -> None:
  """Refuses to take more than is free, which would end the process without a word; says where it may come to that.

  Args:
    needed: bytes that are taken at least.
    free: bytes that there are.
    what: what takes them, such as 'an update'.
    advice: what to do, such as 'lower train.batch_size'.
    most: how many times as much it may come to, as measured; a line on standard error tells where that is not free.

  Raises:
    RunError: more bytes are needed than are free.
  """
  from bloodcell_jax.base import types  # here, for `shortage` is asked before JAX is loaded

  if needed > free:
    raise types.RunError(
      f'{what}: {needed / 1e9:.2f} GB more are needed and {free / 1e9:.2f} GB of memory are free; {advice}. {KEPT}'
    )
  if most * needed > free:
    print(
      f'{what}: {needed / 1e9:.2f} to {most * needed / 1e9:.2f} GB more are needed and {free / 1e9:.2f} GB of memory '
      f'are free: the system may end this process. Should it, {advice}. {KEPT}',
      file=sys.stderr,
      flush=True,
    )


def shortage() -> str:
  """One line where there is less than the smallest run takes; empty where there is more."""
  free = _shared('MemAvailable', 'SwapFree')
  if free < LEAST:
    return (
      f'{free / 1e9:.2f} GB of memory are free for this process, and a run takes {LEAST / 1e9:.1f} GB at least: the '
      'system may end it. What is saved by then is kept'
    )
  addresses = min(_of_process(), default=LEAST_ADDRESSES)
  if addresses < LEAST_ADDRESSES:
    return (
      f'a limit of this process (ulimit -v) leaves {addresses / 1e9:.2f} GB of addresses, and a run reserves '
      f'{LEAST_ADDRESSES / 1e9:.1f} GB, most of them unused: it may fail'
    )
  return ''


def is_short(error: BaseException) -> bool:
  """Whether an error says that memory, or what the system takes memory for, was not to be had."""
  return isinstance(error, MemoryError) or any(said in str(error) for said in _SAID)


def _shared(*fields: str) -> int:
  """What this process and others can still take: these fields of the machine, within the process' control groups."""
  own = pathlib.Path('/proc/self/cgroup')
  return min([_of_machine(*fields), *_of_groups(own.read_text() if own.exists() else '', _GROUPS)])


def _of_machine(*fields: str) -> int:
  try:
    with open('/proc/meminfo') as file:
      found = dict(line.split(':') for line in file)
    return 1024 * sum(int(found[name].split()[0]) for name in fields)
  except (OSError, KeyError, ValueError):
    # Not Linux: half of what is built in stands for what is free.
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2


def _of_groups(named: str, top: pathlib.Path) -> Iterator[int]:
  """What each control group of memory leaves, from the process' own up; `named` is what /proc/self/cgroup says."""
  for line in named.splitlines():
    _, controllers, path = line.split(':', 2)
    if not controllers:
      yield from _left_up(top, path, 'memory.max', 'memory.current', 'inactive_file', 'active_file')
    elif 'memory' in controllers.split(','):
      names = 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file', 'total_active_file'
      yield from _left_up(top / 'memory', path, *names)


def _left_up(top: pathlib.Path, path: str, limit: str, usage: str, *files: str) -> Iterator[int]:
  group = top / path.strip('/')
  # Within a container its own group may be the top, whatever it is called outside.
  for each in (group, *group.parents):
    yield from _left(each, limit, usage, *files)
    if each == top:
      return


def _left(group: pathlib.Path, limit: str, usage: str, *files: str) -> Iterator[int]:
  try:
    most, used = ((group / name).read_text().strip() for name in (limit, usage))
    stats = dict(line.split() for line in (group / 'memory.stat').read_text().splitlines() if line)
    if most != 'max':
      # Files that were read or mapped are given back when the room is asked for.
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
