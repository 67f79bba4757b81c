"""A small white picture in the place of every figure: drawing takes a third of a small run."""

from __future__ import annotations

import functools
import io

from matplotlib import figure
from PIL import Image


@functools.cache
def _blank() -> bytes:
  buffer = io.BytesIO()
  Image.new('RGB', (8, 8), 'white').save(buffer, 'PNG')
  return buffer.getvalue()


def png(fig: figure.Figure, note: str) -> bytes:
  """In the place of `bloodcell_jax.plots.figure.png`."""
  return _blank()
