"""Reliability diagram: accuracy against confidence."""

from __future__ import annotations

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from bloodcell_jax.plots import figure


@figure.styled
def plot(bin_S3: np.ndarray, title: str) -> mpl_figure.Figure:
  """A reliability diagram: on the diagonal, accuracy equals confidence.

  Args:
    bin_S3: for each bin of confidence: number of images, sum of confidence, number of correct ones.
    title: of the figure.

  Source: Guo et al. 2017, "On calibration of modern neural networks", figure 1.
  """
  count, confidence, correct = np.asarray(bin_S3, float).T
  filled = count > 0
  sure, right = confidence[filled] / count[filled], correct[filled] / count[filled]
  fig, (top, bottom) = figure.new(2, 1, 4.6, 5.6, sharex=True, height_ratios=(3, 1))
  top.plot([0, 1], [0, 1], color=figure.MUTED, lw=1, ls=(0, (4, 3)))
  top.vlines(sure, sure, right, color=figure.COLORS[1], lw=3, alpha=0.45, label='gap to the diagonal')
  top.plot(sure, right, 'o-', color=figure.COLORS[0], ms=5, lw=1.4, label='accuracy')
  error = np.abs(confidence - correct).sum() / max(count.sum(), 1)
  top.text(
    0.97, 0.04, f'mean gap (ECE) {error:.3f}', transform=top.transAxes, ha='right', va='bottom', fontsize=8.5
  )
  for x, y, text in ((0.04, 0.72, 'underconfident'), (0.62, 0.2, 'overconfident')):
    top.text(x, y, text, transform=top.transAxes, color=figure.MUTED, fontsize=8)
  top.set(xlim=(0, 1), ylim=(0, 1.03))
  top.set_ylabel('accuracy')
  top.legend(loc='upper left')
  middle = (np.arange(len(count)) + 0.5) / len(count)
  bars = bottom.bar(middle[filled], count[filled], 0.92 / len(count), color=figure.COLORS[0], alpha=0.6)
  bottom.bar_label(bars, [f'{n:,.0f}' for n in count[filled]], padding=1, fontsize=6.5)
  bottom.margins(y=0.18)
  bottom.set_xlabel('confidence')
  bottom.set_ylabel('images')
  bottom.xaxis.set_major_formatter(ticker.PercentFormatter(1))
  top.yaxis.set_major_formatter(ticker.PercentFormatter(1))
  bottom.yaxis.set_major_locator(ticker.MaxNLocator(3, integer=True))
  figure.title(fig, title)
  return fig
