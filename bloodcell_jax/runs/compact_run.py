"""A run without checkpoints: its best network lies in `model.safetensors`, as trained, and its calibration is kept.

Such a folder takes a few megabytes. Every command that uses a trained run reads it; it cannot be trained further.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.weights import own


@dataclasses.dataclass(frozen=True)
class CompactRun:
  """What a checkpoint would hold for predictions."""

  params: Any
  pixels: standardize.Spec
  origin: dict[str, int]  # as of `saved_run.best`


def is_here(folder: workdir.Workdir) -> bool:
  """Whether the folder holds such a run."""
  return not folder.checkpoints.is_dir() and (folder.path / own.FILE).is_file() and folder.config.is_file()


def write_weights(folder: workdir.Workdir, params: Any, pixels: standardize.Spec, class_names: tuple) -> None:
  """Writes the network's weights, as trained; the other files of the run are the caller's to copy."""
  arrays = {name: np.asarray(leaf, np.float32) for name, leaf in tree.names(params).items()}
  own.write(folder.path / own.FILE, arrays, own.About(dataclasses.asdict(pixels), class_names))


def read(folder: workdir.Workdir) -> CompactRun:
  """The network of the folder. `model_set.read_rule` checks that its weights belong to its calibration.

  Raises:
    UserError: the weights or the calibration are missing, damaged or of another kind.
  """
  path = folder.path / own.FILE
  file = own.read(path)
  _, known = calibration_file.read(folder)
  if file is None or known is None:
    raise types.UserError(f'{path}: not written for a run without checkpoints')
  arrays, about = file
  try:
    pixels = standardize.Spec(**about.pixels)
  except TypeError:
    raise types.UserError(f'{path}: does not say how its pixels become the input') from None
  return CompactRun(tree.nest(arrays), pixels, dict(known.checkpoint))
