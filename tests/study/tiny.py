"""Tiny rows for tests: the smallest images that the network takes, few of them, few updates."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import study as study_config
from bloodcell_jax.stats import bootstrap, intervals
from bloodcell_jax.storage import predictions_csv
from bloodcell_jax.study import budget, run_folder
from bloodcell_jax.system import atomic
from bloodcell_jax.train import history
from configs import study

TINY = {
  'data.image_size': 48, 'train.batch_size': 8, 'train.steps_per_epoch': 4, 'train.epochs': 3,
  'train.num_devices': 1, 'train.checkpoint_every': 2.0, 'train.checkpoint_unit': 'steps',
}  # fmt: skip
ADAM = {**TINY, 'optimizer.name': 'adam'}
DEFAULT = 'configs/default.py'
NAMES = ('EOSINOPHIL', 'NEUTROPHIL')


def config(*rows: Any) -> Any:
  """The config of a study of these rows on a few small smears."""
  c = study.get_config()
  c.data.pipeline = 'numpy'
  c.data.embedded.num_train, c.data.embedded.num_test, c.data.embedded.num_copies = 10, 5, 1
  c.data.embedded.height, c.data.embedded.width = 60, 80
  c.evaluate.num_resamples = 100
  c.rows = rows or (
    study.row('Networks', 'a', 'CNN A', DEFAULT, TINY, accuracy=0.91, images='not stated', meaning='Of a.'),
    study.row('Networks', 'a-adam', 'CNN A, Adam', DEFAULT, ADAM, reference='a', meaning='Of Adam.'),
    study.row('Trees', 'forest', 'forest on A', trees='random_forest', features_of='a', reference='a'),
  )
  return c


def rows(*wanted: Any) -> tuple[study_config.Row, ...]:
  """The rows, resolved."""
  return study_config.resolve(config(*wanted))


def record(epoch: int, **changes: Any) -> history.Record:
  """An epoch of four updates."""
  known = history.Record(
    epoch=epoch, step=4 * epoch, stage='train', loss=1.0, accuracy=0.5 + epoch / 10, val_loss=1.0 / epoch,
    val_accuracy=0.4 + epoch / 20, learning_rate=1e-3, seconds=2.0, images_per_second=16.0, wait_share=0.0,
  )  # fmt: skip
  return dataclasses.replace(known, **changes)


def predictions(right: int, num: int = 40) -> types.Predictions:
  """Of images of 20 groups, the first `right` of them correct."""
  label_N = (np.arange(num) // 2 % 2).astype(np.int32)
  guess_N = np.where(np.arange(num) < right, label_N, 1 - label_N)
  file_N = np.array([f'{i}.png' for i in range(num)])
  return types.Predictions(
    0.8 * np.eye(2)[guess_N] + 0.1, label_N, np.array([f'g{i // 2}' for i in range(num)]), file_N, NAMES
  )


def begin(run: run_folder.StudyRun, epochs: int, length: budget.Length | None = None) -> None:
  """A run that stands after some epochs, as its folder shows it."""
  length = length or budget.read_length(run.row.flat)
  atomic.write_json(
    run.folder.config, budget.with_length({**run.row.flat, 'seed': run.seed, 'format': 2}, length)
  )
  history.write(run.folder.history, [record(epoch) for epoch in range(1, epochs + 1)])


def complete(run: run_folder.StudyRun, right: Mapping[str, int], note: str = '') -> None:
  """A run that is done, with so many correct predictions on each split."""
  begin(run, 3)
  spec = intervals.Spec(100, 0.95, 'bca', ())
  entries = {}
  for split, number in right.items():
    answers = predictions(number)
    predictions_csv.write(run.folder.predictions(split), answers, None)
    source = {'checkpoint': {'best_epoch': 3, 'epochs': 3}, 'evaluation': {}}
    entries[split] = {**bootstrap.summary(answers, spec, 0), 'note': note, 'leak': {}, **source}
  counts = {split: {name: [20, 10] for name in NAMES} for split in ('train', *right)}
  about = {'name': 'small', 'synthetic': bool(note), 'class_names': list(NAMES), 'counts': counts}
  network = {'name': 'cnn_a', 'num_parameters': 111_012, 'image_size': 48, 'weights': '', 'stages': []}
  atomic.write_json(run.folder.environment, {'data': about, 'network': network})
  atomic.write_json(run.folder.metrics, entries)
  atomic.write_text(run.folder.report, 'report')


def run_of(row: study_config.Row, root: pathlib.Path, seed: int = 0) -> run_folder.StudyRun:
  """The run of a row."""
  return run_folder.StudyRun(row, seed, root)
