"""A run or ensemble trained within the process of the test in seconds, and what its folder says."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np

from bloodcell_jax import commands
from bloodcell_jax.commands import train
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.inference import classifier
from bloodcell_jax.storage import ensemble_file, predictions_csv, workdir
from bloodcell_jax.train import signals
from configs import default

SMALL = {
  'data.embedded.num_train': 8, 'data.embedded.num_test': 3, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.pipeline': 'numpy',
  'data.cache': 'memory', 'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'train.batch_size': 8,
  'train.steps_per_epoch': 6, 'train.num_devices': 1, 'ensemble.members': 2, 'ensemble.folds': 2,
  'evaluate.splits': ('test',), 'evaluate.num_resamples': 100,
}  # fmt: skip


def config(loss: str = 'cross_entropy', **changes: Any) -> Any:
  stage = default.stage(('.*',), 1, 'rmsprop', 0.001)
  # A fitted output layer, so that a few updates are enough for outputs that tell classes apart.
  stage.loss, stage.output_layer = loss, 'svr' if loss == 'svr' else ''
  own = {f'stages.only.{key}': value for key, value in stage.items()}
  flat = {**experiment.flat(default.get_config()), **SMALL, 'stages.order': ('only',), **own, **changes}
  return experiment.nest(flat)


def run(folder: pathlib.Path, *given: str, **changes: Any) -> workdir.Workdir:
  train.run(commands.Request(config(*given, **changes), 'test', str(folder), ()), signals.Stop())
  return workdir.Workdir(folder)


def load(folder: workdir.Workdir) -> classifier.Classifier:
  return classifier.load(folder, signals.Stop())


def probs(folder: workdir.Workdir, split: str) -> np.ndarray:
  return predictions_csv.read(folder.predictions(split)).probs_NK


def metrics(folder: workdir.Workdir) -> dict[str, Any]:
  return json.loads(folder.metrics.read_text())


def saved(folder: workdir.Workdir) -> dict[str, Any]:
  return json.loads(folder.calibration.read_text())


def copied(folder: workdir.Workdir, to: pathlib.Path) -> workdir.Workdir:
  shutil.copytree(folder.path, to)
  return workdir.Workdir(to)


def member_of(folder: workdir.Workdir, k: int) -> workdir.Workdir:
  return workdir.Workdir(ensemble_file.member(folder, k))


def images_by_class(folder: workdir.Workdir, to: pathlib.Path) -> pathlib.Path:
  """The test images as a folder of classes."""
  table = reading.read_table(load(folder).job.experiment.data)[0]
  names = set(predictions_csv.read(folder.predictions('test')).file_N.tolist())
  for file, label, content in zip(table.file.tolist(), table.label, table.content, strict=True):
    if file in names:
      path = to / table.class_names[label] / file.replace('/', '_')
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(content)
  return to
