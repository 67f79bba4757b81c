"""What is said beside the figures of a split."""

import pytest

from bloodcell_jax.runs import scoring


@pytest.mark.parametrize(
  ('confusion', 'is_warned'),
  [
    ([[0, 4], [0, 3]], True),
    ([[0, 4], [0, 0]], False),  # a folder of one class, all of it wrong
    ([[0, 0], [0, 9]], False),  # all of it right
    ([[1, 3], [0, 3]], False),
  ],
)
def test_a_network_has_learned_nothing_where_images_of_several_classes_get_one_answer(confusion, is_warned):
  figures = {'confusion': confusion, 'class_names': ['A', 'B']}
  line = scoring.warning('test', figures)
  assert bool(line) == is_warned
  assert ('every image is predicted as B' in line) == is_warned
