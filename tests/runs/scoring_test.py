"""What is said beside the figures of a split."""

import pytest

from bloodcell_jax.runs import scoring
from bloodcell_jax.stats import metrics


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


def scored(foreign):
  """The figures of a split that is the material of another laboratory, or is not."""
  folder = {'name': 'test', 'num_images': 9, 'foreign': foreign, 'distance': 5.0, 'limit': 3.0}
  about = {'num_images': 9, 'num': 9, 'kept': 0, 'reasons': {'stain': 9}, 'folders': [folder]}
  entry = {'value': 0.5, 'low': 0.4, 'high': 0.6}
  figures = {figure.name: entry for figure in metrics.headlines()}
  counts = {'confusion': [[1, 3], [0, 3]], 'class_names': ['A', 'B'], 'num_images': 9, 'num_groups': 9}
  return {**figures, **counts, 'unlike': about}


def test_a_split_that_is_another_laboratory_s_material_says_so_before_its_figures():
  foreign, home = (scoring.lines('test', scored(aspects)) for aspects in (['stain'], []))
  assert foreign[0].startswith(
    'test: looks like material of another laboratory, unlike the training images: stain'
  )
  # Negative control: a few unlike images of a split like the training are in the report alone.
  assert home == foreign[1:] == [scoring.line('test', scored([]))]
