"""Touching nuclei are cut apart; the lobes of one are not."""

import drawn_field
import numpy as np

from bloodcell_jax.fields import detector, touching

RED_CELL = 32


def nuclei(apart, radius, cytoplasm):
  """Two discs of this radius, and ground beyond this distance from both."""
  rows, columns = np.mgrid[:140, :200]
  away = [np.hypot(rows - 70, columns - 100 - sign * apart / 2) for sign in (-1, 1)]
  nearest = np.minimum(*away)
  return nearest < radius, nearest > cytoplasm


def num(*drawn):
  return int(touching.parts(*nuclei(*drawn), RED_CELL).max())


def test_two_nuclei_that_touch_are_two_and_two_lobes_within_one_cell_are_one():
  assert num(46, 24, 27) == 2
  # The same nuclei with cytoplasm all around: two lobes of an eosinophil.
  assert num(46, 24, 60) == 1
  # Smaller and nearer: lobes, whatever lies around.
  assert num(24, 13, 15) == 1


def test_each_of_two_cells_that_touch_has_its_box_and_is_marked():
  together = ((250, 200), (346, 200))
  found = detector.find(drawn_field.draw(together, lobes=((0, 0),), lobe=46)).cells
  assert len(found) == 2
  assert all(detector.TOUCHING in one.marks for one in found)
  # Negative control: far apart, neither is marked.
  found = detector.find(drawn_field.draw(((160, 140), (470, 330)), lobes=((0, 0),), lobe=46)).cells
  assert [one.marks for one in found] == [(), ()]


def test_a_cell_at_the_edge_is_marked_and_one_inside_is_not():
  found = detector.find(drawn_field.draw(((160, 140), (632, 330)))).cells
  assert [detector.CUT in one.marks for one in found] == [False, True]
