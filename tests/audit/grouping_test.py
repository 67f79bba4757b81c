"""Groupings compared and united, and what colour and names make of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloodcell_jax.audit import colour_nn, file_names, grouping

GROUPINGS = st.integers(1, 12).flatmap(
  lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n).map(np.array)] * 2)
)


@settings(max_examples=60, deadline=None)
@given(GROUPINGS)
def test_agreement_counts_pairs_as_the_definition_does(both):
  a, b = both
  pairs = [(i, j) for i in range(len(a)) for j in range(i)]
  together = [{pair for pair in pairs if column[pair[0]] == column[pair[1]]} for column in (a, b)]
  common = len(together[0] & together[1])
  actual = grouping.agreement(a, b)
  assert actual.precision == pytest.approx(common / len(together[0]) if together[0] else 1)
  assert actual.recall == pytest.approx(common / len(together[1]) if together[1] else 1)


@settings(max_examples=60, deadline=None)
@given(GROUPINGS)
def test_united_parts_neither_grouping_and_joins_nothing_else(both):
  actual = grouping.united(*both)
  for column in both:
    assert grouping.with_several(column, actual) == []
  # Everything in one group is reached by steps within the two groupings.
  for group in np.unique(actual):
    rows = set(np.flatnonzero(actual == group).tolist())
    reached, waiting = set(), [min(rows)]
    while waiting:
      row = waiting.pop()
      reached.add(row)
      waiting += [
        i for column in both for i in np.flatnonzero(column == column[row]).tolist() if i not in reached
      ]
    assert reached == rows


def test_groups_with_several_values_are_told_and_the_others_not():
  group_N, label_N = np.array([5, 5, 2, 2, 2, 9]), np.array([0, 1, 3, 3, 3, 0])
  assert [rows.tolist() for rows in grouping.with_several(group_N, label_N)] == [[0, 1]]
  assert [rows.tolist() for rows in grouping.repeated(group_N)] == [[0, 1], [2, 3, 4]]


def test_the_nearest_colour_tells_colours_apart_and_knows_no_shape():
  generator = np.random.default_rng(0)
  reds = [np.clip(generator.normal((200, 60, 60), 20, (24, 24, 3)), 1, 255) for _ in range(10)]
  blues = [np.clip(generator.normal((60, 60, 200), 20, (24, 24, 3)), 1, 255) for _ in range(10)]
  images = [image.astype(np.uint8) for image in (*reds, *blues)]
  histogram_ND = np.stack([colour_nn.histogram(image) for image in images])
  label_N, fold_N = np.repeat([0, 1], 10), np.arange(20) % 5
  assert colour_nn.cross_validated(histogram_ND, label_N, fold_N) == 1
  assert colour_nn.cross_validated(histogram_ND, generator.permutation(label_N), fold_N) < 0.9
  # Pixels in another order, and black corners, change nothing.
  scattered = generator.permutation(images[0].reshape(-1, 3)).reshape(24, 24, 3)
  framed = np.pad(images[0], ((5, 5), (0, 0), (0, 0)))
  for image in (scattered, framed):
    np.testing.assert_allclose(colour_nn.histogram(image), histogram_ND[0], atol=1e-6)


def test_each_name_rule_reads_the_name_alone():
  files = np.array(['TRAIN/A/_12_2599.jpeg', 'TEST/B/_12_7.png', 'TRAIN/A/cell.png', 'TRAIN/9/x3y.png'])
  without_last, first = (file_names.keys(files, rule).tolist() for rule in file_names.RULES)
  assert without_last == ['_12_', '_12_', 'cell', 'xy']
  assert first == ['12', '12', 'cell', '3']
