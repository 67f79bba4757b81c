"""Cells boxed and named: doubt in the line as well as in the words, readable at any size."""

import numpy as np
import pytest

from bloodcell_jax.base import cell
from bloodcell_jax.plots import figure, overlay

BOX = cell.Box(200, 150, 400, 330)


def upper_line(kind):
  """The pixels of the upper line of the box that have its colour, as a share."""
  blank = np.full((480, 640, 3), 230, np.uint8)
  words = ('A 97%',)
  image = np.asarray(overlay.draw(blank, [overlay.Labelled(BOX, words, kind, 0)], 'a.jpg')).astype(int)
  factor = image.shape[1] / 640
  row, columns = round(150 * factor), slice(round(205 * factor), round(395 * factor))
  colour = [int(figure.COLORS[0][i : i + 2], 16) for i in (1, 3, 5)]
  is_line = np.abs(image[row - 2 : row + 4, columns] - colour).max(2) < 40
  return is_line.any(0).mean()


def test_a_doubtful_box_is_dashed_and_one_that_is_not_counted_is_dotted():
  sure, doubtful, left_out = (
    upper_line(kind) for kind in (overlay.SURE, overlay.DOUBTFUL, overlay.NOT_COUNTED)
  )
  assert sure == 1
  assert 0.5 < doubtful < 0.85
  assert 0.2 < left_out < doubtful


@pytest.mark.parametrize('shape', [(30, 40, 3), (480, 640, 3), (3000, 4000, 3)])
def test_the_picture_has_a_readable_size_whatever_the_photograph(shape):
  height, width = shape[:2]
  box = cell.Box(0, 0, width // 2, height // 2)
  picture = overlay.draw(
    np.zeros(shape, np.uint8), [overlay.Labelled(box, ('嗜碱 51%',), overlay.SURE, 9)], 'x'
  )
  assert 800 <= picture.width <= 2400
  assert picture.height > picture.width * height / width


def test_labels_lie_beside_one_another():
  outlines = [(100.0, 100.0, 200.0, 200.0), (110.0, 100.0, 210.0, 200.0)]
  first = overlay._place(outlines[0], (120, 20), (800, 600), [], outlines[1:])
  label = (*first, first[0] + 120, first[1] + 20)
  second = overlay._place(outlines[1], (120, 20), (800, 600), [label], outlines[:1])
  assert overlay._shared(label, (*second, second[0] + 120, second[1] + 20)) == 0
  # Negative control: without the first label the place above is free.
  assert overlay._place(outlines[1], (120, 20), (800, 600), [], outlines[:1]) == (110, 80)
