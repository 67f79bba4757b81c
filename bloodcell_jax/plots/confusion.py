"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from bloodcell_jax.plots import figure

# With more classes than these, a picture with the numbers, or the names, would be wider than a screen and soon larger
# than Matplotlib can draw.
MAX_WITH_NUMBERS, MAX_WITH_NAMES = 30, 100


@figure.styled
def plot(confusion_KK: np.ndarray, class_names: Sequence[str], title: str) -> mpl_figure.Figure:
  """Each cell shows the share of its true class and, beneath it, the number of images; darker is a larger share.

  With more than MAX_WITH_NUMBERS classes a cell is only a colour, with more than MAX_WITH_NAMES the axes have the
  classes' numbers, counted from 1 in the order of `class_names`.

  Args:
    confusion_KK: images by true class (row) and predicted class (column).
    class_names: of rows and columns.
    title: of the figure.
  """
  confusion = np.asarray(confusion_KK)
  num_classes = len(class_names)
  actual = confusion.sum(1)
  share = confusion / np.maximum(actual, 1)[:, None]
  if num_classes > MAX_WITH_NUMBERS:
    return _colours(share, class_names, title)
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


def _colours(share_KK: np.ndarray, class_names: Sequence[str], title: str) -> mpl_figure.Figure:
  """The matrix of shares as colours, in a picture whose size does not grow beyond MAX_WITH_NAMES classes."""
  num_classes = len(class_names)
  has_names = num_classes <= MAX_WITH_NAMES
  # In inches: a row fits a line of text.
  side, names = (0.13 * num_classes, 0.07 * max(map(len, class_names))) if has_names else (7.0, 0.3)
  side = max(side, 4.0)
  fig, (axis,) = figure.new(1, 1, side + names + 1.8, side + names + 0.9)
  ends = (0.5, num_classes + 0.5)
  drawn = axis.imshow(share_KK, cmap='Blues', vmin=0, vmax=1, extent=(*ends, *ends[::-1]))
  bar = fig.colorbar(drawn, ax=axis, shrink=0.5, label='share of the labelled class')
  bar.ax.yaxis.set_major_formatter(ticker.PercentFormatter(1))
  axis.grid(False)
  if has_names:
    axis.set_xticks(range(1, num_classes + 1), class_names, rotation=90, fontsize=6.5)
    axis.set_yticks(range(1, num_classes + 1), class_names, fontsize=6.5)
    axis.tick_params(length=0)
  else:
    for each in (axis.xaxis, axis.yaxis):
      each.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
  suffix = '' if has_names else ' (number of the class)'
  axis.set_xlabel(f'predicted{suffix}')
  axis.set_ylabel(f'labelled{suffix}')
  figure.title(fig, title)
  return fig
