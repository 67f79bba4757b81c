"""Ranks within groups, laboratories of enough groups, and weights under which each counts alike."""

import numpy as np
import pytest

from bloodcell_jax.base import groups


def sizes(*num_groups):
  laboratory_N = np.repeat(np.arange(len(num_groups)), num_groups)
  parts = groups.of_laboratories(laboratory_N, np.arange(len(laboratory_N)).astype(str))
  assert (np.sum(parts, 0) == 1).all(), 'every row is in one of them'
  return sorted(int(part.sum()) for part in parts)


def test_laboratories_with_few_groups_count_as_one():
  assert sizes(12, 30) == [12, 30]
  assert sizes(30, 4, 12) == [16, 30], 'too few groups join the smallest that has enough'
  assert sizes(30, 6, 7) == [13, 30], 'two of them are enough together'
  assert sizes(3, 4) == [7]
  assert sizes(5) == [5]


@pytest.mark.parametrize('num', [0, 1, 200])
def test_a_rank_is_the_number_of_rows_of_the_group_before(num):
  group_N = np.random.default_rng(0).integers(20, size=num).astype(str)
  assert groups.ranks(group_N).tolist() == [int((group_N[:i] == group_N[i]).sum()) for i in range(num)]


def test_every_laboratory_has_the_same_weight_and_every_group_within_it():
  laboratory_N = np.repeat([0, 1], [40, 20])
  group_N = np.concatenate([np.repeat(np.arange(10), [31, *[1] * 9]), 100 + np.arange(20)])
  weight_N = groups.equal_laboratories(laboratory_N, group_N)
  assert weight_N[laboratory_N == 0].sum() == pytest.approx(1)
  assert weight_N[laboratory_N == 1].sum() == pytest.approx(1)
  assert weight_N[group_N == 0].sum() == pytest.approx(0.1)
  # Negative control: without laboratories the larger one has more.
  plain_N = groups.equal_weights(group_N, 2.0)
  assert plain_N[laboratory_N == 1].sum() > 1.2
