"""Integrated gradients: the difference of a logit from that of a baseline, attributed to the pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Integrated:
  """The contribution of each input value, and the completeness of their sum."""

  part_HWC: np.ndarray  # in units of the score
  difference: float  # score of the image minus score of the baseline
  total: float  # sum of the parts: `difference` up to the error of the integral
  num_points: int  # at which the gradient was evaluated

  @property
  def gap(self) -> float:
    """|total - difference|, as a share of |difference|."""
    return abs(self.total - self.difference) / max(abs(self.difference), 1e-12)


def integrate(
  gradient: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
  image_HWC: np.ndarray,
  baseline_HWC: np.ndarray,
  batch: int,
  tolerance: float,
  max_points: int,
) -> Integrated:
  """The integral of the gradients along the straight line from the baseline to the image, times their difference.

  Adaptive trapezoidal rule. The difference of the score over a step gives the exact error of its trapezoid, so points
  are added in the middle of the worst steps, `batch` at a time, until the parts sum to the difference of the score
  within `tolerance` or `max_points` is reached. Scores change quickly near the baseline; evenly spaced points would
  have to be several times as many.

  Args:
    gradient: scores [N] and their gradients [N, H, W, C], of standardized images [N, H, W, C].
    image_HWC: the image, standardized.
    baseline_HWC: the image that stands for no evidence, standardized.
    batch: number of points at first and in each round, 2 or more.
    tolerance: largest accepted gap, as a share of the difference.
    max_points: largest number of points.

  Source: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks", equations 1 and 3;
    completeness is proposition 1.
  """
  direction_HWC = (image_HWC - baseline_HWC).astype(np.float32)
  at_N, score_N, along_N = (np.zeros(0) for _ in range(3))
  gradient_NHWC = np.zeros((0, *image_HWC.shape), np.float32)
  new = np.linspace(0, 1, batch)
  while True:
    points_NHWC = baseline_HWC + new.astype(np.float32).reshape(-1, 1, 1, 1) * direction_HWC[None]
    scores, gradients = gradient(points_NHWC)
    at_N = np.concatenate([at_N, new])
    order = at_N.argsort()
    at_N = at_N[order]
    score_N = np.concatenate([score_N, scores.astype(np.float64)])[order]
    # Derivative of the score along the line.
    along = np.einsum('nhwc,hwc->n', gradients.astype(np.float64), direction_HWC)
    along_N = np.concatenate([along_N, along])[order]
    gradient_NHWC = np.concatenate([gradient_NHWC, gradients])[order]
    step = np.diff(at_N)
    error = step * (along_N[1:] + along_N[:-1]) / 2 - np.diff(score_N)
    difference = float(score_N[-1] - score_N[0])
    if abs(error.sum()) <= tolerance * abs(difference) or len(at_N) + batch > max_points:
      break
    worst = np.sort(np.abs(error).argsort()[-batch:])
    new = (at_N[worst] + at_N[worst + 1]) / 2
  # The weight of a point is half of the steps on either side.
  weight_N = (np.concatenate([step, [0]]) + np.concatenate([[0], step])) / 2
  mean_HWC = np.einsum('n,nhwc->hwc', weight_N, gradient_NHWC)
  part_HWC = mean_HWC * direction_HWC
  return Integrated(part_HWC, difference, float(part_HWC.sum()), len(at_N))
