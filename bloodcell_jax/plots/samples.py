"""A contact sheet of images."""

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
    captions: one an image; wrapped where long, broken at its line ends.
    columns: images in a row.
    title: shown above all; may be empty.

  Raises:
    ValueError: there are no images, or not as many titles.
  """
  if not len(images) or len(images) != len(captions):
    raise ValueError(
      f'{len(images)} images and {len(captions)} captions; there must be one or more, and as many'
    )
  columns = min(columns, len(images))
  rows = -(-len(images) // columns)
  # Inches: an image 1.35 wide, 7.5 point letters about 0.068.
  wrapped = [
    '\n'.join(part for line in text.split('\n') for part in textwrap.wrap(line, 22)) for text in captions
  ]
  lines = max(text.count('\n') + 1 for text in wrapped)
  heights = [image.shape[0] / image.shape[1] for image in images]
  made, panels = figure.new(
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
    figure.title(made, title)
  return made
