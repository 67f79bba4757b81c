"""An ensemble of three that is trained in seconds, and what its folder says."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np

from bloodcell_jax import commands
from bloodcell_jax.commands import train
from bloodcell_jax.config import experiment
from bloodcell_jax.storage import ensemble_file, predictions_csv, workdir
from bloodcell_jax.train import signals
from configs import default

NUM = 3
CHANGES = {
  'data.embedded.num_train': 8, 'data.embedded.num_test': 3, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.pipeline': 'numpy',
  'data.cache': 'memory', 'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'train.batch_size': 8,
  'train.epochs': 1, 'train.steps_per_epoch': 4, 'train.num_devices': 1, 'ensemble.method': 'average',
  'ensemble.members': NUM, 'evaluate.splits': ('test',), 'evaluate.num_resamples': 100,
}  # fmt: skip


def config(**changes):
  flat = {**experiment.flat(default.get_config()), **CHANGES, **changes}
  return experiment.nest(flat)


def run(folder: pathlib.Path, **changes) -> workdir.Workdir:
  train.run(commands.Request(config(**changes), 'test', str(folder), ()), signals.Stop())
  return workdir.Workdir(folder)


def member(folder: workdir.Workdir, k: int) -> workdir.Workdir:
  return workdir.Workdir(ensemble_file.member(folder, k))


def stacked(folder: workdir.Workdir, split: str, members=range(1, NUM + 1)) -> np.ndarray:
  return np.stack([predictions_csv.read(member(folder, k).predictions(split)).probs_NK for k in members])


def probs(folder: workdir.Workdir, split: str) -> np.ndarray:
  return predictions_csv.read(folder.predictions(split)).probs_NK


def told(folder: workdir.Workdir):
  return json.loads(folder.ensemble.read_text())


def copied(folder: workdir.Workdir, to: pathlib.Path) -> pathlib.Path:
  shutil.copytree(folder.path, to)
  return to
