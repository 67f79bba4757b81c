"""A cell that a black rim cuts is marked like one at the photograph's edge; black things inside the field cut none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_field import WHITE_CELLS, draw

from bloodcell_jax.fields import detector, rim

Y, X = np.mgrid[:480, :640]
(LEFT, TOP), (RIGHT, BOTTOM) = WHITE_CELLS
# Where the photograph shows something: each shape cuts the nucleus of the left cell, then leaves both cells whole.
SHAPES = {
  'half': (X > LEFT - 10, X > LEFT - 90),
  'disc': (np.hypot(X - 370, Y - 240) < 230, np.hypot(X - 320, Y - 240) < 300),
  'frame': ((Y > TOP) & (Y < 470), (X > 12) & (X < 628) & (Y > 12) & (Y < 468)),
}


def shown(image_HWC, is_shown_HW, level=0, blur=0.0):
  """The photograph with a noisy rim of this grey level, its edge blurred by this standard deviation in pixels."""
  share_HW1 = is_shown_HW.astype(np.float32)[..., None]
  if blur:
    share_HW1 = cv2.GaussianBlur(share_HW1, (0, 0), blur)[..., None]
  noise = np.random.default_rng(1).normal(0, 2, image_HWC.shape)
  return np.clip(image_HWC * share_HW1 + (level + noise) * (1 - share_HW1), 0, 255).astype(np.uint8)


def at(x, y, found):
  """The marks of the cell there; None where none was found."""
  return next((one.marks for one in found.cells if np.hypot(one.column - x, one.row - y) < 45), None)


@pytest.mark.parametrize(('level', 'blur'), [(0, 0), (10, 0), (25, 2)])
@pytest.mark.parametrize('shape', SHAPES)
def test_a_cell_that_a_black_rim_cuts_is_cut_by_the_edge(shape, level, blur):
  cut, whole = (detector.find(shown(draw(), one, level, blur)) for one in SHAPES[shape])
  assert at(LEFT, TOP, cut) == (detector.CUT,)
  # Negative controls: the other cell, both cells where the rim leaves them whole, and the rim is no cell.
  assert at(RIGHT, BOTTOM, cut) == ()
  assert len(cut.cells) == 2
  assert [one.marks for one in whole.cells] == [(), ()]


def test_a_rim_cuts_as_the_edge_of_the_photograph_does():
  for x in range(LEFT - 100, LEFT + 1, 5):
    behind = at(LEFT, TOP, detector.find(shown(draw(), x <= X)))
    cropped = at(LEFT - x, TOP, detector.find(draw()[:, x:]))
    # The nucleus begins at LEFT - 35; a rim that touches the cell's plasma alone may count either way.
    if not LEFT - 55 < x < LEFT - 30:
      assert behind == cropped == ((detector.CUT,) if x > LEFT - 40 else ())


@pytest.mark.parametrize(
  'what', ['dirt', 'dirt at the edge', 'text', 'pointer', 'pointer at a rim', 'dark nucleus']
)
def test_black_things_cut_no_cell(what):
  image_HWC = draw()
  if what == 'dirt':
    cv2.circle(image_HWC, (LEFT - 60, TOP), 22, (0, 0, 0), -1)
  elif what == 'dirt at the edge':
    cv2.ellipse(image_HWC, (LEFT, 40), (40, 55), 0, 0, 360, (0, 0, 0), -1)
  elif what == 'text':
    cv2.putText(image_HWC, '100 um', (4, TOP - 40), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 7)
    cv2.putText(image_HWC, 'A', (-6, 30), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 7)
  elif what.startswith('pointer'):
    cv2.line(image_HWC, (0, 0), (LEFT - 45, TOP - 40), (0, 0, 0), 7)
    image_HWC[:, : 12 * (what == 'pointer at a rim')] = 0
  else:
    for x, y in WHITE_CELLS:
      cv2.circle(image_HWC, (x, y), 30, (30, 10, 45), -1)
  found = detector.find(image_HWC)
  assert all(
    marks is not None and detector.CUT not in marks
    for marks in (at(LEFT, TOP, found), at(RIGHT, BOTTOM, found))
  )


def test_a_rim_reaches_a_corner_and_is_wide():
  image_HWC = draw()
  assert rim.find(image_HWC, 60) is None
  disc = shown(image_HWC, SHAPES['disc'][1])
  where_HW = rim.find(disc, 60)
  assert where_HW is not None
  assert where_HW[0, 0]
  assert not where_HW[240, 320]
  # It takes in the blurred edge, an eighth of a red cell.
  away_HW = np.hypot(X - 320, Y - 240)
  assert where_HW[away_HW > 300].all()
  assert where_HW[away_HW > 296].mean() > 0.95
  assert not where_HW[away_HW < 290].any()
  # Negative controls: as black and as large at the middle of a side; and a strip inside, beside the corner.
  for part in (np.s_[:150, 200:400], np.s_[30:, 30:80]):
    elsewhere = image_HWC.copy()
    elsewhere[part] = 0
    assert rim.find(elsewhere, 60) is None
  # A black image has no field, and one pixel no rim.
  assert rim.find(np.zeros_like(image_HWC), 60) is None
  assert rim.find(np.zeros((1, 1, 3), np.uint8), 60) is None


def test_a_field_in_a_frame_as_dark_as_nuclei_is_no_error():
  # All of it counts as stained, as the holes of what is stained do.
  framed = np.full((480, 640, 3), (90, 60, 120), np.uint8)
  framed[20:460, 20:620] = draw()[20:460, 20:620]
  assert detector.find(framed).diameter is None
  assert detector.find(framed[20:460, 20:620]).diameter == pytest.approx(60, rel=0.2)
