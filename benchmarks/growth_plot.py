"""The curves of `benchmarks.growth`: a panel for each series and quantity, with its line and its knee."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import axes, ticker
from matplotlib import figure as mpl_figure

from benchmarks import growth_line
from bloodcell_jax.plots import figure

_COLUMNS = 3
# With works further apart than this factor both axes are logarithmic.
_WIDE = 25
Panel = tuple[str, str, str, Sequence[float], Sequence[float], growth_line.Line]


@figure.styled
def plot(panels: Sequence[Panel]) -> mpl_figure.Figure:
  """The figure.

  Args:
    panels: (title, axis of work, axis of cost, works, costs, line) of each.
  """
  columns = min(_COLUMNS, len(panels))
  rows = math.ceil(len(panels) / columns)
  fig, every = figure.new(rows, columns, 3.6 * columns, 0.5 + 2.7 * rows)
  for axis, panel in zip(every, panels, strict=False):
    _draw(axis, *panel)
  for axis in every[len(panels) :]:
    axis.set_visible(False)
  handles = [
    axis.plot([], [], 'o', color=figure.COLORS[0], label='measured')[0],
    axis.plot([], [], '--', color=figure.MUTED, lw=1.2, label='straight line')[0],
    axis.plot([], [], ':', color=figure.COLORS[1], lw=1.6, label='off the line from here on')[0],
  ]
  fig.legend(handles=handles, loc='outside upper center', ncols=3)
  return fig


def _draw(
  axis: axes.Axes,
  title: str,
  work_title: str,
  cost_title: str,
  work_S: Sequence[float],
  cost_S: Sequence[float],
  line: growth_line.Line,
) -> None:
  is_wide = max(work_S) > _WIDE * min(work_S)
  along = np.geomspace(min(work_S), max(work_S), 100)
  axis.plot(along, line.at(along), '--', color=figure.MUTED, lw=1.2)  # type: ignore[arg-type]
  axis.plot(work_S, cost_S, 'o-', color=figure.COLORS[0], lw=1.2, ms=4.5)
  if line.knee is not None:
    axis.axvline(line.knee, color=figure.COLORS[1], ls=':', lw=1.6)
  if is_wide:
    axis.set_xscale('log')
    axis.set_yscale('log')
  else:
    axis.set_xlim(0, 1.06 * max(work_S))
    axis.set_ylim(0, 1.1 * max(*cost_S, line.at(max(work_S))))
  for each in (axis.xaxis, axis.yaxis):
    each.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:,g}'))
    each.set_minor_formatter(ticker.NullFormatter())
  axis.set_title(title, fontsize=9)
  axis.set_xlabel(work_title)
  axis.set_ylabel(cost_title)
