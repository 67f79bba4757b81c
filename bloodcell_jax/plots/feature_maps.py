"""Feature maps of a network's layers, and the filters of its first layer, as grids of small pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl_figure
from PIL import Image

from bloodcell_jax.plots import figure

# (largest number of channels, pictures per row); MAX_COLUMNS per row with more channels.
COLUMNS = ((8, 8), (64, 16), (256, 32))
MAX_COLUMNS = 64
# Width of the figure in inches, and of the widest grid in pixels.
WIDTH, PIXELS = 7.0, 800


@figure.styled
def plot(maps: Sequence[np.ndarray], captions: Sequence[str], title: str) -> mpl_figure.Figure:
  """A grid for each layer with its caption beneath: one small picture per channel, darker for larger activations.

  The pictures of a layer share one scale: the square root, from 0 (white) to the 99th percentile of the layer's
  positive values. Negative values are white.

  Args:
    maps: [H, W, C], or [D], drawn as rows of MAX_COLUMNS values.
    captions: one per layer.
    title: of the figure.
  """
  grids = [grid(values) for values in maps]
  heights = [max(0.12, WIDTH * g.shape[0] / g.shape[1]) for g in grids]
  fig, panels = figure.new(
    len(grids), 1, WIDTH + 0.2, sum(heights) + 0.34 * len(grids) + 0.4, height_ratios=heights
  )
  for axis, values, text in zip(panels, grids, captions, strict=True):
    axis.imshow(values, cmap='Greys', vmin=0, vmax=1, aspect='auto')
    axis.set_xlabel(text, fontsize=8, labelpad=2)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
  figure.title(fig, title)
  return fig


@figure.styled
def filters(kernel_HWIO: np.ndarray, channels: str, title: str) -> mpl_figure.Figure:
  """The kernels of a first layer as colours, each scaled between its own smallest and largest weight.

  Args:
    kernel_HWIO: over three input channels.
    channels: RGB or BGR, the order of the input channels.
    title: of the figure.
  """
  kernel = kernel_HWIO[:, :, ::-1] if channels == 'BGR' else kernel_HWIO
  low, high = kernel.min((0, 1, 2)), kernel.max((0, 1, 2))
  kernel = (kernel - low) / np.maximum(high - low, 1e-12)
  tiles = _tiled(np.moveaxis(kernel, 3, 0), 16, np.nan)
  # Matplotlib draws no NaN in an RGB image.
  tiles = np.nan_to_num(tiles, nan=1.0)
  fig, (axis,) = figure.new(1, 1, WIDTH, WIDTH * tiles.shape[0] / tiles.shape[1] + 0.4)
  axis.imshow(tiles, interpolation='nearest')
  axis.set_axis_off()
  figure.title(fig, title)
  return fig


def grid(values: np.ndarray) -> np.ndarray:
  """The channels of a layer in one picture, 0 to 1, with NaN between and after them.

  Args:
    values: [H, W, C], or [D].
  """
  positive = values[values > 0]
  largest = float(np.quantile(positive, 0.99)) if positive.size else 0.0
  scaled = np.sqrt(np.clip(values / largest, 0, 1)) if largest > 0 else np.zeros(values.shape)
  if values.ndim == 1:
    rows = -(-len(scaled) // MAX_COLUMNS)
    filled = np.full(rows * MAX_COLUMNS, np.nan)
    filled[: len(scaled)] = scaled
    return filled.reshape(rows, MAX_COLUMNS)
  num = values.shape[2]
  columns = next((columns for most, columns in COLUMNS if num <= most), MAX_COLUMNS)
  side = PIXELS // columns - 1
  images = [_reduced(channel_HW, side) for channel_HW in np.moveaxis(scaled, 2, 0)]
  return _tiled(np.stack(images)[..., None], columns, np.nan)[..., 0]


def _reduced(image_HW: np.ndarray, side: int) -> np.ndarray:
  """The image averaged down to at most `side` pixels a side."""
  if max(image_HW.shape) <= side:
    return image_HW
  small = Image.fromarray(image_HW.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
  return np.asarray(small)


def _tiled(image_NHWC: np.ndarray, columns: int, fill: float) -> np.ndarray:
  """The images row by row, one pixel apart."""
  num, height, width, channels = image_NHWC.shape
  rows = -(-num // columns)
  tiled = np.full((rows * (height + 1), columns * (width + 1), channels), fill)
  for i, image_HWC in enumerate(image_NHWC):
    top, left = i // columns * (height + 1), i % columns * (width + 1)
    tiled[top : top + height, left : left + width] = image_HWC
  return tiled[:-1, :-1]
