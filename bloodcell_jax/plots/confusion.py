"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure


def plot(confusion_KK: np.ndarray, class_names: Sequence[str], title: str) -> mpl_figure.Figure:
  """Counts, and beneath them the share of the true class; darker is a larger share.

  Args:
    confusion_KK: images by true class (row) and predicted class (column).
    class_names: of both.
    title: shown above.
  """
  confusion = np.asarray(confusion_KK)
  actual = confusion.sum(1, keepdims=True)
  share = confusion / np.maximum(actual, 1)
  size = 1.6 + 0.85 * len(class_names)
  made, (axis,) = figure.new(1, 1, size + 0.6, size)
  axis.imshow(share, cmap='Blues', vmin=0, vmax=1)
  for (i, j), count in np.ndenumerate(confusion):
    color = 'white' if share[i, j] > 0.5 else 'black'
    axis.text(j, i, f'{count}\n{share[i, j]:.0%}', ha='center', va='center', color=color, fontsize=8)
  ticks = range(len(class_names))
  axis.set_xticks(ticks, class_names, rotation=30, ha='right')
  axis.set_yticks(ticks, class_names)
  axis.set(xlabel='predicted', ylabel='labelled', title=title)
  axis.grid(False)
  return made
