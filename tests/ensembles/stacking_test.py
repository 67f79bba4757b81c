"""Stacked meta-learners: what they store, what they learn, and that groups stay whole."""

from __future__ import annotations

import numpy as np
import pytest
import threadpoolctl
from sklearn import metrics

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import combination, method, stacking

KINDS = pytest.mark.parametrize('kind', method.STACKED)


def problem(seed, num_classes=3, num_groups=60, copies=3):
  """Member 0 tells class 0 from the others, member 1 the others, member 2 knows nothing and is sure of it."""
  generator = np.random.default_rng(seed)
  label_G = np.arange(num_groups) % num_classes
  label_N, group_N = np.repeat(label_G, copies), np.repeat(np.arange(num_groups).astype(str), copies)
  logit_MNK = generator.normal(size=(3, len(label_N), num_classes))
  one_hot_NK = np.eye(num_classes)[label_N]
  logit_MNK[0, :, 0] += 3 * one_hot_NK[:, 0] - 1.5
  logit_MNK[1, :, 1:] += 3 * one_hot_NK[:, 1:]
  logit_MNK[2] *= 4
  return combination.softmax(logit_MNK, np), label_N, group_N


@pytest.fixture(autouse=True, scope='module')
def _one_thread():
  with threadpoolctl.threadpool_limits(1):
    yield


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch):
  monkeypatch.setattr(stacking, 'MOST_TREES', 25)
  monkeypatch.setattr(stacking, 'MOST_STEPS', 120)


@KINDS
def test_a_meta_learner_is_better_on_new_groups_than_the_mean_of_all_members(kind):
  one = stacking.fit(kind, *problem(0), seed=0)
  assert one.kind == kind
  probs_MNK, label_N, _ = problem(1)
  found = metrics.log_loss(label_N, combination.apply(one, probs_MNK, np))
  mean = metrics.log_loss(label_N, combination.apply(combination.mean(3), probs_MNK, np))
  assert found < 0.8 * mean
  # Negative control: fitted on shuffled labels it knows nothing.
  fitted_on, labels, group_N = problem(0)
  shuffled = np.repeat(np.random.default_rng(0).permutation(labels[::3]), 3)
  nothing = combination.apply(stacking.fit(kind, fitted_on, shuffled, group_N, seed=0), probs_MNK, np)
  assert metrics.log_loss(label_N, nothing) > 1.0


@KINDS
@pytest.mark.parametrize('num_classes', [2, 3])
def test_the_same_arguments_give_the_same_arrays_and_they_survive_the_disk(kind, num_classes, tmp_path):
  data = problem(2, num_classes)
  one, again = (stacking.fit(kind, *data, seed=3) for _ in range(2))
  for name, array in one.arrays.items():
    np.testing.assert_array_equal(array, again.arrays[name])
  combination.write(tmp_path / 'meta.npz', one)
  found_NK = combination.apply(combination.read(tmp_path / 'meta.npz'), data[0], np)
  np.testing.assert_array_equal(found_NK, combination.apply(one, data[0], np))
  np.testing.assert_allclose(found_NK.sum(1), 1)
  assert found_NK.shape[1] == num_classes


@pytest.mark.parametrize('num_classes', [2, 3])
def test_trees_as_arrays_answer_as_scikit_learn_does(num_classes):
  probs_MNK, label_N, group_N = problem(4, num_classes)
  feature_ND = combination.meta_features(probs_MNK, np)
  model = stacking.make_booster(20, 0).fit(feature_ND, label_N, stacking.row_weights(label_N, group_N))
  one = stacking.from_trees(model)
  # Its own training rows, and new ones; and float32 values that lie on the thresholds themselves.
  for probs in (probs_MNK, problem(5, num_classes)[0]):
    expected = model.predict_proba(combination.meta_features(probs, np))
    np.testing.assert_allclose(combination.apply(one, probs, np), expected, atol=1e-6)
  fewer = stacking.from_trees(
    stacking.make_booster(19, 0).fit(feature_ND, label_N, stacking.row_weights(label_N, group_N))
  )
  assert np.abs(combination.apply(fewer, probs_MNK, np) - model.predict_proba(feature_ND)).max() > 1e-4


@pytest.mark.parametrize('num_classes', [2, 3])
def test_the_logistic_one_is_scikit_learn_s_at_one_of_the_costs(num_classes):
  probs_MNK, label_N, group_N = problem(6, num_classes)
  feature_ND = combination.meta_features(probs_MNK, np)
  found = combination.apply(stacking.fit('logistic', probs_MNK, label_N, group_N, seed=0), probs_MNK, np)
  theirs = [
    stacking.make_regression(cost)
    .fit(feature_ND, label_N, stacking.row_weights(label_N, group_N))
    .predict_proba(feature_ND)
    for cost in stacking.COSTS
  ]
  apart = [np.abs(found - probs_NK).max() for probs_NK in theirs]
  assert min(apart) < 1e-9
  assert sorted(apart)[1] > 1e-4, 'the cost is seen'


def test_copies_of_an_image_weigh_together_as_one():
  probs_MNK, label_N, group_N = problem(7, copies=1)
  times = np.where(np.arange(60) < 10, 8, 2)
  copied = (probs_MNK.repeat(times, 1), label_N.repeat(times), group_N.repeat(times))
  weight = stacking.row_weights(*copied[1:])
  each_N = np.add.reduceat(weight, np.cumsum(times) - times)
  for k in np.unique(label_N):
    assert np.ptp(each_N[label_N == k]) < 1e-9, 'every group of a class weighs the same'
    assert each_N[label_N == k].sum() == pytest.approx(times[label_N == k].sum()), (
      'classes weigh as their images'
    )
  found = combination.apply(stacking.fit('logistic', *copied, seed=0), probs_MNK, np)
  feature_ND = combination.meta_features(probs_MNK, np)
  # The folds may differ: what is compared is the last fit, at whichever cost.
  plain = [stacking.make_regression(cost).fit(feature_ND, label_N, each_N) for cost in stacking.COSTS]
  assert min(np.abs(found - one.predict_proba(feature_ND)).max() for one in plain) < 1e-4
  # Negative control: where every copy counts, no cost gives that.
  counted = stacking.make_regression(1.0).fit(feature_ND.repeat(times, 0), label_N.repeat(times))
  found = counted.predict_proba(feature_ND)
  assert min(np.abs(found - one.predict_proba(feature_ND)).max() for one in plain) > 0.02


def test_a_class_without_groups_is_an_error():
  probs_MNK, label_N, group_N = problem(8)
  for wanted, kept in (('0 groups', label_N != 2), ('1 groups', (label_N != 2) | (group_N == group_N[-1]))):
    with pytest.raises(types.UserError, match=f'class 2 has images of {wanted}'):
      stacking.fit('logistic', probs_MNK[:, kept], label_N[kept], group_N[kept], seed=0)
  with pytest.raises(types.UserError, match=r'^ensemble\.combine is .forest.; choose one of logistic'):
    stacking.fit('forest', probs_MNK, label_N, group_N, seed=0)


def test_folds_never_part_a_group(monkeypatch):
  seen = []
  best = stacking._best

  def watched(tried, label_N, weight_N, fold_N):
    seen.append(fold_N)
    return best(tried, label_N, weight_N, fold_N)

  monkeypatch.setattr(stacking, '_best', watched)
  probs_MNK, label_N, group_N = problem(9)
  stacking.fit('logistic', probs_MNK, label_N, group_N, seed=0)
  (fold_N,) = seen
  assert len(np.unique(fold_N)) == stacking.MOST_FOLDS
  assert all(len(np.unique(fold_N[group_N == group])) == 1 for group in group_N)


def test_the_network_s_columns_are_standardized_without_the_rows_that_are_held_out(monkeypatch):
  seen, train = [], stacking._train

  def watched(first, x_ND, one_hot_NK, weight_N, num_steps):
    seen.append((x_ND, weight_N))
    return train(first, x_ND, one_hot_NK, weight_N, num_steps)

  monkeypatch.setattr(stacking, '_train', watched)
  monkeypatch.setattr(stacking, 'MOST_STEPS', 2)
  stacking.fit('mlp', *problem(10), seed=0)
  assert [bool(weight_N.all()) for _, weight_N in seen] == [False] * stacking.MOST_FOLDS + [True]
  for x_ND, weight_N in seen:
    np.testing.assert_allclose(np.average(x_ND, 0, weight_N), 0, atol=1e-5)
    np.testing.assert_allclose(np.average(x_ND.astype(float) ** 2, 0, weight_N), 1, atol=1e-5)
