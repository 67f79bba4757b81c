"""Writes old_runs.zip: runs made by commit c1800ff, for tests/old_runs_test.py.

    git worktree add ../old c1800ff && python tests/golden/make_old_runs.py ../old

The argument is a checkout of that commit. All images are synthetic: no figure of these runs says anything about real
blood. The archive holds:

    softmax     a finished run
    svr         a finished run of the hybrid network with a support vector regression as its last layer
    bagging     a finished ensemble of two networks
    unfinished  a run stopped in the middle of its last epoch
    images      three images
    expected    what c1800ff predicts for the images with each finished run, and how it finishes the unfinished one

To keep the archive small, figures, TensorBoard files, logs and all checkpoints but the newest and the best are left
out, and report.html is a placeholder.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator

COMMIT = 'c1800ff'
ARCHIVE = pathlib.Path(__file__).parent / 'old_runs.zip'
# Config keys renamed since that commit: old name -> current name.
RENAMED = {'data.embedded.num_views': 'data.embedded.num_copies'}
# Values renamed since that commit, with the current names of their keys: old flag -> current flag.
RENAMED_VALUES = {'--config.model.name=hybrid': '--config.model.name=cnn_svr'}
_SMALL = (
  '--config.data.image_size=32',
  '--config.data.interpolation=box',
  '--config.data.pipeline=numpy',
  '--config.data.validation_fraction=0.5',
  '--config.data.embedded.num_train=4',
  '--config.data.embedded.num_test=2',
  '--config.data.embedded.num_views=2',
  '--config.data.embedded.height=60',
  '--config.data.embedded.width=80',
  '--config.model.name=hybrid',
  '--config.model.head_units=6',
  '--config.augment.featurewise_center=True',
  '--config.train.batch_size=4',
  '--config.train.num_devices=1',
  '--config.evaluate.num_resamples=100',
  "--config.evaluate.splits=('test',)",
)
# Enough steps for the predictions to differ between images.
_TRAINED = (
  '--config=configs/default.py',
  *_SMALL,
  '--config.optimizer.learning_rate=0.003',
  '--config.train.monitor=loss',
  '--config.train.epochs=3',
  '--config.train.steps_per_epoch=40',
)
# Stopped a few steps before the end, because each step amplifies the rounding of other processors.
_STOPPED = (
  *_TRAINED,
  '--config.train.checkpoint_every=5.',
  '--config.train.checkpoint_unit=steps',
)
FLAGS = {
  'softmax': _TRAINED,
  'svr': (
    '--config=configs/cnn_svr.py',
    *_SMALL,
    '--config.train.monitor=loss',
    '--config.train.steps_per_epoch=40',
    '--config.stages.softmax.epochs=3',
    '--config.stages.softmax.learning_rate=0.003',
    '--config.stages.svr.epochs=1',
  ),
  'unfinished': _STOPPED,
  'bagging': (*_TRAINED, '--config.ensemble.method=bagging', '--config.ensemble.members=2'),
}
_LEFT_OUT = ('figures', 'cache', 'log.txt', '.lock', '.lock.owner')
_REPORT = b'<!doctype html><title>left out</title>\n'


def in_todays_words(flags: tuple[str, ...]) -> tuple[str, ...]:
  """The same flags with the current names of the config keys and values."""
  return _translated(flags, RENAMED, RENAMED_VALUES)


def in_old_words(flags: tuple[str, ...]) -> tuple[str, ...]:
  """The inverse of `in_todays_words`: flags of today as that commit knows them."""
  return _translated(
    flags,
    {new: old for old, new in RENAMED.items()},
    {new: old for old, new in RENAMED_VALUES.items()},
  )


def _translated(flags: tuple[str, ...], keys: dict[str, str], values: dict[str, str]) -> tuple[str, ...]:
  result = []
  for flag in flags:
    key, _, value = flag.removeprefix('--config.').partition('=')
    flag = f'--config.{keys[key]}={value}' if key in keys else flag
    result.append(values.get(flag, flag))
  return tuple(result)


def begin(checkout: pathlib.Path, *arguments: object) -> subprocess.Popen[str]:
  """Starts main.py of a checkout."""
  environment = {**os.environ, 'PYTHONPATH': str(checkout), 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  return subprocess.Popen(
    [sys.executable, 'main.py', *map(str, arguments)],
    cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
  )  # fmt: skip


def run(checkout: pathlib.Path, *arguments: object) -> str:
  """Runs main.py of a checkout, which must succeed; returns what it printed."""
  process = begin(checkout, *arguments)
  out, _ = process.communicate(timeout=600)
  if process.returncode:
    raise RuntimeError(f'{" ".join(map(str, arguments))}: exit code {process.returncode}: {out}')
  return out


def stop(checkout: pathlib.Path, number: int, checkpoints: pathlib.Path, *arguments: object) -> str:
  """Sends main.py SIGTERM once there is a checkpoint of this number or higher; returns what it printed."""
  process = begin(checkout, *arguments)
  while process.poll() is None and not any(
    int(path.name) >= number for path in checkpoints.glob('*') if path.name.isdecimal()
  ):
    time.sleep(0.0005)
  process.send_signal(signal.SIGTERM)
  out, _ = process.communicate(timeout=600)
  if process.returncode != 75:
    raise RuntimeError(f'not stopped in time: exit code {process.returncode}: {out}')
  return out


def draw(folder: pathlib.Path) -> None:
  """Writes three images: a dark disc on a noisy background."""
  import numpy as np
  from PIL import Image

  folder.mkdir(parents=True)
  generator = np.random.default_rng(0)
  y_HW, x_HW = np.mgrid[:40, :40]
  for i, colour in enumerate(((230, 160, 150), (200, 190, 230), (240, 220, 150))):
    image_HWC = generator.integers(-20, 20, (40, 40, 3)) + np.array(colour)
    image_HWC[(y_HW - 20) ** 2 + (x_HW - 16 - 4 * i) ** 2 < (6 + 3 * i) ** 2] = (90, 30 * i, 140)
    Image.fromarray(image_HWC.clip(0, 255).astype(np.uint8)).save(folder / f'{i}.png')


def make(checkout: pathlib.Path, to: pathlib.Path) -> None:
  """Makes the runs and what is expected of them."""
  draw(to / 'images')
  for name in ('softmax', 'svr', 'bagging'):
    run(checkout, *FLAGS[name], f'--workdir={to / name}')
    with _copied(to / name) as copy:
      run(checkout, 'predict', to / 'images', f'--workdir={copy}')
      _keep(copy / 'predict/images', 'predictions.csv', to / 'expected' / name)
  # At step 105 or soon after: each epoch of 40 steps saves eight checkpoints by steps and one at its end.
  stop(checkout, 23, to / 'unfinished/checkpoints', *FLAGS['unfinished'], f'--workdir={to / "unfinished"}')
  with _copied(to / 'unfinished') as copy:
    print(run(checkout, *FLAGS['unfinished'], f'--workdir={copy}'))
    for name in ('history.jsonl', 'predictions/test.csv'):
      _keep(copy, name, to / 'expected/unfinished')


@contextlib.contextmanager
def _copied(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  with tempfile.TemporaryDirectory() as other:
    yield pathlib.Path(shutil.copytree(folder, pathlib.Path(other, folder.name)))


def _keep(folder: pathlib.Path, name: str, to: pathlib.Path) -> None:
  (to / name).parent.mkdir(parents=True, exist_ok=True)
  shutil.copy(folder / name, to / name)


def needed(checkpoints: pathlib.Path) -> set[str]:
  """The names of the newest and the best checkpoint, which is all that a run needs to continue."""
  badness = {
    path.name: json.loads((path / 'metrics/metrics').read_text())['badness']
    for path in checkpoints.glob('*/')
    if (path / 'metrics/metrics').exists()
  }
  newest = max((path.name for path in checkpoints.glob('*/')), key=int)
  return {newest, min(badness, key=lambda number: (badness[number], -int(number)))}


def pack(folder: pathlib.Path, archive: pathlib.Path) -> None:
  """Writes the archive, without what commands do not need and without empty folders."""
  for checkpoints in folder.rglob('checkpoints'):
    for path in checkpoints.glob('*/'):
      if path.name not in needed(checkpoints):
        shutil.rmtree(path)
  with zipfile.ZipFile(archive, 'w') as file:
    for path in sorted(path for path in folder.rglob('*') if path.is_file()):
      name = path.relative_to(folder)
      if {*_LEFT_OUT} & {*name.parts} or 'tfevents' in path.name:
        continue
      data = _REPORT if path.name == 'report.html' else path.read_bytes()
      if path.name == 'environment.json':
        data = json.dumps({**json.loads(data), 'platform': 'Linux'}, indent=2).encode()
      entry = zipfile.ZipInfo(name.as_posix(), (1980, 1, 1, 0, 0, 0))
      file.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)


def main() -> None:
  checkout = pathlib.Path(sys.argv[1]).absolute()
  with tempfile.TemporaryDirectory() as folder:
    make(checkout, pathlib.Path(folder))
    pack(pathlib.Path(folder), ARCHIVE)
  print(f'{ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes')


if __name__ == '__main__':
  main()
