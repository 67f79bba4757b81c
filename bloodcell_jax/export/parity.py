"""Compares the probabilities of an exported program with those of the run's own network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.export import samples
from bloodcell_jax.inference import classifier
from bloodcell_jax.stats import calibration

# The largest difference of a probability that is accepted.
LIMIT = 1e-4
MAX_IMAGES = 200


@dataclasses.dataclass(frozen=True)
class Parity:
  """Agreement of two programs on the same images."""

  split: str  # of the images
  num_groups: int
  num_images: int
  max_difference: float  # of a probability
  top1_agreement: float  # share of images with the same predicted class

  def line(self) -> str:
    """A line for the terminal."""
    return (
      f'max difference {self.max_difference:.1e}, top-1 agreement {self.top1_agreement:.1%} '
      f'({self.num_images} images of {self.num_groups} groups, {self.split})'
    )


def reference(loaded: classifier.Classifier, image_NHWC: np.ndarray) -> np.ndarray:
  """Probabilities [N, K] float64 of the run's own network, calibrated if the run has a temperature."""
  size, num = loaded.job.experiment.evaluate_batch_size, len(image_NHWC)
  with jax.default_matmul_precision('highest'):
    parts = [loaded.probabilities(image_NHWC[i : i + size]) for i in range(0, num, size)]
  unused_N = np.zeros(num, np.int32)
  predictions = types.Predictions(
    np.concatenate(parts), unused_N, unused_N.astype(str), unused_N.astype(str), loaded.class_names
  )
  if loaded.rule is None:
    return predictions.probs_NK
  return calibration.scaled(predictions, loaded.rule.temperature).probs_NK


def check(
  name: str,
  run: Callable[[np.ndarray], np.ndarray],
  images: samples.Samples,
  reference_NK: np.ndarray,
  batch_size: int,
) -> Parity:
  """Agreement of a program with the reference, on batches of at least two sizes if there are enough images.

  Raises:
    RunError: a probability differs by more than LIMIT or is not a number, or the output has another shape or type.
  """
  num = len(images.image_NHWC)
  # The first image alone, the others in batches, because N must be free.
  starts = [0, *range(1, num, batch_size), num]
  parts = [run(images.image_NHWC[a:b]) for a, b in zip(starts[:-1], starts[1:], strict=True) if b > a]
  probs_NK = np.concatenate(parts)
  if probs_NK.shape != reference_NK.shape or probs_NK.dtype != np.float32:
    raise types.RunError(
      f'{name}: returns {probs_NK.dtype} {probs_NK.shape} instead of float32 {reference_NK.shape}; nothing was written'
    )
  difference_N = np.abs(probs_NK - reference_NK).max(1)
  worst = int(np.argmax(np.nan_to_num(difference_N, nan=np.inf)))
  # Not `>`, which NaN would pass.
  if not difference_N[worst] <= LIMIT:
    raise types.RunError(
      f"{name}: differs from the run's own network by {difference_N[worst]:.2g} on {images.table.file[worst]}; "
      f'at most {LIMIT:g} is accepted. Nothing was written'
    )
  return Parity(
    split=images.split,
    num_groups=len(np.unique(images.table.group)),
    num_images=num,
    max_difference=float(difference_N[worst]),
    top1_agreement=float((probs_NK.argmax(1) == reference_NK.argmax(1)).mean()),
  )
