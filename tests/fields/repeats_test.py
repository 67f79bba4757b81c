"""A cell that two overlapping photographs show is one; two that look alike in two fields are two."""

import numpy as np
from drawn_field import draw

from bloodcell_jax.base import cell
from bloodcell_jax.fields import detector, repeats


def found(photographs):
  boxes = [[one.box for one in detector.find(image).cells] for image in photographs]
  thumbnails = [
    repeats.thumbnail(image, box) for image, own in zip(photographs, boxes, strict=True) for box in own
  ]
  sides = [max(b.right - b.left, b.bottom - b.top) for own in boxes for b in own]
  owner = [i for i, own in enumerate(boxes) for _ in own]
  pairs = repeats.candidates(repeats.Thumbnails(np.stack(thumbnails), np.array(sides), np.array(owner)))
  return pairs, repeats.same_cells(
    boxes, repeats.registered(pairs, lambda i: repeats.described(photographs[i]))
  )


def test_a_cell_in_two_views_of_a_field_is_one_and_another_fields_is_not():
  slide = draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
  views = [slide[:480, :640], slide[100:580, 130:770]]
  assert found(views)[1] == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]
  # Negative control: cells drawn alike, among other red cells.
  other = draw(((300, 240),), size=(640, 480), seed=2)
  pairs, same = found([views[0], other])
  assert pairs == [(0, 1)], 'they look alike'
  assert same == []


def test_a_chain_of_views_is_one_cell():
  box, moved = cell.Box(0, 0, 10, 10), cell.Box(20, 0, 30, 10)
  by_20, still = np.array([[1.0, 0, 20], [0, 1, 0]]), np.array([[1.0, 0, 0], [0, 1, 0]])
  boxes = [[box], [moved], [moved]]
  assert repeats.same_cells(boxes, {(0, 1): by_20, (1, 2): still}) == [[(0, 0), (1, 0), (2, 0)]]
  assert repeats.same_cells(boxes, {(0, 1): still}) == []


def test_a_photograph_that_has_gone_is_passed_over():
  assert repeats.registered([(0, 1)], lambda i: None) == {}
