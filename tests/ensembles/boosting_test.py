"""Boosting: its weights, targets, ends and bound, beside scikit-learn and by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sklearn import base, datasets, ensemble, metrics, tree

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import boosting, combination

K = 3
SAMME = boosting.Spec('samme', 1.0)
SAMME_R = boosting.Spec('samme_r', 1.0)
GRADIENT = boosting.Spec('gradient', 0.5)
ALL = pytest.mark.parametrize('spec', [SAMME, SAMME_R, GRADIENT], ids=lambda spec: spec.kind)


def rows(seed, num_groups=40, most_copies=5):
  """Labels and groups: every group has one label and up to so many rows."""
  generator = np.random.default_rng(seed)
  copies = generator.integers(1, most_copies + 1, num_groups)
  return np.repeat(np.arange(num_groups) % K, copies), np.repeat(np.arange(num_groups).astype(str), copies)


def member(seed, label_N, skill):
  """Probabilities of a member that leans towards the label by `skill`."""
  logit_NK = np.random.default_rng(seed).normal(size=(len(label_N), K)) + skill * np.eye(K)[label_N]
  return combination.softmax(logit_NK, np)


def replayed(spec, members, label_N, group_N):
  states = [boosting.init(spec, label_N, group_N, K)]
  for probs_NK in members:
    states.append(boosting.observe(states[-1], probs_NK))
  return states


def test_samme_is_scikit_learn_s_where_every_row_is_its_own_group():
  x_ND, label_N = datasets.make_classification(
    200, n_features=6, n_informative=4, n_classes=K, flip_y=0.1, random_state=0
  )
  theirs = ensemble.AdaBoostClassifier(
    tree.DecisionTreeClassifier(max_depth=1), n_estimators=12, random_state=0
  )
  theirs.fit(x_ND, label_N)
  state, probs = boosting.init(SAMME, label_N, np.arange(200), K), []
  for stump in theirs.estimators_:
    weight_N, _ = boosting.assign(state)
    ours = base.clone(stump).fit(x_ND, label_N, sample_weight=weight_N / 200)
    probs.append(ours.predict_proba(x_ND))
    state = boosting.observe(state, probs[-1])
  np.testing.assert_allclose(state.alpha_M, theirs.estimator_weights_, rtol=1e-9)
  np.testing.assert_allclose(state.error_M, theirs.estimator_errors_, rtol=1e-9)
  for m, called_N in enumerate(theirs.staged_predict(x_ND), 1):
    found_NK = combination.apply(boosting.combine(state, m), np.stack(probs[:m]), np)
    np.testing.assert_array_equal(found_NK.argmax(1), called_N)
  assert len(set(np.round(state.alpha_M, 3))) > 5, 'the weights move'


def test_samme_r_is_algorithm_4_by_hand():
  label_N = np.arange(9) % K
  probs_NK = member(0, label_N, 1.0)
  state = replayed(SAMME_R, [probs_NK], label_N, np.arange(9))[-1]
  expected = []
  for n in range(9):
    y = [1 if k == label_N[n] else -1 / (K - 1) for k in range(K)]
    dot = sum(y[k] * math.log(probs_NK[n, k]) for k in range(K))
    expected.append(math.exp(-(K - 1) / K * dot))
  np.testing.assert_allclose(state.weight_U, np.array(expected) / sum(expected), rtol=1e-12)
  members = [member(m, label_N, 0.5) for m in range(4)]
  state = replayed(SAMME_R, members, label_N, np.arange(9))[-1]
  log_MNK = np.log(np.stack(members))
  score_NK = ((K - 1) * (log_MNK - log_MNK.mean(2, keepdims=True))).sum(0)
  found_NK = combination.apply(boosting.combine(state, 4), np.stack(members), np)
  np.testing.assert_array_equal(found_NK.argmax(1), score_NK.argmax(1))


@ALL
def test_weights_have_mean_one_and_are_equal_within_a_unit(spec):
  label_N, group_N = rows(0)
  first, *_, last = replayed(spec, [member(m, label_N, 0.6) for m in range(4)], label_N, group_N)
  for state in (first, last):
    weight_N, target_NK = boosting.assign(state)
    assert weight_N.mean() == pytest.approx(1)
    for unit in range(40):
      assert np.ptp(weight_N[state.unit_N == unit]) == 0
    np.testing.assert_allclose(target_NK.sum(1), 0 if spec.kind == 'gradient' else 1, atol=1e-12)
  moved = np.abs(boosting.assign(first)[0] - boosting.assign(last)[0]).max() > 0.1
  assert moved == (spec.kind != 'gradient')


def test_at_first_every_unit_weighs_the_same_however_many_copies_it_has():
  label_N, group_N = rows(1)
  weight_N, _ = boosting.assign(boosting.init(SAMME, label_N, group_N, K))
  total_G = [weight_N[group_N == group].sum() for group in np.unique(group_N)]
  np.testing.assert_allclose(total_G, len(label_N) / 40)
  assert np.ptp(weight_N) > 0.5, 'rows weigh differently'


def test_a_unit_is_a_group_and_a_label():
  probs_NK = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.3, 0.7]])
  mean_UK, label_U, unit_N = boosting.by_group(
    probs_NK, np.array([0, 0, 1, 1]), np.array(['b', 'b', 'b', 'a'])
  )
  np.testing.assert_allclose(mean_UK, [[0.3, 0.7], [0.7, 0.3], [0.1, 0.9]])
  assert (label_U.tolist(), unit_N.tolist()) == ([1, 0, 1], [1, 1, 2, 0])


@ALL
def test_a_killed_run_goes_on_by_observing_its_members_again(spec):
  label_N, group_N = rows(2)
  members = [member(m, label_N, 0.7) for m in range(5)]
  before = [probs_NK.copy() for probs_NK in members]
  whole = replayed(spec, members, label_N, group_N)[-1]
  again = replayed(spec, members[:3], label_N, group_N)[-1]
  for probs_NK in members[3:]:
    again = boosting.observe(again, probs_NK)
  for field in dataclasses.fields(boosting.State):
    np.testing.assert_array_equal(getattr(whole, field.name), getattr(again, field.name))
  np.testing.assert_array_equal(members, before)
  other = replayed(spec, members[::-1], label_N, group_N)[-1]
  assert other.alpha_M != whole.alpha_M or not np.array_equal(other.weight_U, whole.weight_U), 'order is seen'


def identity(state, members):
  """Mean over units of exp(sum of alpha x miss), and the product of Z as the errors have it."""
  total_U = np.zeros(len(state.label_U))
  for alpha, probs_NK in zip(state.alpha_M, members, strict=True):
    mean_UK, label_U, _ = boosting.by_group(probs_NK, state.label_N, state.unit_N)
    total_U += alpha * (mean_UK.argmax(1) != label_U)
  z_M = [(1 - err) + err * np.exp(alpha) for err, alpha in zip(state.error_M, state.alpha_M, strict=True)]
  return np.exp(total_U).mean(), np.prod(z_M)


@pytest.mark.parametrize('seed', range(20))
def test_the_bound_of_the_training_error_holds_on_random_members(seed):
  label_N, group_N = rows(seed)
  members = [member(100 * seed + m, label_N, 0.4 + seed / 40) for m in range(6)]
  state = boosting.init(SAMME, label_N, group_N, K)
  used = []
  for probs_NK in members:
    after = boosting.observe(state, probs_NK)
    used += [probs_NK] * (after.num_members - state.num_members)
    state = after
    assert state.unit_error <= state.bound + 1e-12
    if state.ended:
      break
  left, right = identity(state, used)
  assert left == pytest.approx(right, rel=1e-9)
  assert state.bound == pytest.approx(right * np.exp(-sum(state.alpha_M) / 2), rel=1e-9)


def test_a_broken_update_of_the_weights_violates_the_identity_behind_the_bound():
  label_N, group_N = rows(3)
  members = [member(m, label_N, 0.5) for m in range(4)]
  state = boosting.init(SAMME, label_N, group_N, K)
  for probs_NK in members:
    before = state
    state = boosting.observe(state, probs_NK)
    # Half of the step that algorithm 2 takes.
    root_U = np.sqrt(before.weight_U * state.weight_U)
    state = dataclasses.replace(state, weight_U=root_U / root_U.sum())
  left, right = identity(state, members)
  assert abs(left / right - 1) > 0.01


def test_for_two_classes_the_bound_is_the_classical_one():
  label_N, group_N = np.arange(40) % 2, np.arange(40)
  state = boosting.init(SAMME, label_N, group_N, 2)
  for m in range(3):
    right_N = np.random.default_rng(m).random(40) < 0.7
    state = boosting.observe(state, np.where(np.eye(2)[label_N] == right_N[:, None], 0.9, 0.1))
  classical = np.prod([2 * np.sqrt(error * (1 - error)) for error in state.error_M])
  assert state.num_members == 3
  assert state.bound == pytest.approx(classical, rel=1e-12)


def test_samme_ends_with_a_flawless_member_that_is_kept_and_a_useless_one_that_is_not():
  label_N, group_N = rows(4)
  first = member(0, label_N, 0.8)
  flawless = 0.1 + 0.7 * np.eye(K)[label_N]
  *_, state = replayed(SAMME, [first, flawless], label_N, group_N)
  assert (state.num_members, state.ended) == (2, 'member 2 makes no error on any group')
  assert state.alpha_M[1] == pytest.approx(np.log(2 * 40 - 1) + np.log(K - 1))
  useless = 0.1 + 0.7 * np.eye(K)[(label_N + 1) % K]
  *_, state = replayed(SAMME, [first, useless], label_N, group_N)
  assert state.num_members == 1
  assert 'no better than chance' in state.ended
  with pytest.raises(ValueError, match='has ended'):
    boosting.observe(state, first)
  *_, state = replayed(SAMME, [useless], label_N, group_N)
  with pytest.raises(types.UserError, match='first member cannot be boosted'):
    boosting.combine(state, 1)
  *_, state = replayed(SAMME, [first, member(1, label_N, 0.8)], label_N, group_N)
  assert not state.ended, 'ordinary members end nothing'
  *_, state = replayed(SAMME_R, [first, flawless], label_N, group_N)
  assert not state.ended, 'SAMME.R goes on'


def test_the_gradient_s_target_is_the_derivative_of_the_log_loss():
  label_N, group_N = rows(5)
  *_, state = replayed(GRADIENT, [member(0, label_N, 0.5)], label_N, group_N)
  _, target_NK = boosting.assign(state)

  def loss(logit_NK):
    return metrics.log_loss(label_N, combination.softmax(logit_NK, np), labels=range(K), normalize=False)

  for n, k in [(0, 0), (3, 1), (10, 2)]:
    moved = np.zeros_like(state.logit_NK)
    moved[n, k] = 1e-5
    slope = (loss(state.logit_NK + moved) - loss(state.logit_NK - moved)) / 2e-5
    assert target_NK[n, k] == pytest.approx(-slope, rel=1e-5)


def test_gradient_boosting_begins_at_the_prior_and_lowers_the_training_loss_at_the_best_step():
  label_N, group_N = rows(6)
  members = [member(m, label_N, 0.5) for m in range(4)]
  states = replayed(dataclasses.replace(GRADIENT, shrinkage=1.0), members, label_N, group_N)
  np.testing.assert_allclose(
    combination.softmax(states[0].logit_NK, np)[0], np.bincount(label_N) / len(label_N)
  )

  def loss(logit_NK):
    return metrics.log_loss(label_N, combination.softmax(logit_NK, np), labels=range(K))

  losses = [loss(state.logit_NK) for state in states]
  assert (np.diff(losses) < 0).all()
  for m, probs_NK in enumerate(members):
    best = losses[m + 1]
    for step in states[-1].alpha_M[m] * np.array([0.5, 0.9, 1.1, 2]):
      assert loss(states[m].logit_NK + step * np.log(probs_NK)) > best
  last = states[-1]
  found_NK = combination.apply(boosting.combine(last, 4), np.stack(members), np)
  np.testing.assert_allclose(found_NK, combination.softmax(last.logit_NK, np), rtol=1e-9)
  prefix_NK = combination.apply(boosting.combine(last, 2), np.stack(members[:2]), np)
  np.testing.assert_allclose(prefix_NK, combination.softmax(states[2].logit_NK, np), rtol=1e-9)
  half = replayed(GRADIENT, members[:1], label_N, group_N)[-1]
  assert half.alpha_M[0] == pytest.approx(0.5 * last.alpha_M[0])


def test_gradient_boosting_ends_where_the_loss_does_not_fall():
  label_N, group_N = rows(7)
  worse = member(0, (label_N + 1) % K, 3.0)
  *_, state = replayed(GRADIENT, [member(1, label_N, 1.0), worse], label_N, group_N)
  assert state.num_members == 1
  assert 'does not fall along member 2' in state.ended
  perfect = 1e-9 + np.eye(K)[label_N]
  *_, state = replayed(GRADIENT, [perfect / perfect.sum(1, keepdims=True)], label_N, group_N)
  assert 0 < state.alpha_M[0] <= boosting.LONGEST_STEP
  with pytest.raises(types.UserError, match='class 2 has no training image'):
    boosting.init(GRADIENT, np.array([0, 1]), np.array([0, 1]), K)


def test_early_stopping_takes_the_best_number_and_looks_no_further_than_its_patience():
  losses = [0.5, 0.4, 0.45, 0.41, 0.3, 0.35]
  assert [boosting.early_stop(losses, patience) for patience in (1, 2, 3)] == [2, 2, 5]
  assert boosting.early_stop([0.4], 1) == 1
  assert boosting.early_stop([0.4, 0.4], 5) == 1, 'equal losses take fewer members'


def test_a_wrong_spec_is_an_error_that_names_the_key():
  with pytest.raises(types.UserError, match=r'^ensemble\.method is .adaboost.; choose one of samme, samme_r'):
    boosting.Spec('adaboost', 1.0)
