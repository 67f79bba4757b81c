"""Training and validation accuracy of every row of a study, a small panel each."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import axes, lines
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure

_COLUMNS = 4
_TRAINING, _VALIDATION, _STUDY = figure.COLORS[0], figure.COLORS[1], figure.MUTED


@dataclasses.dataclass(frozen=True)
class Curve:
  """The epochs of one network."""

  updates_E: np.ndarray  # made at the end of each epoch
  accuracy_E: np.ndarray  # of training
  val_accuracy_E: np.ndarray


@dataclasses.dataclass(frozen=True)
class Panel:
  """A row of the study."""

  title: str
  curves: Sequence[Curve]  # one a seed, or one a member
  published: float  # the study's accuracy; 0 for none


@figure.styled
def plot(panels: Sequence[Panel]) -> mpl_figure.Figure:
  """A panel a row, all with the same vertical axis; the study's figure is a dashed line."""
  rows = math.ceil(len(panels) / _COLUMNS)
  fig, every = figure.new(rows, _COLUMNS, 11, 0.6 + 1.9 * rows, sharey=True)
  for axis, panel in zip(every, panels, strict=False):
    _draw(axis, panel)
  for axis in every[len(panels) :]:
    axis.set_visible(False)
  for axis in every[::_COLUMNS]:
    axis.set_ylabel('accuracy')
  for axis in every[max(0, len(panels) - _COLUMNS) : len(panels)]:
    axis.set_xlabel('updates')
  handles = [
    lines.Line2D([], [], color=_TRAINING, label='training'),
    lines.Line2D([], [], color=_VALIDATION, label='validation, other photographs'),
    lines.Line2D([], [], color=_STUDY, ls=(0, (4, 3)), lw=1.2, label="the study's figure"),
  ]
  fig.legend(handles=handles, loc='outside upper right', ncols=3)
  return fig


def _draw(axis: axes.Axes, panel: Panel) -> None:
  for curve in panel.curves:
    few: dict[str, Any] = {'marker': 'o', 'markersize': 3} if len(curve.updates_E) < 8 else {}
    for values, color in ((curve.accuracy_E, _TRAINING), (curve.val_accuracy_E, _VALIDATION)):
      axis.plot(
        curve.updates_E, values, color=color, lw=1.4, alpha=1 if len(panel.curves) == 1 else 0.7, **few
      )
  if panel.published:
    axis.axhline(panel.published, color=_STUDY, lw=1.2, ls=(0, (4, 3)), zorder=1)
  axis.set_ylim(0, 1.02)
  axis.set_xlim(left=0)
  axis.locator_params(axis='x', nbins=4, integer=True)
  axis.set_title('\n'.join(textwrap.wrap(panel.title, 34)), fontsize=8.5)
