"""What a run is doing, seen from a thread inside it; and its end, at a moment that the harness has drawn.

The harness puts this file on the run's path as `sitecustomize.py`, so that nothing of the package knows of it. The
process kills itself with SIGKILL, which the kernel carries out as it does any other: nothing more of it runs.
"""

from __future__ import annotations

import gc
import json
import os
import pathlib
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
# Of the loop, to know what was lost; Orbax writes in threads of its own.
_LOOP, _WRITER = 'train/loop.py', 'async_checkpointer.py'


def phase() -> dict[str, object]:
  """What the main thread does, the step it is at (-1 outside the loop), and whether a checkpoint is being written."""
  # CPython gh-106883: the list of threads is locked meanwhile. Should garbage be collected then, and what is freed let
  # another thread run, as JAX's arrays do, that thread may wait for the list for ever.
  was_collecting = gc.isenabled()
  gc.disable()
  frames = sys._current_frames()
  if was_collecting:
    gc.enable()
  main = threading.main_thread().ident
  found, step = 'start', -1
  frame = frames.get(main) if main is not None else None
  while frame is not None:
    file, name = frame.f_code.co_filename, frame.f_code.co_name
    if found == 'start':
      found = next(
        (
          what
          for end, names, what in PHASES
          if file.endswith(end) and (name in names if names else name != '<module>')
        ),
        'start',
      )
    if file.endswith(_LOOP) and name == 'drive' and step < 0:
      step = frame.f_locals['runs'][0].step
    frame = frame.f_back
  is_saving = False
  for ident, other in frames.items():
    while ident != main and other is not None and not is_saving:
      is_saving = other.f_code.co_filename.endswith(_WRITER)
      other = other.f_back
  return {'phase': found, 'step': step, 'is_saving': is_saving}


def _watch(plan: dict) -> None:
  """Kills the process `after` seconds, or `delay` seconds after the phase `at` is seen for the `nth` time."""
  began, seen, before = time.monotonic(), 0, ''
  while True:
    time.sleep(0.002)
    late = plan['after'] and time.monotonic() - began >= plan['after']
    if not (plan['at'] or late):
      # No frame is looked at before it must be.
      continue
    try:
      now = phase()
    except (RuntimeError, ValueError):
      # A frame that changed under the reader's hands.
      continue
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
