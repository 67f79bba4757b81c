"""Integrated gradients: the difference of a logit from a baseline, divided among the pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Integrated:
  """What each input value contributes, and how exact the sum is."""

  part_HWC: np.ndarray  # in units of the score
  difference: float  # of the score, image less baseline
  total: float  # sum of the parts: `difference`, but for the error of the integral
  num_points: int  # of the integral

  @property
  def gap(self) -> float:
    """|total - difference|, as a share of |difference|."""
    return abs(self.total - self.difference) / max(abs(self.difference), 1e-12)


def integrate(
  slope: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
  image_HWC: np.ndarray,
  baseline_HWC: np.ndarray,
  batch: int,
  tolerance: float,
  most: int,
) -> Integrated:
  """The integral of the gradients along the straight line from the baseline to the image, times their difference.

  Trapezoids between points. Over each step the score's own difference tells the error of its trapezoid, so that points
  are added in the middle of the worst steps, `batch` at a time, until the parts add up to the difference of the
  score within `tolerance` or there are `most` points: a network changes fast near the baseline, and evenly spread
  points would need several times as many.

  Args:
    slope: scores [N] and their gradients [N, H, W, C], of images [N, H, W, C] as the network takes them.
    image_HWC: the image as the network takes it.
    baseline_HWC: what stands for no evidence, as the network takes it.
    batch: points at first and at each turn, 2 or more.
    tolerance: of the gap, a share.
    most: points at the most.

  Source: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks", equations 1 and 3;
    completeness is proposition 1.
  """
  away_HWC = (image_HWC - baseline_HWC).astype(np.float32)
  at_N, score_N, along_N = (np.zeros(0) for _ in range(3))
  gradient_NHWC = np.zeros((0, *image_HWC.shape), np.float32)
  new = np.linspace(0, 1, batch)
  while True:
    points_NHWC = baseline_HWC + new.astype(np.float32).reshape(-1, 1, 1, 1) * away_HWC[None]
    scores, gradients = slope(points_NHWC)
    at_N = np.concatenate([at_N, new])
    order = at_N.argsort()
    at_N = at_N[order]
    score_N = np.concatenate([score_N, scores.astype(np.float64)])[order]
    # Along the line: the derivative of the score by the place on it.
    along = np.einsum('nhwc,hwc->n', gradients.astype(np.float64), away_HWC)
    along_N = np.concatenate([along_N, along])[order]
    gradient_NHWC = np.concatenate([gradient_NHWC, gradients])[order]
    step = np.diff(at_N)
    error = step * (along_N[1:] + along_N[:-1]) / 2 - np.diff(score_N)
    difference = float(score_N[-1] - score_N[0])
    if abs(error.sum()) <= tolerance * abs(difference) or len(at_N) + batch > most:
      break
    worst = np.sort(np.abs(error).argsort()[-batch:])
    new = (at_N[worst] + at_N[worst + 1]) / 2
  # Each point stands for half of the step on either side.
  weight_N = (np.concatenate([step, [0]]) + np.concatenate([[0], step])) / 2
  mean_HWC = np.einsum('n,nhwc->hwc', weight_N, gradient_NHWC)
  part_HWC = mean_HWC * away_HWC
  return Integrated(part_HWC, difference, float(part_HWC.sum()), len(at_N))
