"""The white cells found in drawn fields."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bloodcell_jax.fields import detector
from bloodcell_jax.inference import cell_finder

WHITE_CELLS = ((160, 140), (470, 330))


def field(white_cells=WHITE_CELLS, platelets=((320, 60), (90, 400))):
  """A drawn photograph, uint8 [480, 640, 3], of red cells 60 pixels wide."""
  image = Image.new('RGB', (640, 480), (225, 222, 220))
  draw = ImageDraw.Draw(image)

  def disc(x, y, radius, colour):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

  for x in range(50, 640, 90):
    for y in range(50, 480, 90):
      if all(np.hypot(x - a, y - b) > 95 for a, b in white_cells):
        disc(x, y, 30, (196, 140, 136))
  for x, y in white_cells:
    disc(x, y, 52, (205, 190, 212))
    for dx, dy in ((-15, -12), (15, -12), (0, 16)):
      disc(x + dx, y + dy, 20, (104, 68, 156))
  for x, y in platelets:
    disc(x, y, 7, (120, 84, 166))
  noise = np.random.default_rng(0).normal(0, 3, (480, 640, 1))
  return (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)


def is_right(found, factor=1.0):
  centres = sorted((one.column / factor, one.row / factor) for one in found.cells)
  return len(centres) == len(WHITE_CELLS) and np.allclose(centres, WHITE_CELLS, atol=15)


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
def test_white_cells_are_found_at_any_scale_and_platelets_are_not(factor):
  image = Image.fromarray(field()).resize((round(640 * factor), round(480 * factor)))
  assert is_right(detector.find(np.asarray(image)), factor)


def test_a_photograph_with_fewer_white_cells_is_not_taken_for_the_same():
  assert not is_right(detector.find(field(white_cells=WHITE_CELLS[:1])))


def test_boxes_hold_the_nucleus():
  for one, (x, y) in zip(detector.find(field()).cells, WHITE_CELLS, strict=True):
    assert one.box.left < x - 30 < x + 30 < one.box.right
    assert one.box.top < y - 30 < y + 30 < one.box.bottom


@pytest.mark.parametrize('level', [0, 128, 255])
@pytest.mark.parametrize('shape', [(480, 640, 3), (3, 4, 3), (1, 1, 3)])
def test_an_image_of_one_tone_has_no_cells(level, shape):
  assert detector.find(np.full(shape, level, np.uint8)).cells == ()


def test_a_thumbnail_is_one_cell_and_a_field_has_boxes():
  boxes_of = cell_finder.finder('auto')
  assert boxes_of(np.zeros((64, 64, 3), np.uint8)) == (None,)
  assert len(boxes_of(field())) == 2
  assert None not in boxes_of(field())
  assert cell_finder.finder('one')(field()) == (None,)
