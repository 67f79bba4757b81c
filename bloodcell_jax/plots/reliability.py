"""Confidence against the share that is right."""

from __future__ import annotations

import numpy as np
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure


def plot(bin_S3: np.ndarray, title: str) -> mpl_figure.Figure:
  """A reliability diagram: points on the diagonal are as often right as they are sure.

  Args:
    bin_S3: by bin of confidence: images, sum of confidence, correct ones.
    title: shown above.

  Source: Guo et al. 2017, "On calibration of modern neural networks", figure 1.
  """
  count, confidence, correct = np.asarray(bin_S3).T
  filled = count > 0
  made, (top, bottom) = figure.new(2, 1, 4, 4.6)
  top.plot([0, 1], [0, 1], color='#888', lw=1, ls=':', label='as sure as right')
  top.plot(
    confidence[filled] / count[filled],
    correct[filled] / count[filled],
    'o-',
    color=figure.COLORS[0],
    label='model',
  )
  top.set(xlim=(0, 1), ylim=(0, 1.02), ylabel='share correct', title=title)
  top.legend()
  edges = np.linspace(0, 1, len(count) + 1)
  bottom.bar(edges[:-1], count, np.diff(edges), align='edge', color=figure.COLORS[5], edgecolor='white')
  bottom.set(xlim=(0, 1), xlabel='confidence', ylabel='images')
  return made
