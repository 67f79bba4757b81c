"""What every figure shares: the only module that imports matplotlib."""

from __future__ import annotations

import io
import os

import matplotlib
from matplotlib import axes, figure

from bloodcell_jax import atomic

# Okabe and Ito 2008: told apart by colour-blind readers as well.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
DPI = 120
STYLE = {
  'font.size': 9,
  'axes.titlesize': 10,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.axisbelow': True,
  'grid.color': '#e4e4e4',
  'legend.frameon': False,
}


def new(rows: int, columns: int, width: float, height: float) -> tuple[figure.Figure, list[axes.Axes]]:
  """An empty figure of so many inches and its axes, row by row. No pyplot: nothing global is kept."""
  with matplotlib.rc_context(STYLE):
    made = figure.Figure(figsize=(width, height), layout='constrained')
    return made, list(made.subplots(rows, columns, squeeze=False).ravel())


def png(made: figure.Figure, note: str) -> bytes:
  """The figure as PNG, with `note` (such as that its data is synthetic) beneath it where it is not empty."""
  if note:
    made.supxlabel(note, fontsize=8, color='#a33')
  buffer = io.BytesIO()
  with matplotlib.rc_context(STYLE):
    made.savefig(buffer, format='png', dpi=DPI)
  return buffer.getvalue()


def write(path: str | os.PathLike[str], made: figure.Figure, note: str) -> None:
  """Writes the figure as a PNG file."""
  atomic.write_bytes(path, png(made, note))
