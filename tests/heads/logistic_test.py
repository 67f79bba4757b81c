"""A logistic output layer: scikit-learn's minimum from zero, and drawn to the layer before."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import linear_model

from bloodcell_jax.base import types
from bloodcell_jax.heads import logistic

RNG = np.random.default_rng(0)
LABEL_N = RNG.integers(0, 3, 60)
FEATURE_ND = (RNG.normal(size=(60, 5)) + 2 * np.eye(3, 5)[LABEL_N] + 3).astype(np.float32)
WEIGHT_N = RNG.uniform(0.5, 2, 60)
ZERO = logistic.Linear(np.zeros((5, 3)), np.zeros(3))


def test_from_zero_it_is_the_minimum_that_scikit_learn_finds():
  strength = 0.01
  layer = logistic.fit(FEATURE_ND, LABEL_N, WEIGHT_N, ZERO, strength)
  share_N = WEIGHT_N / WEIGHT_N.sum()
  centred_ND = FEATURE_ND - share_N @ FEATURE_ND
  input_ND = centred_ND / np.sqrt(share_N @ np.square(centred_ND).sum(1))
  other = linear_model.LogisticRegression(C=1 / strength, tol=1e-8, max_iter=10_000)
  other.fit(input_ND, LABEL_N, sample_weight=share_N)
  np.testing.assert_allclose(layer.probabilities(FEATURE_ND), other.predict_proba(input_ND), atol=2e-3)
  # Negative control: another strength gives other probabilities.
  weaker = logistic.fit(FEATURE_ND, LABEL_N, WEIGHT_N, ZERO, strength / 100)
  assert np.abs(weaker.probabilities(FEATURE_ND) - other.predict_proba(input_ND)).max() > 0.05


def test_a_strong_pull_keeps_the_kernel_of_before_and_a_weak_one_does_not():
  before = logistic.Linear(RNG.normal(size=(5, 3)), RNG.normal(size=3))
  kept = logistic.fit(FEATURE_ND, LABEL_N, WEIGHT_N, before, 1e6)
  np.testing.assert_allclose(kept.kernel_DK, before.kernel_DK, atol=1e-4)
  moved = logistic.fit(FEATURE_ND, LABEL_N, WEIGHT_N, before, 1e-3)
  assert np.abs(moved.kernel_DK - before.kernel_DK).max() > 0.5


def test_only_ratios_of_weights_matter_and_the_same_arguments_give_the_same_bits():
  layers = [logistic.fit(FEATURE_ND, LABEL_N, w * WEIGHT_N, ZERO, 0.01) for w in (1, 1, 8)]
  assert layers[0].kernel_DK.tobytes() == layers[1].kernel_DK.tobytes()
  np.testing.assert_allclose(layers[0].kernel_DK, layers[2].kernel_DK, atol=1e-6)


def test_a_feature_that_is_not_finite_is_refused():
  broken_ND = FEATURE_ND.copy()
  broken_ND[3, 1] = np.inf
  with pytest.raises(types.RunError, match='not finite'):
    logistic.fit(broken_ND, LABEL_N, WEIGHT_N, ZERO, 0.01)


def test_alone_classes_count_alike_and_no_feature_outweighs_another():
  label_N = np.repeat([0, 1, 2], [40, 15, 5])
  feature_ND = RNG.normal(size=(60, 5)) + 2 * np.eye(3, 5)[label_N] + 3
  layer = logistic.fit_alone(feature_ND, label_N, np.ones(60), 3)
  probs_NK = layer.probabilities(feature_ND)
  assert (probs_NK.argmax(1) == label_N).mean() > 0.8
  # In other units, and with every image of the first class twice, it says the same.
  twice = np.r_[np.arange(60), np.flatnonzero(label_N == 0)]
  units = np.array([3, 1, 2, 1, 1])
  other = logistic.fit_alone(50 * feature_ND[twice], label_N[twice], np.ones(100), 3)
  np.testing.assert_allclose(other.probabilities(50 * feature_ND), probs_NK, atol=2e-3)
  near = logistic.fit_alone(units * feature_ND, label_N, np.ones(60), 3).probabilities(units * feature_ND)
  plain, scaled = (
    logistic.fit(x, label_N, np.ones(60), ZERO, 3e-3) for x in (feature_ND, units * feature_ND)
  )
  far = np.abs(plain.probabilities(feature_ND) - scaled.probabilities(units * feature_ND)).max()
  assert np.abs(near - probs_NK).max() < far / 2


def test_moments_keep_a_constant_feature_finite():
  mean_D, spread_D = logistic.moments(np.array([[1.0, 0], [3, 0]]), np.array([0.5, 0.5]))
  assert mean_D.tolist() == [2, 0]
  assert spread_D == pytest.approx([1.05, 0.05])
