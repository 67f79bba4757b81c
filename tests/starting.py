"""main.py in processes of its own, on synthetic smears, without TensorFlow.

`start` and `finish` start it as a user does. `run` forks a process that has loaded the libraries already, which saves
the seconds that each start spends on loading them; everything else is that of a process of its own, except that its
figures are blank unless asked for.
"""

from __future__ import annotations

import atexit
import csv
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

from soak import watching

ROOT = pathlib.Path(__file__).parent.parent
# The smallest images that the network takes, few of them, few steps: seconds a run.
TINY = (
  '--config=configs/default.py',
  '--config.data.image_size=48',
  '--config.data.pipeline=numpy',
  '--config.data.embedded.num_train=10',
  '--config.data.embedded.num_test=6',
  '--config.data.embedded.height=60',
  '--config.data.embedded.width=80',
  '--config.train.batch_size=8',
  '--config.train.epochs=2',
  '--config.train.steps_per_epoch=5',
  '--config.evaluate.num_resamples=100',
)
# A checkpoint every second step, and each photograph once.
SAVED_OFTEN = (
  *TINY,
  '--config.data.embedded.num_copies=1',
  '--config.train.num_devices=1',
  '--config.train.checkpoint_every=2.',
  '--config.train.checkpoint_unit=steps',
)


_LOCK = threading.Lock()


def _environment() -> dict[str, str]:
  # JAX sets the level of its messages when it is imported, here, where a user's command sets its own.
  inherited = {name: value for name, value in os.environ.items() if name != 'TF_CPP_MIN_LOG_LEVEL'}
  return {**inherited, 'PYTHONPATH': str(ROOT), 'XLA_FLAGS': ''}


def start(*arguments: object) -> subprocess.Popen[str]:
  """A process of its own from the start, as a user has it."""
  return subprocess.Popen(
    [sys.executable, 'main.py', *map(str, arguments)],
    cwd=ROOT,
    env=_environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@functools.cache
def _loaded() -> subprocess.Popen[str]:
  """The process that is forked, until pytest ends."""
  process = subprocess.Popen(
    [sys.executable, str(ROOT / 'tests' / 'forking.py')],
    cwd=ROOT,
    env=_environment(),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  atexit.register(process.communicate)
  return process


def run(
  *arguments: object,
  draws: bool = False,
  loads: tuple[str, ...] = (),
  inside: pathlib.Path = ROOT,
  plan: dict | None = None,
) -> tuple[int, str, str]:
  """Exit code, standard output, standard error.

  Args:
    *arguments: of main.py.
    draws: whether figures are drawn; otherwise each is a small white picture.
    loads: modules that the command would take long to load; those after it find them loaded too.
    inside: the working folder.
    plan: when and how the process ends itself, as `soak/watching.py` reads it.
  """
  with _LOCK, tempfile.TemporaryDirectory() as folder:
    paths = {name: pathlib.Path(folder, name) for name in ('out', 'err')}
    request = {
      'arguments': [*map(str, arguments)],
      'environment': {**_environment(), **({watching.PLAN: json.dumps(plan)} if plan else {})},
      'draws': draws,
      'loads': loads,
      'inside': str(inside),
      **{name: str(path) for name, path in paths.items()},
    }
    process = _loaded()
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(request) + '\n')
    process.stdin.flush()
    code = int(process.stdout.readline())
    out, err = (path.read_text() for path in paths.values())
  return code, out, err


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
  return list(csv.DictReader(path.read_text().splitlines()))


def finish(folder: pathlib.Path) -> str:
  """Brings a tiny run to its end in this folder; what it printed."""
  process = start(*TINY, f'--workdir={folder}')
  out, err = process.communicate(timeout=300)
  assert process.returncode == 0, err
  return out
