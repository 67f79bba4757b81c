"""The maps of a network's layers and the filters of its first, as grids of small pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl_figure
from PIL import Image

from bloodcell_jax.plots import figure

# Pictures a row up to so many channels; more channels, 64 a row.
COLUMNS = ((8, 8), (64, 16), (256, 32))
MOST_COLUMNS = 64
# Inches, and pixels across the widest grid.
WIDTH, PIXELS = 7.0, 800


@figure.styled
def plot(maps: Sequence[np.ndarray], captions: Sequence[str], title: str) -> mpl_figure.Figure:
  """A grid for each layer with its caption beneath: a small picture a channel, white where nothing, dark where much.

  A layer's pictures share one scale, the square root from 0 to what 1 % of its positive values exceed; below 0: white.

  Args:
    maps: [H, W, C], or [D], shown as rows of 64 places.
    captions: one a layer.
    title: above all.
  """
  grids = [grid(values) for values in maps]
  heights = [max(0.12, WIDTH * g.shape[0] / g.shape[1]) for g in grids]
  made, panels = figure.new(
    len(grids), 1, WIDTH + 0.2, sum(heights) + 0.34 * len(grids) + 0.4, height_ratios=heights
  )
  for axis, values, text in zip(panels, grids, captions, strict=True):
    axis.imshow(values, cmap='Greys', vmin=0, vmax=1, aspect='auto')
    axis.set_xlabel(text, fontsize=8, labelpad=2)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
  figure.title(made, title)
  return made


@figure.styled
def filters(kernel_HWIO: np.ndarray, channels: str, title: str) -> mpl_figure.Figure:
  """The kernels of a first layer as colours, each between its own least and largest weight.

  Args:
    kernel_HWIO: over three input channels.
    channels: RGB or BGR, the order of the input channels.
    title: above all.
  """
  kernel = kernel_HWIO[:, :, ::-1] if channels == 'BGR' else kernel_HWIO
  low, high = kernel.min((0, 1, 2)), kernel.max((0, 1, 2))
  kernel = (kernel - low) / np.maximum(high - low, 1e-12)
  tiles = _tiled(np.moveaxis(kernel, 3, 0), 16, np.nan)
  # Matplotlib shows no NaN in colours.
  tiles = np.nan_to_num(tiles, nan=1.0)
  made, (axis,) = figure.new(1, 1, WIDTH, WIDTH * tiles.shape[0] / tiles.shape[1] + 0.4)
  axis.imshow(tiles, interpolation='nearest')
  axis.set_axis_off()
  figure.title(made, title)
  return made


def grid(values: np.ndarray) -> np.ndarray:
  """One picture of a layer's channels, 0 to 1, NaN between and behind them.

  Args:
    values: [H, W, C], or [D].
  """
  positive = values[values > 0]
  largest = float(np.quantile(positive, 0.99)) if positive.size else 0.0
  scaled = np.sqrt(np.clip(values / largest, 0, 1)) if largest > 0 else np.zeros(values.shape)
  if values.ndim == 1:
    rows = -(-len(scaled) // MOST_COLUMNS)
    filled = np.full(rows * MOST_COLUMNS, np.nan)
    filled[: len(scaled)] = scaled
    return filled.reshape(rows, MOST_COLUMNS)
  num = values.shape[2]
  columns = next((columns for most, columns in COLUMNS if num <= most), MOST_COLUMNS)
  side = PIXELS // columns - 1
  images = [_reduced(channel_HW, side) for channel_HW in np.moveaxis(scaled, 2, 0)]
  return _tiled(np.stack(images)[..., None], columns, np.nan)[..., 0]


def _reduced(image_HW: np.ndarray, side: int) -> np.ndarray:
  """The image no larger than `side`, averaged; as it is where it is small enough."""
  if max(image_HW.shape) <= side:
    return image_HW
  small = Image.fromarray(image_HW.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
  return np.asarray(small)


def _tiled(image_NHWC: np.ndarray, columns: int, fill: float) -> np.ndarray:
  """The images row by row with a pixel between them."""
  num, height, width, channels = image_NHWC.shape
  rows = -(-num // columns)
  made = np.full((rows * (height + 1), columns * (width + 1), channels), fill)
  for i, image_HWC in enumerate(image_NHWC):
    top, left = i // columns * (height + 1), i % columns * (width + 1)
    made[top : top + height, left : left + width] = image_HWC
  return made[:-1, :-1]
