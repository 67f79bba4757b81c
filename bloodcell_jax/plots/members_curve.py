"""Error rate against the number of members."""

from __future__ import annotations

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from bloodcell_jax.plots import figure


@figure.styled
def plot(
  size_S: np.ndarray,
  error_S: np.ndarray,
  interval_S2: np.ndarray,
  subsets_S2: np.ndarray | None,
  combined_by: str,
  confidence: float,
  title: str,
) -> mpl_figure.Figure:
  """The error rate by number of members, its interval, and its spread over subsets alone.

  Args:
    size_S: numbers of members, ascending.
    error_S: error rates, means over subsets.
    interval_S2: low and high, over subsets of members and groups of images together.
    subsets_S2: low and high, over subsets alone; None if there is one subset of each size, the first members.
    combined_by: how the members are combined, for the legend.
    confidence: of both intervals, in (0, 1).
    title: of the figure.
  """
  fig, (axis,) = figure.new(1, 1, 5.6, 4.2)
  blue = figure.COLORS[0]
  level = f'{confidence:.0%}'
  over = f'{level} over groups' if subsets_S2 is None else f'{level} over subsets and groups'
  low_S, high_S = np.asarray(interval_S2).T
  # A band needs more than one point.
  if len(size_S) > 1:
    axis.fill_between(size_S, low_S, high_S, color=blue, alpha=0.12, lw=0, label=over)
  else:
    axis.vlines(size_S, low_S, high_S, color=blue, alpha=0.3, lw=6, label=over)
  if subsets_S2 is not None:
    axis.vlines(size_S, *np.asarray(subsets_S2).T, color=blue, lw=1.6, label=f'{level} over subsets alone')
  axis.plot(size_S, error_S, 'o-', ms=5, color=blue, label=combined_by)
  top = float(np.max(high_S))
  axis.set(xlim=(size_S[0] - 0.5, size_S[-1] + 0.5), ylim=(0, max(0.02, 1.08 * top)))
  axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
  axis.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=None if top > 0.05 else 1))
  axis.set_xlabel('members')
  axis.set_ylabel('error rate')
  fig.legend(loc='outside lower center', ncols=2)
  figure.title(fig, title)
  return fig
