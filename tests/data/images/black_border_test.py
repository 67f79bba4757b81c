"""Black that reaches the edge of an image is told from what the image shows."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.data.images import black_border

SIDE = 12


def inside(level_HW: np.ndarray) -> np.ndarray:
  return black_border.inside(level_HW[None])[0]


def test_black_corners_and_the_parts_beside_them_are_outside():
  level_HW = np.full((SIDE, SIDE), 180.0)
  assert inside(level_HW).all()
  level_HW[:3, :3] = 4
  found_HW = inside(level_HW)
  assert not found_HW[:4, :4].any()
  assert found_HW[4:-1, 1:-1].all()
  # The outermost lines, in which a border is mixed with the image, are left out of an image that has one.
  assert not found_HW[-1].any()


def test_black_that_does_not_reach_the_edge_is_part_of_the_image():
  level_HW = np.full((SIDE, SIDE), 180.0)
  level_HW[4:7, 4:7] = 0
  assert inside(level_HW).all()
  level_HW[5, 7:] = 0  # now it does, by a line one part wide
  assert not inside(level_HW)[4:7, 4:7].any()


def test_a_border_thinner_than_a_part_is_told_by_the_darker_line():
  level_HW = np.full((SIDE, SIDE), 180.0)
  level_HW[0] = 120
  assert not inside(level_HW)[0].any()
  assert inside(level_HW)[1:-1, 1:-1].all()
  level_HW[0, 5] = 180  # a line that is not darker throughout is no border
  assert inside(level_HW).all()


def test_images_are_alike_by_what_lies_within_the_border_whatever_their_mean():
  generator = np.random.default_rng(0)
  a_PDC, b_PDC = generator.uniform(100, 200, (2, 1, SIDE**2, 3))
  within_PD = np.zeros((1, SIDE**2), bool)
  within_PD[:, :70] = True
  copy_PDC = np.where(within_PD[:, :, None], a_PDC + 5, 0)

  def are_alike(one, other, common):
    return bool(black_border.are_alike(one, other, common, 9.0, 0.4, 4.0)[0])

  assert are_alike(a_PDC, copy_PDC, within_PD)
  assert not are_alike(a_PDC, copy_PDC, ~within_PD)
  assert not are_alike(a_PDC, b_PDC, within_PD)
  assert not are_alike(a_PDC * 0 + 150, a_PDC * 0 + 150, within_PD), 'nothing to compare'
  few_PD = np.zeros((1, SIDE**2), bool)
  few_PD[:, :5] = True
  assert are_alike(a_PDC, b_PDC, few_PD), 'hardly anything lies within'
