"""Images and photographs per class and split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure


def plot(counts: Mapping[str, Mapping[str, tuple[int, int]]]) -> mpl_figure.Figure:
  """Two bar charts side by side, because thousands of images can come from four photographs.

  Args:
    counts: by split and class: (images, photographs).
  """
  splits, class_names = list(counts), list(next(iter(counts.values())))
  made, panels = figure.new(1, 2, 10, 1.2 + 0.62 * len(splits))
  thickness = 0.8 / len(class_names)
  for axis, which, title in zip(panels, (0, 1), ('images', 'photographs'), strict=True):
    for k, name in enumerate(class_names):
      values = [counts[split][name][which] for split in splits]
      at = np.arange(len(splits)) + (k - (len(class_names) - 1) / 2) * thickness
      bars = axis.barh(at, values, thickness * 0.92, color=figure.COLORS[k % len(figure.COLORS)], label=name)
      axis.bar_label(bars, fmt='{:,.0f}', padding=2, fontsize=7)
    axis.set_yticks(range(len(splits)), splits)
    axis.set(title=title)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.grid(axis='y', visible=False)
  made.legend(*panels[0].get_legend_handles_labels(), loc='outside upper center', ncols=len(class_names))
  return made
