"""Heat maps of the diversity of ensemble members, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import axes
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure

# With more members than this, the numbers no longer fit into the cells and only the colours are drawn.
MAX_WITH_NUMBERS = 12


@figure.styled
def plot(
  disagreement_MM: np.ndarray, kappa_MM: np.ndarray, member_names: Sequence[str], title: str
) -> mpl_figure.Figure:
  """Two heat maps side by side: how often exactly one of two members is right, and how well their predictions agree.

  Args:
    disagreement_MM: shares of images, symmetric.
    kappa_MM: Cohen's, symmetric; NaN where undefined, drawn as a dash.
    member_names: of both axes.
    title: of the figure.
  """
  num_members = len(member_names)
  letters = max(map(len, member_names))
  # In inches: a cell fits its number; the names stand below and left of the cells (0.08 a letter).
  cell = max(0.5 if num_members <= MAX_WITH_NUMBERS else 0.22, 2.2 / num_members)
  side, names = cell * num_members, 0.08 * letters
  fig, (left, right) = figure.new(1, 2, 2 * (side + 1.0) + names + 0.3, side + names + 1.1, sharey=True)
  off = ~np.eye(num_members, dtype=bool)
  most = float(np.max(np.asarray(disagreement_MM)[off], initial=0.01))
  _map(left, disagreement_MM, member_names, 'Oranges', (0, most), '{:.1%}')
  left.set_title('exactly one of the two correct')
  least = min(0.0, float(np.nanmin(np.where(np.isnan(kappa_MM), 0, kappa_MM))))
  _map(right, kappa_MM, member_names, 'Blues', (least, 1), '{:.2f}')
  right.set_title("agreement: Cohen's kappa")
  figure.title(fig, title)
  return fig


def _map(
  axis: axes.Axes,
  value_MM: np.ndarray,
  member_names: Sequence[str],
  colors: str,
  limits: tuple[float, float],
  pattern: str,
) -> None:
  num_members = len(member_names)
  # The diagonal compares a member with itself: no information, yet it would have the strongest colour.
  masked = np.ma.masked_invalid(np.where(np.eye(num_members, dtype=bool), np.nan, value_MM))
  drawn = axis.imshow(masked, cmap=colors, vmin=limits[0], vmax=limits[1])
  if num_members <= MAX_WITH_NUMBERS:
    for (i, j), value in np.ndenumerate(np.asarray(value_MM, float)):
      if i != j:
        is_defined = not np.isnan(value)
        axis.text(
          j, i, pattern.format(value) if is_defined else '–', ha='center', va='center', fontsize=8,
          color=figure.ink(drawn.to_rgba(value)) if is_defined else figure.MUTED,
        )  # fmt: skip
  else:
    axis.figure.colorbar(drawn, ax=axis, format=lambda value, _: pattern.format(value), shrink=0.8)
  axis.set_xticks(range(num_members), member_names, rotation=90 if max(map(len, member_names)) > 3 else 0)
  axis.set_yticks(range(num_members), member_names)
  figure.divide_cells(axis, num_members)
