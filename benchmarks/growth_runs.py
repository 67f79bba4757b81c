"""Whole runs and evaluations of a given size: images, classes, members of an ensemble."""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import large_data, machine

SIDE = 48  # of the images of runs, pixels: the least that CNN A takes is 46
IMAGES_A_CLASS = 4  # of the runs by classes
AVERAGED = 10_000  # images whose probabilities are averaged
CLASSES_AVERAGED = 4
_TINY = (
  f'--config.data.image_size={SIDE}', '--config.train.steps_per_epoch=5', '--config.train.epochs=1',
  '--config.train.batch_size=20',
)  # fmt: skip


def by_images(folder: pathlib.Path, num: int) -> large_data.Cost:
  """CNN A, 200 updates, on a data set of `num` training images that are decoded whenever they are read."""
  place = folder / 'images' / str(num)
  if not (place / 'dataset_info.json').exists():
    large_data.write(place, num)
  return large_data.train(place, 'none')


def by_classes(folder: pathlib.Path, num: int) -> large_data.Cost:
  """CNN A, five updates, on `num` classes of IMAGES_A_CLASS images: the whole command with evaluation and report."""
  place = folder / 'classes' / str(num)
  for k in range(num):
    (place / f'class {k:06d}').mkdir(parents=True, exist_ok=True)
    for i in range(IMAGES_A_CLASS):
      path = place / f'class {k:06d}' / f'{k}-{i}.png'
      if not path.exists():
        pixels = np.random.default_rng((k, i)).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(path)
  return _train(
    'configs/cnn_a.py', '--config.data.source=folders', f'--config.data.dir={place}',
    f'--config.data.validation_fraction={1 / IMAGES_A_CLASS}', *_TINY,
  )  # fmt: skip


def by_members(folder: pathlib.Path, num: int) -> large_data.Cost:
  """`num` networks trained one after the other on a few synthetic smears, averaged and evaluated: the whole command."""
  return _train(
    'configs/default.py', '--config.ensemble.method=average', f'--config.ensemble.members={num}',
    '--config.data.embedded.num_train=10', '--config.data.embedded.num_test=5', '--config.data.validation_fraction=0.5',
    *_TINY,
  )  # fmt: skip


def scored(num_classes: int, num_images: int) -> Callable[[int], dict[str, Any]]:
  """A function that evaluates predictions so often, and returns the milliseconds of each part of the evaluation.

  Args:
    num_classes: of the predictions.
    num_images: of them, each a group of its own.
  """
  from bloodcell_jax.base import types
  from bloodcell_jax.plots import confusion, figure
  from bloodcell_jax.reports import split_section
  from bloodcell_jax.stats import bootstrap, calibration, intervals
  from bloodcell_jax.storage import groups_csv, predictions_csv, workdir

  generator = np.random.default_rng(0)
  label_N = (np.arange(num_images) % num_classes).astype(np.int32)
  probs_NK = generator.dirichlet(np.ones(num_classes), num_images) / 2
  probs_NK[np.arange(num_images), label_N] += 0.5 * generator.random(num_images)
  probs_NK /= probs_NK.sum(1, keepdims=True)
  file_N = np.array([f'{i}.png' for i in range(num_images)])
  names = tuple(f'class {k:06d}' for k in range(num_classes))
  predictions = types.Predictions(probs_NK, label_N, file_N, file_N, names)
  spec = intervals.Spec(2000, 0.95, 'bca', ())
  rule = calibration.fit(
    predictions, calibration.Spec(0.05, 0.1, 'lac'), np.zeros(len(predictions), np.int32)
  )

  def once(folder: workdir.Workdir) -> dict[str, float]:
    moments = [time.perf_counter()]
    entry = bootstrap.summary(predictions, spec, 0)
    entry['doubt'] = calibration.summary(rule, predictions, spec, 0, None)
    moments.append(time.perf_counter())
    picture = confusion.plot(np.array(entry['confusion']), names, 'test')
    figure.write(folder.figures / 'confusion_test.png', picture, '')
    moments.append(time.perf_counter())
    predictions_csv.write(folder.predictions('test'), predictions, None)
    groups_csv.write(folder.groups('test'), groups_csv.table(predictions))
    moments.append(time.perf_counter())
    split_section.section(folder, 'test', entry, False, {})
    moments.append(time.perf_counter())
    seconds = np.diff(moments)
    parts = dict(zip(('figures', 'matrix', 'tables', 'page'), (1e3 * seconds).tolist(), strict=True))
    return {'ms': float(1e3 * seconds.sum()), **parts}

  def run(times: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
      every = [once(workdir.Workdir(folder)) for _ in range(times)]
    return {
      **{name: [each[name] for each in every] for name in every[0]},
      'resident_mb': machine.own_peak_mb(),
    }

  return run


def averaged(num_members: int) -> Callable[[int], dict[str, Any]]:
  """A function that averages the probabilities of `num_members` networks for AVERAGED images so often."""
  from bloodcell_jax.ensembles import combination

  generator = np.random.default_rng(0)
  probs_MNK = generator.dirichlet(np.ones(CLASSES_AVERAGED), (num_members, AVERAGED)).astype(np.float32)
  rule = combination.mean(num_members)

  def run(times: int) -> dict[str, Any]:
    milliseconds = []
    for _ in range(times):
      began = time.perf_counter()
      combination.apply(rule, probs_MNK, np)
      milliseconds.append(1e3 * (time.perf_counter() - began))
    return {'ms': milliseconds, 'resident_mb': machine.own_peak_mb()}

  return run


def _train(config: str, *settings: str) -> large_data.Cost:
  """A training by the command line, in a process and a folder of its own."""
  with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, 'main.py', f'--config={config}', f'--workdir={folder}/run', *settings]
    return large_data.cost(command)
