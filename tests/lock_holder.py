"""A process that holds a folder's lock until it is killed."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
HOLD = 'import sys, time; from bloodcell_jax.system import lock; lock.take(sys.argv[1]); '
HOLD += 'print("held", flush=True); time.sleep(120)'


def start(folder):
  """The process, which has the lock when this returns."""
  process = subprocess.Popen(
    [sys.executable, '-c', HOLD, str(folder)],
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'held\n'
  return process
