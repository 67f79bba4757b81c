"""Number of images and photographs per class and split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import axes, ticker
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure

# With more classes in a split than this, the picture shows them as a curve: with a line for each it would be higher
# than a page and soon larger than Matplotlib can draw.
MAX_WITH_NAMES = 60


@figure.styled
def plot(counts: Mapping[str, Mapping[str, tuple[int, int]]]) -> mpl_figure.Figure:
  """Each class of each split as a line from its number of photographs to the number of images made from them.

  Thousands of images can come from four photographs. A logarithmic axis shows both numbers; the length of the line
  is their ratio, the number of images per photograph. With more than MAX_WITH_NAMES classes each split is a panel with
  both numbers of its classes, those with most images first.

  Args:
    counts: by split and class: (images, photographs).
  """
  if max(map(len, counts.values()), default=0) > MAX_WITH_NAMES:
    return _ranked(counts)
  num_rows = sum(len(classes) + 1.4 for classes in counts.values())
  fig, (axis,) = figure.new(1, 1, 8, 1.25 + 0.22 * num_rows)
  class_names = list(dict.fromkeys(name for classes in counts.values() for name in classes))
  color = {name: figure.COLORS[k % len(figure.COLORS)] for k, name in enumerate(class_names)}
  labels: dict[float, str] = {}
  lines: list[tuple[float, int, int, str]] = []  # (y, photographs, images, class)
  most, y = 1, 0.0
  for split, classes in counts.items():
    axis.text(
      0, y, split, transform=axis.get_yaxis_transform(), fontweight='bold', fontsize=9, va='center',
      ha='left', bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1.5},
    )  # fmt: skip
    y += 1
    for name, (num_images, num_photographs) in classes.items():
      labels[y] = name
      most = max(most, num_images)
      if num_photographs:
        lines.append((y, num_photographs, num_images, name))
        _beside(axis, num_photographs, y, f'{num_photographs:,}', -8, 'right')
        ratio = num_images / num_photographs
        _beside(axis, num_images, y, f'{num_images:,}', 8, 'left')
        if ratio >= 3:
          middle = (num_images * num_photographs) ** 0.5
          axis.annotate(
            f'× {ratio:,.0f}', (middle, y), ha='center', va='center', fontsize=7.5, color=figure.TEXT,
            bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 0.8, 'alpha': 0.85}, zorder=3,
          )  # fmt: skip
      else:
        _beside(axis, 1, y, 'none', 0, 'left')
      y += 1
    y += 0.4
  for name in dict.fromkeys(line[-1] for line in lines):
    height, photographs, images, _ = zip(*(line for line in lines if line[-1] == name), strict=True)
    axis.hlines(height, photographs, images, color=color[name], lw=3, alpha=0.35, zorder=2)
    axis.plot(images, height, 'o', ms=7, mfc='white', mec=color[name], mew=1.8, zorder=3)
    axis.plot(photographs, height, 'o', ms=7, color=color[name], zorder=4)
  axis.set_xscale('log')
  axis.set_xlim(0.55, 2.6 * most)
  axis.set_ylim(y - 0.8, -0.7)
  axis.set_yticks(list(labels), list(labels.values()))
  axis.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
  axis.xaxis.set_minor_locator(ticker.NullLocator())
  axis.set_xlabel('number (logarithmic axis)')
  axis.grid(axis='y', visible=False)
  axis.tick_params(axis='y', length=0)
  axis.spines['left'].set_visible(False)
  key = [
    axis.plot([], [], 'o', ms=7, color=figure.MUTED, label='photographs')[0],
    axis.plot([], [], 'o', ms=7, mfc='white', mec=figure.MUTED, mew=1.8, label='images')[0],
    axis.plot([], [], color=figure.MUTED, lw=3, alpha=0.35, label='× images per photograph')[0],
  ]
  fig.legend(handles=key, loc='outside upper center', ncols=3)
  return fig


def _ranked(counts: Mapping[str, Mapping[str, tuple[int, int]]]) -> mpl_figure.Figure:
  """A panel a split: images and photographs of its classes in descending order."""
  fig, every = figure.new(len(counts), 1, 8, 0.8 + 2.3 * len(counts), sharex=True)
  for axis, (split, classes) in zip(every, counts.items(), strict=True):
    pair_K2 = np.array(list(classes.values()), float).reshape(-1, 2)
    pair_K2 = pair_K2[np.lexsort((-pair_K2[:, 1], -pair_K2[:, 0]))]
    pair_K2 = pair_K2[pair_K2[:, 0] > 0]
    rank = np.arange(1, len(pair_K2) + 1)
    axis.fill_between(rank, pair_K2[:, 0], pair_K2[:, 1], color=figure.COLORS[0], alpha=0.2, lw=0, step='mid')
    for values, color, label in zip(pair_K2.T, figure.COLORS, ('images', 'photographs'), strict=False):
      axis.step(rank, values, color=color, where='mid', label=label)
    axis.set_yscale('log')
    axis.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
    axis.yaxis.set_minor_formatter(ticker.NullFormatter())
    axis.set_ylim(0.7, 1.6 * pair_K2.max(initial=1))
    axis.set_ylabel('number')
    empty = len(classes) - len(pair_K2)
    axis.set_title(f'{split}: {len(classes):,} classes{f", {empty:,} without images" if empty else ""}')
  every[-1].set_xlabel('class, in the order of the number of images')
  fig.legend(*every[0].get_legend_handles_labels(), loc='outside upper center', ncols=2)
  return fig


def _beside(axis: axes.Axes, x: float, y: float, text: str, offset: float, align: str) -> None:
  axis.annotate(text, (x, y), (offset, 0), textcoords='offset points', ha=align, va='center', fontsize=8)
