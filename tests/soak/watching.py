"""What a run is doing, seen from a thread inside it; and its end, at a moment that the harness has drawn.

The harness puts this file on the run's path as `sitecustomize.py`, so that nothing of the package knows of it. The
process kills itself with SIGKILL, which the kernel carries out as it does any other: nothing more of it runs.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import os
import pathlib
import re
import signal
import sys
import threading
import time

PLAN = 'SOAK_PLAN'
# (end of the file, functions, what that is); the innermost frame of the main thread that is here names the phase.
PHASES = (
  ('train/history.py', ('write',), 'history line'),
  ('plots/figure.py', ('write',), 'figure'),
  ('predictions.py', ('write',), 'predictions'),
  ('stats/doubt.py', ('write',), 'calibration'),
  ('data/standardize.py', ('write', 'fit'), 'statistics'),
  ('data/feature_cache.py', ('read_or_build',), 'feature cache'),
  ('train/checkpoint.py', ('save', 'wait', 'close'), 'checkpoint'),
  ('train/checkpoint.py', ('latest', 'best', '__init__'), 'restoring'),
  ('jax/_src/compiler.py', (), 'compilation'),
  ('train/course.py', ('evaluate',), 'evaluation'),
  ('train/loop.py', ('drive',), 'step'),
  ('frozen.py', ('build',), 'feature cache'),
  ('staging.py', ('begin', '_tell'), 'stage border'),
  ('report.py', ('write',), 'report'),
  ('scoring.py', ('write',), 'figures of merit'),
  ('job.py', ('predict',), 'scoring'),
  ('workdir.py', ('write_config', 'write_environment'), 'config'),
  ('opening.py', ('read_data',), 'reading images'),
)
# Orbax writes in threads of its own.
_WRITER = 'async_checkpointer.py'
_THREAD = re.compile(r'(?:Current t|T)hread 0x([0-9a-f]+)')
_FRAME = re.compile(r'  File "(.*)", line \d+ in (.*)')
_step = -1


def phase() -> dict[str, object]:
  """What the main thread does, the last step asked for (-1 before the first), whether a checkpoint is being written.

  Frames are read as the fault handler writes them, without a Python object of any: `sys._current_frames` can lock up
  where garbage is collected meanwhile (CPython gh-106883), and a frame of a thread that ends can crash its reader.
  """
  os.ftruncate(_file(), 0)
  os.lseek(_file(), 0, os.SEEK_SET)
  faulthandler.dump_traceback(_file())
  os.lseek(_file(), 0, os.SEEK_SET)
  lines = os.read(_file(), 2**20).decode(errors='replace').splitlines()
  found, is_main, is_saving = 'start', False, False
  for line in lines:
    if thread := _THREAD.match(line):
      is_main = int(thread[1], 16) == threading.main_thread().ident
    elif frame := _FRAME.match(line):
      if is_main and found == 'start':
        found = _name(frame[1], frame[2])
      is_saving |= not is_main and frame[1].endswith(_WRITER)
  return {'phase': found, 'step': _step, 'is_saving': is_saving}


def _name(file: str, function: str) -> str:
  """The phase that a frame tells of; 'start' where it tells of none."""
  for end, names, what in PHASES:
    if file.endswith(end) and (function in names if names else function != '<module>'):
      return what
  return 'start'


@functools.cache
def _file() -> int:
  return os.memfd_create('frames')


def _follow() -> None:
  """Notes each step that the loop asks for, to know what was lost; again and again, until the loop is loaded."""
  course = getattr(sys.modules.get('bloodcell_jax.train.course'), 'Course', None)
  if course is None or hasattr(course, 'is_followed'):
    return
  count = course.count

  def noted(self, waited: float) -> None:
    global _step
    count(self, waited)
    _step = self.step

  course.count, course.is_followed = noted, True


def _watch(plan: dict) -> None:
  """Kills the process `after` seconds, or `delay` seconds after the phase `at` is seen for the `nth` time."""
  began, seen, before = time.monotonic(), 0, ''
  while True:
    time.sleep(0.002)
    _follow()
    late = plan['after'] and time.monotonic() - began >= plan['after']
    if not (plan['at'] or late):
      # Nothing is looked at before it must be.
      continue
    now = phase()
    name = 'checkpoint writer' if plan['at'] == 'checkpoint writer' and now['is_saving'] else now['phase']
    seen += name == plan['at'] and name != before
    before = name
    due = late or (plan['at'] and seen >= plan['nth'])
    if not due:
      continue
    if plan['delay'] and not late:
      time.sleep(plan['delay'])
      now = phase()
    pathlib.Path(plan['note']).write_text(json.dumps({**now, 'seconds': time.monotonic() - began}))
    os.kill(os.getpid(), plan.get('signal', signal.SIGKILL))
    if plan.get('again'):
      time.sleep(plan['again'])
      os.kill(os.getpid(), plan['signal'])
    return


if os.environ.get(PLAN):
  threading.Thread(target=_watch, args=(json.loads(os.environ.pop(PLAN)),), daemon=True).start()
