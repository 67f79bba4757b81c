"""A cell that two overlapping photographs show is one; two that look alike in two fields are two."""

import numpy as np
from drawn_field import draw

from bloodcell_jax.base import cell
from bloodcell_jax.fields import detector, repeats

STILL = np.array([[1.0, 0, 0], [0, 1, 0]])


def found(photographs):
  boxes = [[one.box for one in detector.find(image).cells] for image in photographs]
  views = tuple((i, j) for i, own in enumerate(boxes) for j in range(len(own)))
  thumbnails = np.stack([repeats.thumbnail(photographs[i], boxes[i][j]) for i, j in views])
  sides = np.array([boxes[i][j].longer_side for i, j in views])
  pairs = list(repeats.alike(repeats.Thumbnails(thumbnails, sides, views)))
  described = [repeats.described(image) for image in photographs]
  return pairs, repeats.same_cells(boxes, pairs, lambda a, b: repeats.registered(described[a], described[b]))


def compared(num, map_of, first=5):
  """The groups of `num` photographs of one cell each, all alike, and how many were compared.

  The most alike are the pairs of the first `first` photographs, then those of the next ones.
  """
  asked = []

  def asking(a, b):
    asked.append((a, b))
    return map_of(a, b)

  together = [(a, b) for b in range(num) for a in range(b)]
  together.sort(key=lambda pair: (pair[0] // first != pair[1] // first, pair))
  boxes = [[cell.Box(0, 0, 10, 10)]] * num
  groups = repeats.same_cells(boxes, [((a, 0), (b, 0)) for a, b in together], asking)
  assert len(set(asked)) == len(asked), 'none is compared twice'
  return groups, len(asked)


def test_a_cell_in_two_views_of_a_field_is_one_and_another_fields_is_not():
  slide = draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
  views = [slide[:480, :640], slide[100:580, 130:770]]
  assert found(views)[1] == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]
  # Negative control: cells drawn alike, among other red cells.
  other = draw(((300, 240),), size=(640, 480), seed=2)
  pairs, same = found([views[0], other])
  assert {(one[0], another[0]) for one, another in pairs} == {(0, 1)}, 'they look alike'
  assert same == []


def test_a_cell_in_many_views_is_one():
  # Fives whose members are one another's four most similar ones: comparing these alone gives one cell for each five.
  groups, num = compared(20, lambda a, b: STILL)
  assert groups == [[(i, 0) for i in range(20)]]
  # 2 for each photograph, and one for each five that is joined to another.
  assert num == 40 + 3
  # Negative control: one cell for each five where no map leads from one to another, after at most 4 in vain each.
  groups, num = compared(20, lambda a, b: STILL if a // 5 == b // 5 else None)
  assert groups == [[(i, 0) for i in range(k, k + 5)] for k in range(0, 20, 5)]
  assert 40 < num <= 40 + 4 * 20


def test_photographs_without_a_common_cell_are_compared_with_four_each():
  for num in (20, 100):
    assert compared(num, lambda a, b: None) == ([], 2 * num)
    # A map that carries no cell into another joins nothing.
    assert compared(num, lambda a, b: STILL + 20) == ([], 2 * num)


def test_twelve_shifted_views_of_a_field_beside_another_field():
  slide = draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
  at = np.random.default_rng(3).integers(0, 41, (12, 2))
  views = [slide[y : y + 540, x : x + 820] for x, y in at]
  other = draw(((300, 240),), size=(820, 540), seed=2)
  assert found([*views, other])[1] == [[(i, j) for i in range(12)] for j in range(2)]


def test_a_chain_of_views_is_one_cell():
  box, moved = cell.Box(0, 0, 10, 10), cell.Box(20, 0, 30, 10)
  maps = {(0, 1): STILL + np.array([[0, 0, 20], [0, 0, 0]]), (1, 2): STILL}
  pairs = [((0, 0), (1, 0)), ((1, 0), (2, 0))]
  boxes = [[box], [moved], [moved]]
  assert repeats.same_cells(boxes, pairs, lambda a, b: maps[a, b]) == [[(0, 0), (1, 0), (2, 0)]]
  assert repeats.same_cells(boxes, pairs[:1], lambda a, b: STILL) == []


def test_a_photograph_that_has_gone_is_passed_over():
  there = repeats.described(draw(seed=1))
  assert repeats.registered(None, there) is None
  assert repeats.registered(there, None) is None
  assert repeats.registered(there, there) is not None
