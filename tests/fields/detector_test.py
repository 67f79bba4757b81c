"""The white cells found in drawn fields."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_field import WHITE_CELLS
from drawn_field import draw as field
from PIL import Image

from bloodcell_jax.fields import detector


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
