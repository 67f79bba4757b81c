"""The error by number of members: subsets, and resamples of subsets and groups together."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from bloodcell_jax.ensembles import combination, curve

M, K, COPIES = 6, 3, 4
SPEC = curve.Spec(max_subsets=40, num_resamples=400, confidence=0.9)


def problem(seed, num_groups=60, shared=0.0):
  """Members whose errors are shared to some part; copies of a group are nearly alike."""
  generator = np.random.default_rng(seed)
  label_G = np.arange(num_groups) % K
  own_MGK = generator.normal(size=(M, num_groups, K))
  common_GK = generator.normal(size=(num_groups, K))
  logit_MGK = shared * common_GK[None] + (1 - shared) * own_MGK + 0.6 * np.eye(K)[label_G][None]
  logit_MNK = logit_MGK.repeat(COPIES, 1) + 0.1 * generator.normal(size=(M, num_groups * COPIES, K))
  group_N = np.repeat([f'g{g}' for g in range(num_groups)], COPIES)
  return combination.softmax(logit_MNK, np), label_G.repeat(COPIES), group_N


def test_the_error_is_the_mean_over_all_subsets():
  probs_MNK, label_N, group_N = problem(0)
  found = curve.over_subsets(probs_MNK, label_N, group_N, SPEC, seed=0)
  assert found.size_S.tolist() == [1, 2, 3, 4, 5, 6]
  assert found.num_subsets_S.tolist() == [math.comb(M, size) for size in range(1, M + 1)]
  for size in range(1, M + 1):
    errors = [
      (probs_MNK[list(members)].mean(0).argmax(1) != label_N).mean()
      for members in itertools.combinations(range(M), size)
    ]
    assert found.error_S[size - 1] == pytest.approx(np.mean(errors))
    assert found.subset_sd_S[size - 1] == pytest.approx(np.std(errors))
  assert found.error_S[-1] < found.error_S[0] - 0.05, 'independent members help'
  assert found.subset_sd_S[-1] == 0
  alike = curve.over_subsets(*problem(0, shared=1.0), SPEC, seed=0)
  assert abs(alike.error_S[-1] - alike.error_S[0]) < 0.03, 'members that err alike do not'


def test_bounds_enclose_the_error_and_the_interval_is_wider_than_the_subsets_alone():
  found = curve.over_subsets(*problem(1), SPEC, seed=0)
  assert (found.low_S <= found.error_S).all()
  assert (found.error_S <= found.high_S).all()
  assert (found.subset_low_S <= found.error_S).all()
  assert (found.error_S <= found.subset_high_S).all()
  width_S, alone_S = found.high_S - found.low_S, found.subset_high_S - found.subset_low_S
  assert (width_S > alone_S).all()
  assert width_S[-1] > 0.05, 'of all members there is one subset, but the groups are still drawn'


def test_the_interval_knows_that_copies_are_no_new_groups():
  probs_MNK, label_N, group_N = problem(2)
  found = curve.over_subsets(probs_MNK, label_N, group_N, SPEC, seed=0)
  # Negative control: were every image a group, the interval would be about half as wide (four copies).
  images = curve.over_subsets(probs_MNK, label_N, np.arange(len(label_N)), SPEC, seed=0)
  assert (found.high_S - found.low_S)[-1] > 1.5 * (images.high_S - images.low_S)[-1]
  np.testing.assert_allclose(found.error_S, images.error_S)


def test_the_interval_has_about_the_variance_of_subsets_and_groups_together():
  probs_MNK, label_N, group_N = problem(3)
  wide = dataclasses.replace(SPEC, num_resamples=4000)
  found = curve.over_subsets(probs_MNK, label_N, group_N, wide, seed=0)
  wrong_MG = (probs_MNK.argmax(2) != label_N).reshape(M, -1, COPIES).mean(2)
  variance = wrong_MG.mean(1).var() + wrong_MG.var(1).mean() / wrong_MG.shape[1]
  assert (found.high_S - found.low_S)[0] == pytest.approx(2 * 1.645 * np.sqrt(variance), rel=0.12)


def test_the_same_arguments_give_the_same_curve_whatever_the_order_of_rows():
  probs_MNK, label_N, group_N = problem(4)
  order = np.random.default_rng(0).permutation(len(label_N))
  first = curve.over_subsets(probs_MNK, label_N, group_N, SPEC, seed=1)
  again = curve.over_subsets(probs_MNK[:, order], label_N[order], group_N[order], SPEC, seed=1)
  other = curve.over_subsets(probs_MNK, label_N, group_N, SPEC, seed=2)
  for field in dataclasses.fields(curve.Curve):
    np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
  assert not np.array_equal(first.low_S, other.low_S)


def test_where_there_are_too_many_subsets_some_are_drawn():
  drawn = curve.subsets(12, 5, 40, seed=0)
  assert len(drawn) == 40
  assert all(len(set(members)) == 5 and members == sorted(members) for members in drawn)
  assert drawn == curve.subsets(12, 5, 40, seed=0) != curve.subsets(12, 5, 40, seed=1)
  assert len({tuple(members) for members in drawn}) > 30
  few = curve.over_subsets(*problem(0), dataclasses.replace(SPEC, max_subsets=5), seed=0)
  assert few.num_subsets_S.tolist() == [5, 5, 5, 5, 5, 1]


def test_in_order_each_point_is_one_ensemble():
  probs_MNK, label_N, group_N = problem(5)
  prefix_SNK = np.stack([probs_MNK[: m + 1].mean(0) for m in range(M)])
  found = curve.in_training_order(prefix_SNK, label_N, group_N, SPEC, seed=0)
  np.testing.assert_allclose(found.error_S, (prefix_SNK.argmax(2) != label_N).mean(1))
  np.testing.assert_array_equal(found.subset_low_S, found.error_S)
  assert (found.high_S > found.low_S).all()
  turned = curve.in_training_order(prefix_SNK[::-1], label_N, group_N, SPEC, seed=0)
  assert not np.array_equal(turned.error_S, found.error_S)
  whole = curve.over_subsets(probs_MNK, label_N, group_N, SPEC, seed=0)
  assert (whole.low_S[-1], whole.high_S[-1]) == (found.low_S[-1], found.high_S[-1]), (
    'the same groups are drawn'
  )


def test_a_wrong_spec_is_an_error_that_names_the_value():
  for change in ({'max_subsets': 0}, {'num_resamples': 0}, {'confidence': 1.0}):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=f'out of range.*{name}={value}'):
      dataclasses.replace(SPEC, **change)
