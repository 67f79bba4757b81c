"""The table of groups counts each image once and puts the weakest group first."""

import csv

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.storage import groups_csv

PROBS = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.6, 0.4], [0.45, 0.55]])
FOUND = types.Predictions(
  PROBS,
  np.array([0, 0, 0, 1, 1], np.int32),
  np.array(['x', 'x', 'x', 'y', 'y']),
  np.array(list('abcde')),
  ('A', 'B'),
)


def test_each_group_is_told_once_the_weakest_first():
  first, second = groups_csv.table(FOUND)
  assert (first.group, first.label, first.num_images, first.num_right) == ('y', 'B', 2, 1)
  assert (second.group, second.majority, second.share_right) == ('x', 'A', pytest.approx(2 / 3))
  # Where most images and the mean probability disagree, both are told.
  assert (first.mean_vote, first.majority) == ('A', 'A')
  assert first.label_probability == pytest.approx((0.4 + 0.55) / 2)
  assert sum(row.num_images for row in groups_csv.table(FOUND)) == len(FOUND)


def test_the_file_has_a_line_a_group(tmp_path):
  groups_csv.write(tmp_path / 'test.csv', groups_csv.table(FOUND))
  with open(tmp_path / 'test.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['group'] for row in rows] == ['y', 'x']
  assert rows[0]['share_right'] == '0.5000'
