"""What a run is doing, told by its own functions; and its end, at a moment that the harness has drawn.

The harness puts this file on the run's path as `sitecustomize.py`, so that nothing of the package knows of it. The
process kills itself with SIGKILL, which the kernel carries out as it does any other: nothing more of it runs.

Functions are wrapped as soon as their module is loaded. To look at the stacks of the threads from outside is not safe
in CPython 3.11: `sys._current_frames` locks up where garbage is collected meanwhile (gh-106883), and both it and the
fault handler have crashed here on the stack of a thread that ended.
"""

from __future__ import annotations

import functools
import glob
import json
import os
import pathlib
import signal
import sys
import threading
import time
import types

PLAN = 'SOAK_PLAN'
# (module, functions or methods, what they do); the innermost one that the main thread is in names the phase.
PHASES = (
  ('bloodcell_jax.train.history', ('write',), 'history line'),
  ('bloodcell_jax.plots.figure', ('write',), 'figure'),
  ('bloodcell_jax.storage.predictions_csv', ('write',), 'predictions'),
  ('bloodcell_jax.storage.calibration_file', ('write',), 'calibration'),
  ('bloodcell_jax.data.augmentation.standardize', ('write', 'fit'), 'statistics'),
  ('bloodcell_jax.data.images.feature_cache', ('read_or_build',), 'feature cache'),
  ('bloodcell_jax.train.checkpoint', ('Store.save', 'Store.wait', 'Store.close'), 'checkpoint'),
  ('bloodcell_jax.train.checkpoint', ('Store.latest', 'Store.best', 'Store.__init__'), 'restoring'),
  ('jax._src.compiler', ('compile_or_get_cached',), 'compilation'),
  ('bloodcell_jax.train.tracker', ('RunTracker.evaluate',), 'evaluation'),
  ('bloodcell_jax.train.loop', ('fit',), 'step'),
  ('bloodcell_jax.train.side_by_side', ('fit',), 'step'),
  ('bloodcell_jax.runs.frozen_features', ('build',), 'feature cache'),
  ('bloodcell_jax.runs.stage_training', ('begin', '_print_stage'), 'stage border'),
  ('bloodcell_jax.reports.report', ('write',), 'report'),
  ('bloodcell_jax.runs.scoring', ('write',), 'figures of merit'),
  ('bloodcell_jax.runs.job', ('Job.predict',), 'scoring'),
  ('bloodcell_jax.runs.row_outputs', ('RowOutputs.predictions',), 'scoring'),
  ('bloodcell_jax.storage.workdir', ('Workdir.write_config', 'Workdir.write_environment'), 'config'),
  ('bloodcell_jax.runs.run_data', ('read',), 'reading images'),
)
# Orbax writes in threads of its own.
WRITER = 'checkpoint writer'
_phases = ['start']
_step = -1
_seen: dict[str, int] = {}
# The plan, where its phase itself is to carry it out, before anything of it is done.
_at_once: dict = {}
_began = time.monotonic()


def phase() -> dict[str, object]:
  """What the main thread does, the last step asked for (-1 before the first), whether a checkpoint is being written."""
  return {'phase': _phases[-1], 'step': _step, 'is_saving': _is_saving()}


def _is_saving() -> bool:
  folders = [argument.partition('=')[2] for argument in sys.argv if argument.startswith('--workdir=')]
  return any(
    glob.glob(f'{glob.escape(folder)}/{inner}checkpoints/*.orbax-checkpoint-tmp')
    for folder in folders
    for inner in ('', 'members/*/')
  )


def _follow(waiting: list[tuple[str, str, str]]) -> None:
  """Wraps what has been loaded of the (module, function, phase) that wait, and takes it from them."""
  for one in list(waiting):
    module, path, what = one
    place: object = sys.modules.get(module)
    *outer, name = path.split('.')
    for part in outer:
      place = getattr(place, part, None)
    # Of a class that is whole: the module may still be loading.
    if isinstance(function := getattr(place, name, None), types.FunctionType):
      setattr(place, name, _noted(function, what))
      waiting.remove(one)


def _noted(function: types.FunctionType, what: str) -> object:
  @functools.wraps(function)
  def noted(*given: object, **more: object) -> object:
    global _step
    if threading.current_thread() is not threading.main_thread():
      return function(*given, **more)
    if what == _COUNT:
      _step = given[0].step + 1
      return function(*given, **more)
    _phases.append(what)
    _seen[what] = _seen.get(what, 0) + 1
    if _at_once and (what, _seen[what]) == (_at_once['at'], _at_once['nth']):
      _act(_at_once)
    try:
      return function(*given, **more)
    finally:
      _phases.pop()

  return noted


# Not a phase: called once a step.
_COUNT = 'step asked for'


def _watch(plan: dict) -> None:
  """Kills the process `after` seconds, or `delay` seconds after the phase `at` is seen for the `nth` time.

  With `is_at_once` the main thread does it as it enters the phase, before anything of it is done.
  """
  seen, before = 0, ''
  waiting = [(module, name, what) for module, names, what in PHASES for name in names]
  waiting.append(('bloodcell_jax.train.tracker', 'RunTracker.record_update', _COUNT))
  while True:
    time.sleep(0.002)
    _follow(waiting)
    late = plan['after'] and time.monotonic() - _began >= plan['after']
    name = _phases[-1]
    if plan['at'] == WRITER and _is_saving():
      name = WRITER
    seen += name == plan['at'] and name != before
    before = name
    due = late or (plan['at'] and seen >= plan['nth'])
    if not due:
      continue
    if plan['delay'] and not late:
      time.sleep(plan['delay'])
    _act(plan)
    if plan.get('again'):
      time.sleep(plan['again'])
      os.kill(os.getpid(), plan['signal'])
    return


def _act(plan: dict) -> None:
  pathlib.Path(plan['note']).write_text(json.dumps({**phase(), 'seconds': time.monotonic() - _began}))
  os.kill(os.getpid(), plan.get('signal', signal.SIGKILL))


def begin() -> None:
  """Starts the watch where the environment has a plan."""
  global _at_once, _began
  if os.environ.get(PLAN):
    _began = time.monotonic()
    plan = json.loads(os.environ.pop(PLAN))
    if plan.get('is_at_once'):
      _at_once, plan = plan, {**plan, 'at': ''}
    threading.Thread(target=_watch, args=(plan,), daemon=True).start()


begin()
