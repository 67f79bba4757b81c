"""How many errors are left when the least certain images are left to a person."""

from __future__ import annotations

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from bloodcell_jax.plots import figure


@figure.styled
def plot(
  coverage: np.ndarray, error: np.ndarray, chosen: tuple[float, float] | None, max_error: float, title: str
) -> mpl_figure.Figure:
  """A risk-coverage curve: at each share of images that are named, the share of errors among them.

  Args:
    coverage: shares of images, ascending, in (0, 1].
    error: the share of errors among those.
    chosen: (share named, share of errors) at the run's threshold; None where it names no image.
    max_error: what the threshold was chosen for, on validation.
    title: shown above.

  Source: El-Yaniv and Wiener 2010, figure 1.
  """
  made, (axis,) = figure.new(1, 1, 4.6, 4.2)
  axis.plot(coverage, error, color=figure.COLORS[0], drawstyle='steps-post', label='errors among the named')
  axis.axhline(
    max_error, color=figure.MUTED, lw=1, ls=(0, (4, 3)), label=f'wanted on validation: {max_error:.0%}'
  )
  if chosen:
    axis.plot(
      *chosen, 'o', ms=8, mfc='none', mec=figure.COLORS[1], mew=1.8,
      label=f"the run's threshold: {chosen[0]:.0%} named, {chosen[1]:.1%} wrong",
    )  # fmt: skip
  axis.set(xlim=(0, 1.02), ylim=(0, max(0.1, 1.1 * float(np.max(error, initial=0)), 1.2 * max_error)))
  axis.xaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
  axis.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
  axis.set_xlabel('images named; the less certain are left for review')
  axis.set_ylabel('errors among the named')
  axis.legend(loc='upper left')
  figure.title(made, title)
  return made
