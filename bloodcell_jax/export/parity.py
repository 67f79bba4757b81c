"""Whether an exported program says what the project's own network says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.export import samples
from bloodcell_jax.inference import classifier
from bloodcell_jax.stats import calibration

# The greatest difference of a probability that is let pass.
LIMIT = 1e-4
MOST_IMAGES = 200


@dataclasses.dataclass(frozen=True)
class Parity:
  """How far two programs agree on the same images."""

  split: str  # whose images these are
  num_groups: int  # of photographs
  num_images: int
  max_difference: float  # of a probability
  top1_agreement: float  # share of images whose likeliest class is the same

  def line(self) -> str:
    """One line for people."""
    return (
      f'max difference {self.max_difference:.1e}, top-1 agreement {self.top1_agreement:.1%} '
      f'({self.num_images} images of {self.num_groups} groups, {self.split})'
    )


def reference(loaded: classifier.Classifier, image_NHWC: np.ndarray) -> np.ndarray:
  """[N, K] float64 of the project's own path, calibrated where the run has a temperature."""
  size, num = loaded.made.experiment.evaluate_batch_size, len(image_NHWC)
  with jax.default_matmul_precision('highest'):
    parts = [loaded.probabilities(image_NHWC[i : i + size]) for i in range(0, num, size)]
  none = np.zeros(num, np.int32)
  found = types.Predictions(
    np.concatenate(parts), none, none.astype(str), none.astype(str), loaded.class_names
  )
  return calibration.scaled(found, loaded.rule.temperature).probs_NK if loaded.rule else found.probs_NK


def check(
  name: str,
  run: Callable[[np.ndarray], np.ndarray],
  images: samples.Samples,
  reference_NK: np.ndarray,
  batch_size: int,
) -> Parity:
  """How far a program agrees with the reference; it is given batches of two sizes at least, where it can be.

  Raises:
    RunError: a probability differs by more than LIMIT, or is no number.
  """
  num = len(images.image_NHWC)
  # The first image alone, the others in batches: N is free.
  starts = [0, *range(1, num, batch_size), num]
  parts = [run(images.image_NHWC[a:b]) for a, b in zip(starts[:-1], starts[1:], strict=True) if b > a]
  probs_NK = np.concatenate(parts)
  if probs_NK.shape != reference_NK.shape or probs_NK.dtype != np.float32:
    raise types.RunError(
      f'{name}: gives {probs_NK.dtype} {probs_NK.shape} and not float32 {reference_NK.shape}; nothing was written'
    )
  difference_N = np.abs(probs_NK - reference_NK).max(1)
  worst = int(np.argmax(np.nan_to_num(difference_N, nan=np.inf)))
  # Not `>`, which a probability that is no number would pass.
  if not difference_N[worst] <= LIMIT:
    raise types.RunError(
      f"{name}: differs from the run's own network by {difference_N[worst]:.2g} on {images.table.file[worst]}; "
      f'{LIMIT:g} is let pass. Nothing was written'
    )
  return Parity(
    split=images.split,
    num_groups=len(np.unique(images.table.group)),
    num_images=num,
    max_difference=float(difference_N[worst]),
    top1_agreement=float((probs_NK.argmax(1) == reference_NK.argmax(1)).mean()),
  )
