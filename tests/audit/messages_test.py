"""The lines that an audit prints."""

from __future__ import annotations

import pathlib

import pytest

from bloodcell_jax.audit import messages

REPEATS = {'sets': 0, 'images': 0, 'sets_between_splits': 0, 'sets_of_several_labels': 0}


def summary(**changes):
  return {
    'images': 13,
    'counts': {'TRAIN': {'A': {'images': 10, 'groups': 6}}, 'TEST': {'A': {'images': 3, 'groups': 1}}},
    'equal_bytes': REPEATS,
    'equal_pixels': {'sets': 1, 'images': 2, 'sets_between_splits': 1, 'sets_of_several_labels': 0},
    'near_duplicates': {
      'images_in_them': 2, 'groups_of_several': 1, 'touching': 0, 'touching_between_splits': 0,
      'images_with_few_keypoints': 1,
    },
    'conflicting_labels': {'number': 0},
    'known_groups': None,
    'division': {'made': False, 'reason': 'class A has 1 group'},
    'subfolders': None,
    'file_names': {'the first number in the name': {'leaks': True, 'groups_parted': 1, 'groups_of_several': 1}},
    'colour_nearest_neighbour': {
      'random_80_20': 0.5, 'train_to_test': None, 'by_groups': None, 'largest_class': {'TRAIN': 1.0},
    },
    'note': '',
    'shared_images': {'TEST': {'images': 3, 'shared': 1}},
    'leak': True,
    'not_compared': {'images': 0, 'outside_sample': 0, 'few_keypoints': 0, 'left_out': 0, 'files': []},
    **changes,
  }  # fmt: skip


def lines(**changes) -> list[str]:
  return messages.lines(summary(**changes), pathlib.Path('audit'))


def test_a_rule_that_splits_groups_is_said_to_leak_and_one_that_does_not_is_not():
  assert any(
    line == 'grouping by the first number in the name would leak: it splits 1 of 1 group of near-duplicates'
    for line in lines()
  )
  rule = {'name': {'leaks': False, 'groups_parted': 0, 'groups_of_several': 4}}
  assert 'grouping by name would keep every group of near-duplicates together' in lines(file_names=rule)


def test_accuracies_that_cannot_be_measured_are_not_mentioned():
  (line,) = [line for line in lines() if line.startswith('accuracy from colour')]
  assert '50.00 % on a random fifth of TRAIN' in line
  assert 'on TEST' not in line
  n = {'random_80_20': None, 'train_to_test': 0.25, 'by_groups': None, 'largest_class': {}}
  (line,) = [text for text in lines(colour_nearest_neighbour=n) if text.startswith('accuracy from colour')]
  assert line.endswith('without morphology: 25.00 % on TEST')
  (line,) = [
    text
    for text in lines(colour_nearest_neighbour={**n, 'train_to_test': None})
    if text.startswith('accuracy from')
  ]
  assert line.endswith('too few images to measure it')


@pytest.mark.parametrize('leak', [True, False])
def test_the_last_line_says_whether_there_is_a_leak(leak):
  shared = {'TEST': {'images': 3, 'shared': int(leak)}}
  assert lines(leak=leak, shared_images=shared)[-1].startswith('LEAK: 1 of the 3 images of TEST') == leak


@pytest.mark.parametrize(
  ('few', 'left_out', 'says'),
  [
    (3, 0, 'NOT COMPARED: 3 images (3 with too few keypoints); a leak among them would not be found'),
    (0, 1, 'NOT COMPARED: 1 image (1 left out); a leak among them'),
    (2, 1, 'NOT COMPARED: 3 images (2 with too few keypoints, 1 left out)'),
  ],
)
def test_where_images_could_not_be_compared_the_last_line_never_says_that_there_is_no_leak(
  few, left_out, says
):
  n = {
    'images': few + left_out, 'outside_sample': 0, 'few_keypoints': few, 'left_out': left_out, 'files': ['A/1.png'],
  }  # fmt: skip
  last = lines(leak=False, shared_images={}, not_compared=n)[-1]
  assert last.startswith(says)
  assert 'no leak found' not in last
  assert lines(leak=False, shared_images={})[-1] == 'no leak found between splits'


def test_a_sample_is_named_in_the_last_line_with_what_else_was_not_compared():
  n = {'images': 6, 'outside_sample': 6, 'few_keypoints': 0, 'left_out': 0, 'files': []}
  assert lines(leak=False, shared_images={}, not_compared=n)[-1] == (
    'NOT COMPARED: 6 images (6 outside the sample); a leak among them would not be found: audit without --max_images'
  )
  both = {'images': 7, 'outside_sample': 6, 'few_keypoints': 1, 'left_out': 0, 'files': ['A/1.png']}
  last = lines(leak=False, shared_images={}, not_compared=both)[-1]
  assert '(6 outside the sample, 1 with too few keypoints)' in last
  assert last.endswith(
    'without --max_images, and look at the files that audit.json names under not_compared, such as A/1.png'
  )
  # A leak that the sample shows is the last line, whatever was not compared.
  assert lines(not_compared=n)[-1].startswith('LEAK: 1 of the 3 images of TEST')


def test_figures_are_named_where_there_are_any(tmp_path):
  def written() -> str:
    (line,) = [line for line in messages.lines(summary(), tmp_path) if line.startswith('written to')]
    return line

  (tmp_path / 'figures').mkdir()
  assert written().endswith('pairs.csv, groups.csv')
  (tmp_path / 'figures' / 'near_duplicates.png').touch()
  assert written().endswith('pairs.csv, groups.csv, figures')
