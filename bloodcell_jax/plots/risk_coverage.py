"""Risk-coverage curve: error rate of the accepted images against their share."""

from __future__ import annotations

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from bloodcell_jax.plots import figure


@figure.styled
def plot(
  coverage: np.ndarray, error: np.ndarray, chosen: tuple[float, float] | None, max_error: float, title: str
) -> mpl_figure.Figure:
  """A risk-coverage curve: for each share of accepted images (coverage), the error rate among them (risk).

  Args:
    coverage: shares of accepted images, ascending, in (0, 1].
    error: the error rate at each.
    chosen: (coverage, error rate) at the run's threshold; None if it accepts no image.
    max_error: the error rate that the threshold was chosen for.
    title: of the figure.

  Source: El-Yaniv and Wiener 2010, figure 1.
  """
  fig, (axis,) = figure.new(1, 1, 4.6, 4.2)
  axis.plot(
    coverage, error, color=figure.COLORS[0], drawstyle='steps-post', label='error rate of accepted images'
  )
  axis.axhline(max_error, color=figure.MUTED, lw=1, ls=(0, (4, 3)), label=f'target: {max_error:.0%}')
  if chosen:
    axis.plot(
      *chosen, 'o', ms=8, mfc='none', mec=figure.COLORS[1], mew=1.8,
      label=f"the run's threshold: {chosen[0]:.0%} accepted, {chosen[1]:.1%} errors",
    )  # fmt: skip
  axis.set(xlim=(0, 1.02), ylim=(0, max(0.1, 1.1 * float(np.max(error, initial=0)), 1.2 * max_error)))
  axis.xaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
  axis.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
  axis.set_xlabel('accepted images (coverage); the others are left for review')
  axis.set_ylabel('error rate of accepted images')
  axis.legend(loc='upper left')
  figure.title(fig, title)
  return fig
