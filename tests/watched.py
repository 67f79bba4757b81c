"""Cases run in a process of their own, which may crash, hang or take memory without harm to the one that counts."""

from __future__ import annotations

import dataclasses
import importlib
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import time
import warnings
from collections.abc import Sequence
from typing import Any

# A case that takes more is stopped by the system.
MOST_ADDRESSES = 24 * 2**30


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a case."""

  case: str
  said: str  # 'ok', 'refused: ...', or what is wrong: 'crash', 'hang', 'memory', 'TypeError: ...'
  seconds: float  # of the processor, so that others' work does not count; of the clock after a crash or hang
  megabytes: float  # the most that the process had while it ran, its libraries included

  @property
  def is_failure(self) -> bool:
    return self.said != 'ok' and not self.said.startswith('refused')


def run(
  target: str, cases: Sequence[Any], names: Sequence[str], seconds: float, megabytes: float
) -> list[Outcome]:
  """What becomes of each case under `target`, `module:function`, which gives 'ok' or 'refused: ...' or raises.

  Args:
    target: looked up in the other process; called with one case.
    cases: anything that can be sent to it.
    names: of the cases.
    seconds: after which a case hangs and its process is ended.
    megabytes: above which a case has taken too much.
  """
  context, found, at = multiprocessing.get_context('spawn'), [], 0
  while at < len(cases):
    ours, theirs = context.Pipe()
    worker = context.Process(target=_serve, args=(theirs, target), daemon=True)
    worker.start()
    theirs.close()
    try:
      ours.recv()  # it has loaded its libraries
      while at < len(cases):
        ours.send(cases[at])
        began = time.monotonic()
        if not ours.poll(seconds):
          found.append(Outcome(names[at], 'hang', seconds, 0.0))
          at += 1
          break
        said, took, peak = ours.recv()
        wrong = f'memory: {peak:.0f} MB' if peak > megabytes else said
        found.append(Outcome(names[at], wrong, took, peak))
        at += 1
    except (EOFError, ConnectionError):
      found.append(Outcome(names[at], 'crash', time.monotonic() - began, 0.0))
      at += 1
    finally:
      ours.close()
      worker.kill()
      worker.join()
  return found


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
  """The cases counted, and the slowest and the largest of them."""
  failures = [one for one in found if one.is_failure]
  slowest, largest = max(found, key=lambda o: o.seconds), max(found, key=lambda o: o.megabytes)
  return {
    'cases': len(found),
    'ok': sum(one.said == 'ok' for one in found),
    'refused': sum(one.said.startswith('refused') for one in found),
    'failures': [dataclasses.asdict(one) for one in failures],
    'slowest': dataclasses.asdict(slowest),
    'largest': dataclasses.asdict(largest),
  }


def write(path: str, value: dict[str, Any]) -> None:
  """Puts it at `path` as JSON and prints it."""
  text = json.dumps(value, indent=2)
  pathlib.Path(path).write_text(text + '\n')
  print(text)


def misbehave(case: str) -> str:
  """Does what it is told, to show that the watch sees it."""
  match case:
    case 'crash':
      os.kill(os.getpid(), signal.SIGSEGV)
    case 'hang':
      time.sleep(3600)
    case 'memory':
      b'x' * 2**27
    case 'raise':
      raise TypeError('unexpected')
    case 'refuse':
      return 'refused: for a reason'
  return 'ok'


def _serve(pipe: Any, target: str) -> None:
  warnings.simplefilter('ignore')
  resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  module, function = target.split(':')
  call = getattr(importlib.import_module(module), function)
  pipe.send('ready')
  while True:
    try:
      case = pipe.recv()
    except EOFError:
      return
    _forget_peak()
    began = time.process_time()
    try:
      said = call(case)
    except BaseException as error:
      said = f'{type(error).__name__}: {error}'[:300]
    pipe.send((said, time.process_time() - began, _peak()))


def _forget_peak() -> None:
  try:
    pathlib.Path('/proc/self/clear_refs').write_text('5')
  except OSError:  # not Linux, or not allowed: the peak is that of all cases so far
    return


def _peak() -> float:
  try:
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return int(next(line for line in lines if line.startswith('VmHWM')).split()[1]) / 1024
  except (OSError, StopIteration):
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
