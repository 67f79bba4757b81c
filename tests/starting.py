"""main.py as a user starts it: in processes of its own, on synthetic smears, without TensorFlow."""

from __future__ import annotations

import csv
import os
import pathlib
import subprocess
import sys

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
)
# A checkpoint every second step.
SAVED_OFTEN = (
  *TINY,
  '--config.train.num_devices=1',
  '--config.train.checkpoint_every=2.',
  '--config.train.checkpoint_unit=steps',
  '--config.evaluate.num_resamples=100',
)


def start(*arguments: object) -> subprocess.Popen[str]:
  environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'XLA_FLAGS': ''}
  return subprocess.Popen(
    [sys.executable, 'main.py', *map(str, arguments)],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def run(*arguments: object) -> tuple[int, str, str]:
  """Exit code, standard output, standard error."""
  process = start(*arguments)
  out, err = process.communicate(timeout=300)
  return process.returncode, out, err


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
  return list(csv.DictReader(path.read_text().splitlines()))


def finish(folder: pathlib.Path) -> tuple[pathlib.Path, str]:
  """The folder of a run that has ended well, and what it printed."""
  code, out, err = run(*TINY, f'--workdir={folder}')
  assert code == 0, err
  return folder, out
