"""The config of the run that another run is adapted to."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import pipelines, run_format
from bloodcell_jax.config import experiment, pixels
from bloodcell_jax.data import stream
from bloodcell_jax.models import backbone

# The stage of the adapted run, whose one epoch is the fit of the output layer, or the training of the convolutions.
STAGE = 'adapt'
# The training of the convolutions. Predictions come from the moving average of the weights, so that the last updates,
# whose learning rate is still large, do not decide.
BATCH_SIZE = 64
LEARNING_RATE, DECAY = 1e-4, 5e-3  # of Adam; at update t the rate is LEARNING_RATE / (1 + DECAY * t)
EMA_MOMENTUM = 0.98
CHECKPOINT_EVERY = 50.0  # updates
# Of a run with none of _WIDE, whose augmentation keeps shape and colour: a moderate one.
_WIDE = (
  'rotation_range',
  'zoom_range',
  'shear_range',
  'crop_range',
  'brightness_range',
  'hue_range',
  'saturation_range',
  'stain_range',
)
AUGMENTATION = {
  'quarter_turns': True,
  'mirrors': True,
  'rotation_range': 45.0,
  'zoom_range': [0.88, 1.13],
  'width_shift_range': 0.05,
  'height_shift_range': 0.05,
  'fill_mode': 'reflect',
  'brightness_range': [0.85, 1.0],
  'saturation_range': [0.9, 1.1],
  'stain_range': 0.1,
}


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


def with_convolutions(config: Mapping[str, Any], network: backbone.Network, updates: int) -> dict[str, Any]:
  """The flat config of `derive`, for a run in which all is trained but the first convolution, or block of them.

  It is trained in one epoch: validation, which is of the old laboratory alone, has no say in when to end.

  Args:
    config: that of `derive`.
    network: of the run.
    updates: of the training.
  """
  own = {} if any(config[f'augment.{key}'] for key in _WIDE) else AUGMENTATION
  # The other pipelines do not know all of it.
  pipeline = pipelines.TF_DATA if own or config[pipelines.KEY] == pipelines.NUMPY else config[pipelines.KEY]
  stage = {
    'trainable': [f'(?!{network.first_convolution}).*'],
    'optimizer': 'adam',
    'learning_rate': LEARNING_RATE,
    'decay': DECAY,
  }
  return {
    **config,
    **{f'augment.{key}': value for key, value in own.items()},
    pipelines.KEY: pipeline,
    **{f'stages.{STAGE}.{key}': value for key, value in stage.items()},
    'stages.cache_features': False,
    'train.batch_size': BATCH_SIZE,
    'train.steps_per_epoch': updates,
    'train.checkpoint_every': CHECKPOINT_EVERY,
    'train.checkpoint_unit': 'steps',
    # Each laboratory half of the images, in it each class the same share.
    'train.draw': stream.LABORATORIES,
    'train.class_weight': 'none',
    'train.max_copies': 0,
    'train.max_groups': 0,
    'train.ema_momentum': EMA_MOMENTUM,
  }
