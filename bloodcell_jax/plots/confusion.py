"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure


@figure.styled
def plot(confusion_KK: np.ndarray, class_names: Sequence[str], title: str) -> mpl_figure.Figure:
  """Each cell shows the share of its true class and, beneath it, the number of images; darker is a larger share.

  Args:
    confusion_KK: images by true class (row) and predicted class (column).
    class_names: of rows and columns.
    title: of the figure.
  """
  confusion = np.asarray(confusion_KK)
  num_classes = len(class_names)
  actual = confusion.sum(1)
  share = confusion / np.maximum(actual, 1)[:, None]
  # In inches: a cell fits the longest name (0.09 a letter), all cells together the label of their axis.
  letters = max(map(len, class_names))
  cell = max(min(max(0.8, 0.09 * letters + 0.1), 1.15), 2.6 / num_classes)
  side = cell * num_classes
  fig, (axis,) = figure.new(1, 1, side + 0.09 * letters + 0.7, side + 1.1)
  drawn = axis.imshow(share, cmap='Blues', vmin=0, vmax=1)
  for (i, j), count in np.ndenumerate(confusion):
    color = figure.ink(drawn.to_rgba(share[i, j])) if count else figure.MUTED
    percent = f'{share[i, j]:.1%}' if actual[i] else '–'
    axis.text(
      j, i, percent, ha='center', va='bottom', color=color, fontsize=10.5,
      fontweight='bold' if i == j else 'normal',
    )  # fmt: skip
    axis.text(j, i + 0.1, f'{count:,}', ha='center', va='top', color=color, fontsize=8)
  slanted = 0.09 * letters > cell
  axis.set_xticks(
    range(num_classes), class_names, rotation=30 if slanted else 0, ha='right' if slanted else 'center'
  )
  axis.set_yticks(
    range(num_classes), [f'{name}\n{total:,}' for name, total in zip(class_names, actual, strict=True)]
  )
  axis.set_xlabel('predicted')
  axis.set_ylabel('labelled (number of images)')
  figure.title(fig, title)
  figure.divide_cells(axis, num_classes)
  return fig
