"""A contact sheet: images in rows, with captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure


@figure.styled
def plot(
  images: Sequence[np.ndarray], captions: Sequence[str], columns: int, title: str
) -> mpl_figure.Figure:
  """The images row by row, each above its caption.

  Args:
    images: [H, W, 3] or [H, W] each, uint8, or float in [0, 1]; sizes may differ.
    captions: one per image; long lines are wrapped.
    columns: images in a row.
    title: of the figure; may be empty.

  Raises:
    ValueError: there are no images, or not as many captions.
  """
  if not len(images) or len(images) != len(captions):
    raise ValueError(
      f'{len(images)} images and {len(captions)} captions; at least one image is needed, and one caption for each'
    )
  columns = min(columns, len(images))
  rows = -(-len(images) // columns)
  # In inches: an image is 1.35 wide, a letter of 7.5 points about 0.068.
  wrapped = [
    '\n'.join(part for line in text.split('\n') for part in textwrap.wrap(line, 22)) for text in captions
  ]
  lines = max(text.count('\n') + 1 for text in wrapped)
  heights = [image.shape[0] / image.shape[1] for image in images]
  fig, panels = figure.new(
    rows, columns, 1.45 * columns, rows * (1.35 * max(heights) + 0.14 * lines + 0.08) + 0.35 * bool(title)
  )
  for axis in panels[len(images) :]:
    axis.set_axis_off()
  for axis, image, text in zip(panels, images, wrapped, strict=False):
    axis.imshow(image, cmap='gray', vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
    axis.set_xlabel(text, fontsize=7.5, labelpad=3)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
  if title:
    figure.title(fig, title)
  return fig
