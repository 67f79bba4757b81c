"""Style, titles, notes and PNG files of all figures; the only module that configures Matplotlib."""

from __future__ import annotations

import functools
import io
import os
import textwrap
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import axes, figure
from matplotlib import text as text_lib
from PIL import Image

from bloodcell_jax.plots import fonts
from bloodcell_jax.system import atomic

# Okabe and Ito 2008, "Color universal design": distinguishable for colour-blind readers. Yellow is left out and
# sky blue comes late, because they are faint on white.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#7F7F7F', '#222222')
TEXT = '#222222'
MUTED = '#6b6b6b'  # on white 5.3:1, above the 4.5:1 that WCAG 2.1 asks for
WARNING = '#9b1c1c'
DPI = 120
COMPRESSION = 3  # of a PNG: the usual 6 takes half as long again for a file that is 3% smaller
# Decorator of functions that draw: Matplotlib reads its settings whenever it creates a tick or a text. They are
# restored when the function returns.
styled = matplotlib.rc_context(
  {
    'font.family': fonts.OWN,
    'font.size': 9,
    'text.parse_math': False,  # names of classes and files are not formulas, even with dollar signs
    'text.color': TEXT,
    'axes.labelcolor': TEXT,
    'axes.edgecolor': '#9a9a9a',
    'axes.titlesize': 10,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': '#e6e6e6',
    'grid.linewidth': 0.8,
    'xtick.color': '#9a9a9a',
    'ytick.color': '#9a9a9a',
    'xtick.labelcolor': TEXT,
    'ytick.labelcolor': TEXT,
    'xtick.labelsize': 8.5,
    'ytick.labelsize': 8.5,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'lines.linewidth': 1.8,
    'figure.constrained_layout.h_pad': 0.06,
    'figure.constrained_layout.w_pad': 0.06,
  }
)


def new(
  rows: int, columns: int, width: float, height: float, **grid: Any
) -> tuple[figure.Figure, list[axes.Axes]]:
  """An empty figure and its axes, row by row. Without pyplot, which would keep a reference to every figure.

  Args:
    rows, columns: of axes.
    width, height: of the figure, in inches.
    **grid: arguments of `matplotlib.figure.Figure.subplots`, such as `sharex` or `height_ratios`.
  """
  fig = figure.Figure(figsize=(width, height), layout='constrained')
  return fig, list(fig.subplots(rows, columns, squeeze=False, **grid).ravel())


def mosaic(
  layout: Sequence[Sequence[str]], width: float, height: float, **grid: Any
) -> tuple[figure.Figure, dict[str, axes.Axes]]:
  """An empty figure and its axes by name.

  Args:
    layout: rows of names; a name that repeats spans its cells.
    width, height: of the figure, in inches.
    **grid: arguments of `matplotlib.figure.Figure.subplot_mosaic`.
  """
  fig = figure.Figure(figsize=(width, height), layout='constrained')
  return fig, fig.subplot_mosaic([list(row) for row in layout], **grid)


def ink(background: Sequence[float] | np.ndarray) -> str:
  """Black or white, whichever has more contrast with this colour (red, green, blue, each 0 to 1).

  Source: WCAG 2.1, relative luminance; at a luminance of 0.179 both contrasts are 4.6:1.

  Example:
    >>> ink((0.9, 0.9, 1.0)), ink((0.0, 0.2, 0.5))
    ('black', 'white')
  """
  linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
  luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
  return 'black' if luminance > 0.179 else 'white'


def divide_cells(axis: axes.Axes, num: int) -> None:
  """White lines between the `num` x `num` cells of a matrix, in place of a grid, ticks and frame."""
  # As two collections: a minor tick for each line would cost ten times as much.
  edges, ends = np.arange(num + 1) - 0.5, (-0.5, num - 0.5)
  axis.hlines(edges, *ends, color='white', lw=2)
  axis.vlines(edges, *ends, color='white', lw=2)
  axis.set(xlim=ends, ylim=ends[::-1])
  axis.grid(False)
  axis.tick_params(length=0)
  axis.spines[:].set_visible(False)


def title(fig: figure.Figure, text: str) -> None:
  """Adds a title above all axes, wrapped to the width of the figure."""
  # About 10 bold letters of this size per inch.
  lines = textwrap.wrap(text, max(20, int(10 * fig.get_figwidth())))
  fig.suptitle('\n'.join(lines), fontsize=10, fontweight='bold')


@styled
def png(fig: figure.Figure, note: str) -> bytes:
  """The figure as PNG, with a `note` beneath it, such as that its data are synthetic; '' for none."""
  if note:
    # About 15 letters of this size per inch.
    lines = textwrap.wrap(note, max(20, int(15 * fig.get_figwidth())))
    fig.supxlabel('\n'.join(lines), fontsize=8, color=WARNING, fontweight='bold')
  _set_fonts(fig)
  buffer = io.BytesIO()
  with warnings.catch_warnings():
    # Of letters that no font has, one warning each.
    warnings.filterwarnings('ignore', 'Glyph', UserWarning)
    _lay_out(fig)
    fig.savefig(buffer, format='png', dpi=DPI, pil_kwargs={'compress_level': COMPRESSION})
  return buffer.getvalue()


def _lay_out(fig: figure.Figure) -> None:
  """Places all parts at the final resolution, once: `savefig` would draw the whole figure one time more for it."""
  engine = fig.get_layout_engine()
  if engine is not None:
    fig.set_dpi(DPI)
    engine.execute(fig)
    fig.set_layout_engine(None)


def _set_fonts(fig: figure.Figure) -> None:
  """Gives all texts of the figure the installed fonts that have the letters which Matplotlib's own lacks."""
  names = fonts.families(frozenset(''.join(text.get_text() for text in _texts(fig))))
  if len(names) > 1:
    for each in fig.axes:
      # Labels that Matplotlib computes, which are numbers, do not exist before this.
      each.get_xticklabels()
      each.get_yticklabels()
    for text in _texts(fig):
      text.set_fontfamily(list(names))


def _texts(fig: figure.Figure) -> list[text_lib.Text]:
  return [item for item in fig.findobj(text_lib.Text) if isinstance(item, text_lib.Text)]


def in_few_colours(picture: bytes) -> bytes:
  """The PNG reduced to 32 colours, a quarter of its size: for large pictures in grey."""
  buffer = io.BytesIO()
  with Image.open(io.BytesIO(picture)) as opened:
    reduced = opened.convert('RGB').quantize(32, method=Image.Quantize.FASTOCTREE)
  reduced.save(buffer, 'PNG', optimize=True)
  return buffer.getvalue()


def write(path: str | os.PathLike[str], fig: figure.Figure, note: str) -> None:
  """Writes the figure as a PNG file, atomically."""
  atomic.write_bytes(path, png(fig, note))


def write_shared(
  path: str | os.PathLike[str], draw: Callable[[Any], figure.Figure], argument: Hashable, note: str
) -> None:
  """Writes `draw(argument)` as `write` does; runs on the same images draw it once in a process."""
  atomic.write_bytes(path, _drawn(png, draw, argument, note))


@functools.lru_cache(maxsize=8)
def _drawn(
  render: Callable[[figure.Figure, str], bytes],
  draw: Callable[[Any], figure.Figure],
  argument: Hashable,
  note: str,
) -> bytes:
  return render(draw(argument), note)
