"""Keys of a flat config: which may change in a run, and on which its figures depend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import pipelines, run_format

# Keys that say where the images and the lists of a run are; what they hold is compared by its fingerprint.
PLACES = ('data.dir', 'data.groups_csv', 'data.labels_csv')
# Keys that may differ between a run and its continuation: they change how long it trains or how it is evaluated, but
# not the numbers of a given step. `data.pipeline` is one of them unless one of PIPELINE_DIFFERS is on, or it is
# `device` before or after; a run keeps what it has where `auto` is asked for. What is trained may bind others
# (`storage/continuation.py`).
FREE_KEYS = (
  'train.epochs',
  'train.checkpoint_every',
  'train.checkpoint_unit',
  *PLACES,
  'data.cache',
  pipelines.KEY,
  'ensemble.members',
  'ensemble.combine',
  'ensemble.vectorized',
  'ensemble.folds',
  'ensemble.patience',
)
# Sections of which every key may.
FREE_SECTIONS = ('evaluate.', 'trees.')
# What differs between NumPy and TensorFlow in the last bit, because they sum in different orders, and what only
# TensorFlow's pipeline offers. Everything else is the same in both.
PIPELINE_DIFFERS = (
  'augment.samplewise_center',
  'augment.samplewise_std_normalization',
  'augment.zca_whitening',
  'augment.mixup_alpha',
  'augment.cutmix_alpha',
)
# Keys of `evaluate` on which neither figures nor calibration of the run's own splits depend.
NOT_OF_FIGURES = ('evaluate.splits', 'evaluate.batch_size', 'evaluate.align_features')


def is_of_figures(key: str) -> bool:
  """Whether the figures and the calibration depend on this key of the flat config."""
  return key.startswith('evaluate.') and key not in NOT_OF_FIGURES


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
  """The keys whose values differ although they may not, sorted: (key, value of the run, value that is asked for).

  Args:
    old: the flat config of the run.
    new: the flat config of the command.
  """
  # Through JSON, which turns tuples into lists.
  new = json.loads(json.dumps(dict(new)))
  return [
    (key, old.get(key, 'not there'), new.get(key, 'not there'))
    for key in sorted({*old, *new})
    if old.get(key, 'not there') != new.get(key, 'not there') and not _is_free(key, old, new)
  ]


def _is_free(key: str, config: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
  """Whether the key may change in a run of this flat config to that of the new one."""
  if key == pipelines.KEY and pipelines.AUTO not in (config.get(key), new.get(key)):
    # What a device computes differs from the host in the last bit.
    is_on_device = pipelines.DEVICE in (config.get(key), new.get(key))
    if is_on_device or any(config.get(name) for name in PIPELINE_DIFFERS):
      return False
  # A run keeps the format that it started with.
  return key in (run_format.KEY, *FREE_KEYS) or key.startswith(FREE_SECTIONS)
