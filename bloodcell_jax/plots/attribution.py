"""Attribution maps laid over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure

# Quantile of a map's absolute values at which the colour scale saturates.
_SATURATION = 0.995


@figure.styled
def plot(
  image_HWC: np.ndarray,
  nucleus_HW: np.ndarray | None,
  maps: Sequence[np.ndarray],
  captions: Sequence[str],
  title: str,
) -> mpl_figure.Figure:
  """The image with its nucleus outlined, then each map over the image in grey: orange positive, blue negative.

  Args:
    image_HWC: uint8.
    nucleus_HW: bool; None for no outline.
    maps: [H, W] each, signed; each is scaled on its own.
    captions: of the image and of each map.
    title: of the figure.
  """
  num = len(maps) + 1
  rows = -(-num // 3)
  fig, panels = figure.new(rows, 3, 7.6, 2.95 * rows + 0.3)
  grey_HW = image_HWC.mean(-1)
  for axis, text in zip(panels, captions, strict=False):
    axis.set_xlabel(text, fontsize=8, labelpad=3)
  panels[0].imshow(image_HWC)
  for axis, map_HW in zip(panels[1:], maps, strict=False):
    axis.imshow(grey_HW, cmap='gray', vmin=0, vmax=255)
    axis.imshow(overlay(map_HW), interpolation='bilinear')
  for axis in panels[:num]:
    if nucleus_HW is not None:
      axis.contour(nucleus_HW, levels=[0.5], colors=['#00e08a'], linewidths=0.9)
  for i, axis in enumerate(panels):
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
    if i >= num:
      axis.set_axis_off()
  figure.title(fig, title)
  return fig


def overlay(map_HW: np.ndarray) -> np.ndarray:
  """The map as RGBA [H, W, 4], 0 to 1: orange above 0, blue below, transparent at 0.

  Example:
    >>> overlay(np.array([[0.0, 1.0, -1.0]]))[0, :, 3].round(2).tolist()
    [0.0, 0.85, 0.85]
  """
  # The quantile is 0 if few pixels differ from 0.
  largest = float(np.quantile(np.abs(map_HW), _SATURATION)) or float(np.abs(map_HW).max())
  strength_HW = np.clip(np.abs(map_HW) / largest, 0, 1) if largest > 0 else np.zeros(map_HW.shape)
  colour_HWC = np.where(map_HW[..., None] >= 0, np.array([1.0, 0.45, 0.0]), np.array([0.1, 0.35, 1.0]))
  return np.concatenate([colour_HWC, 0.85 * strength_HW[..., None]], axis=-1)
