"""The config of the run that another run is adapted to."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import run_format
from bloodcell_jax.config import experiment, pixels

# The stage of the adapted run, whose one epoch is the fit of the output layer.
STAGE = 'adapt'


def derive(
  saved: Mapping[str, Any],
  exp: experiment.Experiment,
  run: pathlib.Path,
  images: pathlib.Path | None,
  groups_csv: pathlib.Path | None,
  tta: str,
) -> dict[str, Any]:
  """The flat config of an ordinary run on copied images that begins with the weights of another.

  Args:
    saved: the flat config of that run.
    exp: its experiment.
    run: its folder.
    images: the folder of the copied images; None for a run that keeps none.
    groups_csv: the list of their groups; None as for images.
    tta: the test-time augmentation whose copies the embeddings are the mean over.
  """
  kept = {
    key: value for key, value in saved.items() if not (key.startswith('stages.') and key.count('.') > 1)
  }
  stage = {
    'trainable': [f'{exp.model.network.output_layer}/.*'],
    'epochs': 1,
    'optimizer': 'sgd',
    'learning_rate': 1e-3,
    'decay': 0.0,
    'momentum': 0.0,
    'learning_rate_multipliers': [],
    'early_stopping_patience': 0,
    'loss': 'cross_entropy',
    'output_layer': '',
    'auxiliary': 0,
    'is_candidate': True,
  }
  return {
    **kept,
    'seed': exp.seed,
    'data.source': 'folders',
    'data.dir': '' if images is None else str(images.absolute()),
    'data.groups_csv': '' if groups_csv is None else str(groups_csv.absolute()),
    'data.labels_csv': '',
    'data.test_fraction': 0.0,
    # That of the predictions that the calibration is fitted on.
    'evaluate.tta': tta,
    'augment.preprocessing_function': pixels.OF_WEIGHTS,
    'model.name': exp.model.name,
    'weights.path': str(run.absolute()),
    'weights.include_top': False,
    'weights.exclude': [],
    'stages.order': [STAGE],
    **{f'stages.{STAGE}.{key}': value for key, value in stage.items()},
    'train.monitor': 'val_loss',
    'train.ema_momentum': 0.0,
    'train.folds': 0,
    'train.fold': 0,
    'ensemble.method': '',
    'ensemble.member': 0,
    'ensemble.architectures': [],
    run_format.KEY: run_format.CURRENT,
  }
