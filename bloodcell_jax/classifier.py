"""A finished run as something that classifies images: what `predict`, `explain` and `export` begin with."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy import special

from bloodcell_jax import job, opening, scoring, types, workdir
from bloodcell_jax.data import dataset
from bloodcell_jax.stats import doubt
from bloodcell_jax.train import progress, signals


@dataclasses.dataclass(frozen=True)
class Classifier:
  """The best network of a run with all that turns an image into probabilities."""

  made: job.Job  # without data; its network, its way from grey levels to the network's input
  params: Any  # of the best checkpoint
  rule: doubt.Doubt | None  # None where the run has not been evaluated
  note: str  # what must be said with every figure, such as that the network knows drawn cells only
  origin: dict[str, int]  # which checkpoint

  @property
  def class_names(self) -> tuple[str, ...]:
    """K names, in the order of the probabilities."""
    return self.made.data.table.class_names

  def probabilities(self, image_BHWC: np.ndarray) -> np.ndarray:
    """[B, K] float64, as the network gives them, before any temperature.

    One program is compiled for batches of the experiment's evaluation size; smaller ones are filled up.

    Args:
      image_BHWC: uint8 images as `data.decode` gives them: cropped, resized; at most the evaluation's batch size.
    """
    size, num = self.made.experiment.evaluate_batch_size, len(image_BHWC)
    if num > size:
      raise ValueError(f'{num} images; a batch has {size} at most')
    input_BHWC = self.made.standardize(image_BHWC)
    filled = np.concatenate([input_BHWC, np.zeros((size - num, *input_BHWC.shape[1:]), np.float32)])
    target_BK = np.zeros((size, len(self.class_names)), np.float32)
    batch = types.Batch(filled, target_BK, np.ones(size, np.float32), np.arange(size, dtype=np.int32))
    return special.softmax(np.asarray(self.made.apply(self.params, batch))[:num].astype(np.float64), axis=1)


def load(folder: workdir.Workdir, stop: signals.Stop) -> Classifier:
  """The classifier that the run in `folder` has become; no image is read.

  Raises:
    UserError: there is no run, or none with a finished epoch.
  """
  exp = opening.of(folder, None)
  environment = folder.read_environment()['data']
  data = dataset.empty(tuple(environment['class_names']))
  pixels = opening.kept_pixels(folder, exp)
  # Read and never fitted: there is nothing to fit them on.
  statistics = opening.statistics(folder, pixels, data, progress.Progress())
  made = job.Job(exp, data, pixels, statistics, stop)
  params, origin = opening.best(folder, made)
  rule = doubt.read(folder.calibration) if folder.calibration.exists() else None
  return Classifier(made, params, rule, scoring.note(environment['synthetic'], environment['leaks']), origin)
