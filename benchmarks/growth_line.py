"""Whether a cost grows in a straight line with the work, and from where on it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

# Deviations from the line up to this are called straight; measurements that vary more than half of it raise it.
TOLERANCE = 0.1
# Fewest points that can deviate from a line with an intercept.
LEAST = 3


@dataclasses.dataclass(frozen=True)
class Line:
  """A cost as intercept + slope x work, and where it leaves that line."""

  intercept: float  # cost without work
  slope: float  # cost of a unit of work
  num_fitted: int  # of the first points, through which the line goes
  deviation: float  # largest relative deviation of these from the line
  tolerance: float  # relative deviations up to it count as none
  exponent: float  # of the power law that is nearest in logarithms: 1 for proportional, 2 for quadratic
  knee: float | None  # the work of the first point beyond the line; None where there is none
  ratio: float  # cost over line at the point of most work

  def at(self, work: float) -> float:
    """The cost by the line."""
    return self.intercept + self.slope * work

  @property
  def is_straight(self) -> bool:
    """Whether all points lie on the line, within the tolerance."""
    return self.knee is None and self.deviation <= self.tolerance


def judge(work_S: Sequence[float], cost_S: Sequence[float], spread: float) -> Line:
  """The line through all points; where they do not lie on one, through the most of the first that do.

  The line has the least squares of relative deviations, so that small and large works count alike. A knee is the first
  point off the line of those before it, if all from there on are above it, or all below.

  Args:
    work_S: ascending, above 0; LEAST or more.
    cost_S: above 0, of each.
    spread: the largest relative deviation of repeated measurements of one point; 0 if there are none.

  Raises:
    ValueError: there are fewer points, or the works do not ascend.

  Example:
    >>> judge([1, 2, 3, 4], [12, 22, 32, 42], 0.0).is_straight
    True
    >>> judge([1, 2, 3, 4, 5], [12, 22, 32, 42, 104], 0.0).knee
    5
  """
  work, cost = np.asarray(work_S, float), np.asarray(cost_S, float)
  if len(work) < LEAST or not (np.diff(work) > 0).all():
    raise ValueError(f'works must ascend and be {LEAST} or more, not {list(work_S)}')
  tolerance = max(TOLERANCE, 2 * spread)
  exponent = float(np.polyfit(np.log(work), np.log(cost), 1)[0])
  whole = _fit(work, cost)
  for num in range(len(work), LEAST - 1, -1):
    intercept, slope = _fit(work[:num], cost[:num])
    ratio = cost / np.maximum(intercept + slope * work, 1e-12 * cost.max())
    deviation = float(np.abs(ratio[:num] - 1).max())
    beyond = ratio[num:] - 1
    same_side = (beyond > tolerance).all() or (beyond < -tolerance).all()
    if deviation <= tolerance and same_side:
      knee = None if num == len(work) else work_S[num]
      return Line(intercept, slope, num, deviation, tolerance, exponent, knee, float(ratio[-1]))
  ratio = cost / np.maximum(whole[0] + whole[1] * work, 1e-12 * cost.max())
  deviation = float(np.abs(ratio - 1).max())
  return Line(*whole, len(work), deviation, tolerance, exponent, None, float(ratio[-1]))


def sentence(line: Line, work_S: Sequence[float]) -> str:
  """The judgement in words.

  Example:
    >>> sentence(judge([10, 20, 30, 40], [11, 21, 31, 41], 0.0), [10, 20, 30, 40])
    'straight within 1 %; exponent 0.95'
  """
  end = f'; exponent {line.exponent:.2f}'
  if line.tolerance > TOLERANCE:
    end += f' (repeated measurements differ by up to {line.tolerance / 2:.0%})'.replace('%', ' %')
  within = f'{max(0.01, line.deviation):.0%}'.replace('%', ' %')
  if line.is_straight:
    return f'straight within {within}{end}'
  if line.knee is None:
    return f'no straight line: up to {within} off it{end}'
  last = work_S[line.num_fitted - 1]
  more = 'more' if line.ratio > 1 else 'less'
  return (
    f'straight within {within} to {last:,g}; from {line.knee:,g} on it costs {more} than the line: {line.ratio:.2g} '
    f'times at {work_S[-1]:,g}{end}'
  )


def _fit(work: np.ndarray, cost: np.ndarray) -> tuple[float, float]:
  """(intercept, slope) of the least squares of relative deviations; no cost falls with work, so the slope is >= 0."""
  columns = np.stack([1 / cost, work / cost], 1)
  intercept, slope = np.linalg.lstsq(columns, np.ones(len(cost)), rcond=None)[0]
  if slope < 0:
    return float((1 / cost).sum() / np.square(1 / cost).sum()), 0.0
  return float(intercept), float(slope)
