"""Figures of tree ensembles on features: error against the number of trees, and importance of the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from bloodcell_jax.plots import figure

# The most important inputs have a bar; the others are left out.
MAX_BARS = 20


@figure.styled
def error(
  error_T: np.ndarray, levels: Mapping[str, float], name: str, is_share: bool, title: str
) -> mpl_figure.Figure:
  """A figure of merit by number of trees, with horizontal lines to compare it with.

  Args:
    error_T: by number of trees or rounds, from 1; NaN leaves a gap.
    levels: height of each horizontal line by its label.
    name: label of the curve.
    is_share: whether the figure is a share, drawn in per cent, or a loss in nats.
    title: of the figure.
  """
  fig, (axis,) = figure.new(1, 1, 6.2, 4.4)
  few: dict[str, Any] = {'marker': 'o', 'markersize': 4} if len(error_T) < 6 else {}
  axis.plot(np.arange(1, len(error_T) + 1), error_T, color=figure.COLORS[0], label=name, **few)
  for color, (label, level) in zip(figure.COLORS[1:], levels.items(), strict=False):
    axis.axhline(level, color=color, lw=1.4, ls=(0, (4, 3)), label=f'{label}: {_formatted(level, is_share)}')
  axis.set_ylim(bottom=0)
  axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
  if is_share:
    axis.yaxis.set_major_formatter(ticker.PercentFormatter(1))
  axis.set_xlabel('trees' if is_share else 'rounds, each with one tree per class')
  axis.set_ylabel('error rate' if is_share else 'log loss, nats')
  fig.legend(loc='outside lower center', ncols=2)
  figure.title(fig, title)
  return fig


def _formatted(level: float, is_share: bool) -> str:
  return f'{level:.1%}' if is_share else f'{level:.3f}'


@figure.styled
def importance(
  mean_U: np.ndarray, sd_U: np.ndarray, impurity_U: np.ndarray | None, unit: str, title: str
) -> mpl_figure.Figure:
  """Bars of the inputs with the largest impurity importance, or permutation importance if the former is unknown.

  Args:
    mean_U: increase of the log loss in nats when the unit is permuted.
    sd_U: standard deviation over permutations.
    impurity_U: share of the gain of all splits; None if unknown.
    unit: what a unit is called, such as 'channel'.
    title: of the figure.
  """
  # Sorted by impurity if it is known: permuting a unit can lower the log loss of an overconfident forest, so that
  # units that it never uses (0) would come first. The sort is stable: ties are in order of their number.
  order = np.argsort(-(mean_U if impurity_U is None else impurity_U), kind='stable')[:MAX_BARS]
  panels = [(mean_U, sd_U, 'permutation importance: increase of the log loss, nats')]
  if impurity_U is not None:
    panels.append(
      (impurity_U, np.zeros(len(impurity_U)), 'impurity importance: share of the gain of all splits')
    )
  fig, axes = figure.new(1, len(panels), 4.3 * len(panels), 1.2 + 0.2 * len(order), sharey=True)
  y = np.arange(len(order))
  for axis, color, (value_U, spread_U, label) in zip(axes, figure.COLORS, panels, strict=False):
    axis.barh(
      y, value_U[order], xerr=spread_U[order] if spread_U.any() else None, color=color, ecolor=figure.TEXT
    )
    axis.set_xlabel(label)
    axis.grid(axis='y', visible=False)
  axes[0].set_yticks(y, _names(unit, order))
  axes[0].set_ylim(len(order) - 0.4, -0.6)
  figure.title(fig, title)
  return fig


def _names(unit: str, order: Sequence[int] | np.ndarray) -> list[str]:
  return [f'{unit} {u}' for u in order]
