"""The runs that are killed: real ones through main.py, so small that a start costs more than the training."""

from __future__ import annotations

_SMALL = (
  '--config.data.embedded.num_train=8',
  '--config.data.embedded.num_test=4',
  '--config.data.embedded.num_copies=2',
  '--config.data.embedded.height=60',
  '--config.data.embedded.width=80',
  '--config.train.batch_size=4',
  '--config.train.num_devices=1',
  '--config.train.steps_per_epoch=7',
  '--config.train.checkpoint_every=2.',
  '--config.train.checkpoint_unit=steps',
  '--config.evaluate.num_resamples=100',
)
# Augmentation, statistics of the training images, dropout.
CNN = (
  '--config=configs/default.py',
  *_SMALL,
  '--config.data.image_size=48',
  '--config.train.epochs=3',
  '--config.augment.rotation_range=20.',
  '--config.augment.width_shift_range=0.2',
  '--config.augment.quarter_turns=True',
  '--config.augment.featurewise_center=True',
)
# Two stages, each from kept features of what it leaves frozen; fresh weights.
STAGED = (
  '--config=configs/finetune.py:sgd',
  *_SMALL,
  '--config.data.source=embedded',
  '--config.data.image_size=36',
  '--config.data.validation_fraction=0.5',
  '--config.weights.path=',
  '--config.augment.preprocessing_function=',
  f'--config.augment.rescale={1 / 255}',
  '--config.stages.head.epochs=2',
  '--config.stages.block5.epochs=2',
)
# Two networks, each in a folder of its own, on resamples of the photographs.
ENSEMBLE = (
  '--config=configs/default.py',
  *_SMALL,
  '--config.data.image_size=48',
  '--config.data.pipeline=numpy',
  '--config.train.epochs=2',
  '--config.ensemble.method=bagging',
  '--config.ensemble.members=2',
)


def known() -> dict[str, tuple[str, ...]]:
  """The flags of each case by its name."""
  return {'cnn': CNN, 'staged': STAGED, 'ensemble': ENSEMBLE}
