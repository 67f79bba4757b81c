"""What trees on features are worth: the error against their number, and the units that they owe most to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from bloodcell_jax.plots import figure

# Bars of a figure of importance; the least important units are left out.
MOST_BARS = 20


@figure.styled
def error(
  error_T: np.ndarray, levels: Mapping[str, float], name: str, is_share: bool, title: str
) -> mpl_figure.Figure:
  """A figure after the first tree, the first two, ..., with levels to compare it with.

  Args:
    error_T: by number of trees or rounds, from 1; NaN leaves a gap.
    levels: what horizontal lines are called, and where they lie.
    name: of the curve.
    is_share: whether the figure is a share, shown in per cent, or a loss in nats.
    title: shown above.
  """
  made, (axis,) = figure.new(1, 1, 6.2, 4.4)
  few: dict[str, Any] = {'marker': 'o', 'markersize': 4} if len(error_T) < 6 else {}
  axis.plot(np.arange(1, len(error_T) + 1), error_T, color=figure.COLORS[0], label=name, **few)
  for color, (label, level) in zip(figure.COLORS[1:], levels.items(), strict=False):
    axis.axhline(level, color=color, lw=1.4, ls=(0, (4, 3)), label=f'{label}: {_shown(level, is_share)}')
  axis.set_ylim(bottom=0)
  axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
  if is_share:
    axis.yaxis.set_major_formatter(ticker.PercentFormatter(1))
  axis.set_xlabel('trees' if is_share else 'rounds, each of one tree a class')
  axis.set_ylabel('images named wrongly' if is_share else 'log loss, nats')
  made.legend(loc='outside lower center', ncols=2)
  figure.title(made, title)
  return made


def _shown(level: float, is_share: bool) -> str:
  return f'{level:.1%}' if is_share else f'{level:.3f}'


@figure.styled
def importance(
  mean_U: np.ndarray, sd_U: np.ndarray, impurity_U: np.ndarray | None, unit: str, title: str
) -> mpl_figure.Figure:
  """Bars of the units with the greatest share of impurity, or of permutation importance where that is not known.

  Args:
    mean_U: nats by which the log loss grows when the unit is permuted.
    sd_U: over permutations.
    impurity_U: share in what all splits gain; None where that is not known.
    unit: what a unit is called, such as 'channel'.
    title: shown above.
  """
  # Equal ones by number. By impurity where it is known: a forest that is too sure gains on validation by noise, and
  # then the units that it never asks about have the greatest importance by permutation, none.
  order = np.argsort(-(mean_U if impurity_U is None else impurity_U), kind='stable')[:MOST_BARS]
  panels = [(mean_U, sd_U, 'permuted: growth of the log loss, nats')]
  if impurity_U is not None:
    panels.append((impurity_U, np.zeros(len(impurity_U)), 'impurity: share of the gain of all splits'))
  made, axes = figure.new(1, len(panels), 4.3 * len(panels), 1.2 + 0.2 * len(order), sharey=True)
  y = np.arange(len(order))
  for axis, color, (value_U, spread_U, label) in zip(axes, figure.COLORS, panels, strict=False):
    axis.barh(
      y, value_U[order], xerr=spread_U[order] if spread_U.any() else None, color=color, ecolor=figure.TEXT
    )
    axis.set_xlabel(label)
    axis.grid(axis='y', visible=False)
  axes[0].set_yticks(y, _names(unit, order))
  axes[0].set_ylim(len(order) - 0.4, -0.6)
  figure.title(made, title)
  return made


def _names(unit: str, order: Sequence[int] | np.ndarray) -> list[str]:
  return [f'{unit} {u}' for u in order]
