"""Drawn photographs of whole fields, with white cells where a test wants them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

WHITE_CELLS = ((160, 140), (470, 330))
NEUTROPHIL = ((-15, -12), (15, -12), (0, 16))


def draw(
  white_cells=WHITE_CELLS,
  platelets=((320, 60), (90, 400)),
  lobes=NEUTROPHIL,
  lobe=20,
  size=(640, 480),
  seed=0,
):
  """A photograph, uint8 [480, 640, 3], of red cells 60 pixels wide; white cells have a nucleus of these lobes."""
  image = Image.new('RGB', size, (225, 222, 220))
  pencil = ImageDraw.Draw(image)
  rng = np.random.default_rng(seed)

  def disc(x, y, radius, colour):
    pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

  for x in range(50, size[0], 90):
    for y in range(50, size[1], 90):
      # Moved a little where another field is wanted than that of seed 0.
      dx, dy = rng.integers(-12, 13, 2) if seed else (0, 0)
      if all(np.hypot(x - a, y - b) > 95 for a, b in white_cells):
        disc(x + dx, y + dy, 30, (196, 140, 136))
  for x, y in white_cells:
    disc(x, y, 52, (205, 190, 212))
    for dx, dy in lobes:
      disc(x + dx, y + dy, lobe, (104, 68, 156))
  for x, y in platelets:
    disc(x, y, 7, (120, 84, 166))
  noise = np.random.default_rng(seed).normal(0, 3, (size[1], size[0], 1))
  return (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)
