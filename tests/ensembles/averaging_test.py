"""Fitted weights and the greedy choice of members."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from bloodcell_jax.ensembles import averaging, combination

N, K = 120, 3


def problem(seed, skills):
  generator = np.random.default_rng(seed)
  label_N = generator.integers(K, size=N)
  logit_MNK = generator.normal(size=(len(skills), N, K)) + np.multiply.outer(skills, np.eye(K)[label_N])
  return combination.softmax(logit_MNK, np), label_N, generator.uniform(0.2, 1, N)


def loss(weight_M, probs_MNK, label_N, weight_N):
  """The weighted log loss that `fit_weights` minimises."""
  label_prob_MN = np.maximum(probs_MNK[:, np.arange(len(label_N)), label_N], combination.CLIP)
  return float(-(weight_N * np.log(weight_M @ label_prob_MN)).sum() / weight_N.sum())


@pytest.mark.parametrize('seed', range(5))
def test_fitted_weights_are_on_the_simplex_and_never_worse_than_the_best_member_or_the_mean(seed):
  probs_MNK, label_N, weight_N = problem(seed, [0.2, 1.0, 2.0, 1.5])
  weight_M = averaging.fit_weights(probs_MNK, label_N, weight_N)
  assert (weight_M >= 0).all()
  assert weight_M.sum() == pytest.approx(1)
  found = loss(weight_M, probs_MNK, label_N, weight_N)
  assert found <= min(loss(one, probs_MNK, label_N, weight_N) for one in np.eye(4)) + 1e-6
  assert found <= loss(np.full(4, 0.25), probs_MNK, label_N, weight_N)
  # Negative control: the same weights on the wrong members are worse.
  assert loss(weight_M[::-1], probs_MNK, label_N, weight_N) > found + 0.01


def test_fitted_weights_are_those_of_a_general_minimiser():
  probs_MNK, label_N, weight_N = problem(7, [0.5, 1.0, 1.2])
  weight_M = averaging.fit_weights(probs_MNK, label_N, weight_N)
  general = optimize.minimize(
    lambda logit_M: loss(combination.softmax(logit_M, np), probs_MNK, label_N, weight_N),
    np.zeros(3),
    tol=1e-12,
  )
  np.testing.assert_allclose(weight_M, combination.softmax(general.x, np), atol=1e-4)
  assert np.abs(weight_M - 1 / 3).max() > 0.05
  unweighted = averaging.fit_weights(probs_MNK, label_N, np.ones(N))
  assert np.abs(unweighted - weight_M).max() > 1e-3, 'the weights of rows are seen'


def test_no_round_raises_the_loss(monkeypatch):
  probs_MNK, label_N, weight_N = problem(3, [0.5, 1.0, 1.2])
  losses = []
  for rounds in range(8):
    monkeypatch.setattr(averaging, 'MOST_ROUNDS', rounds)
    losses.append(loss(averaging.fit_weights(probs_MNK, label_N, weight_N), probs_MNK, label_N, weight_N))
  assert (np.diff(losses) < 0).all()


def test_equal_members_share_and_a_lone_one_has_all():
  probs_MNK, label_N, weight_N = problem(0, [1.0])
  np.testing.assert_allclose(averaging.fit_weights(probs_MNK, label_N, weight_N), [1])
  np.testing.assert_allclose(averaging.fit_weights(probs_MNK[[0, 0]], label_N, weight_N), [0.5, 0.5])
  with pytest.raises(ValueError, match='above 0'):
    averaging.fit_weights(probs_MNK, label_N, np.zeros(N))


def test_greedy_keeps_what_does_not_lower_the_score_in_the_order_of_single_scores():
  asked = []

  def score(members):
    asked.append(members)
    value = {0: 0.7, 1: 0.9, 2: 0.8, 3: 0.8}
    return max(value[m] for m in members) - (0.1 if 2 in members and len(members) > 1 else 0)

  assert averaging.greedy(4, score) == (1, 3, 0)
  assert asked == [(0,), (1,), (2,), (3,), (1, 2), (1, 3), (1, 3, 0)]
  assert averaging.greedy(1, score) == (0,)
  with pytest.raises(ValueError, match='no member'):
    averaging.greedy(0, score)


def test_the_greedy_mean_is_no_worse_than_the_best_member():
  probs_MNK, label_N, _ = problem(1, [0.1, 1.5, 0.3, 1.4, 1.4])

  def score(members):
    return -loss(np.full(len(members), 1 / len(members)), probs_MNK[list(members)], label_N, np.ones(N))

  kept = averaging.greedy(5, score)
  assert score(kept) >= max(score((m,)) for m in range(5))
  assert score(kept) > score(tuple(range(5))), 'taking all is worse here'
