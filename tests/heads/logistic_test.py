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


def test_a_new_layer_is_the_minimum_of_scikit_learn_on_standardized_features():
  strength = 0.01
  layer = logistic.fit_new(FEATURE_ND, LABEL_N, WEIGHT_N, 3, logistic.Spec(strength, 0.0))
  share_N = WEIGHT_N / WEIGHT_N.sum()
  centred_ND = FEATURE_ND - share_N @ FEATURE_ND
  # The mean square norm of standardized features is their number.
  input_ND = centred_ND / np.sqrt(share_N @ np.square(centred_ND)) / np.sqrt(FEATURE_ND.shape[1])
  other = linear_model.LogisticRegression(C=1 / strength, tol=1e-8, max_iter=10_000)
  other.fit(input_ND, LABEL_N, sample_weight=share_N)
  np.testing.assert_allclose(layer.probabilities(FEATURE_ND), other.predict_proba(input_ND), atol=2e-3)


def test_a_new_layer_hears_a_small_feature_as_well_as_a_large_one():
  factor_D = np.array([1e-4, 1e3, 1, 10, 0.1])
  spec = logistic.Spec(0.01, 0.0)
  before = logistic.fit_new(FEATURE_ND, LABEL_N, WEIGHT_N, 3, spec).probabilities(FEATURE_ND)
  scaled_ND = FEATURE_ND * factor_D
  after = logistic.fit_new(scaled_ND, LABEL_N, WEIGHT_N, 3, spec).probabilities(scaled_ND)
  np.testing.assert_allclose(after, before, atol=1e-6)
  # Negative control: without the standardization the large one drowns the others.
  drowned = logistic.fit(scaled_ND, LABEL_N, WEIGHT_N, ZERO, spec.strength).probabilities(scaled_ND)
  assert np.abs(drowned - before).max() > 0.1


def test_a_feature_that_never_changes_is_left_alone_and_a_strength_of_0_is_refused():
  constant_ND = np.concatenate([FEATURE_ND, np.full((60, 1), 7.0)], 1)
  layer = logistic.fit_new(constant_ND, LABEL_N, WEIGHT_N, 3, logistic.Spec(0.01, 0.0))
  assert not layer.kernel_DK[5].any()
  assert layer.kernel_DK[:5].any()
  with pytest.raises(types.UserError, match=r'logistic\.strength is 0; it must be above 0'):
    logistic.Spec(0, 0.0)


def test_with_a_least_spread_a_feature_that_hardly_varies_counts_for_less():
  feature_ND = np.stack([FEATURE_ND[:, 0], 1e-3 * FEATURE_ND[:, 1]], 1)
  swings = [
    np.ptp(
      feature_ND @ np.diag([0, 1.0]) @ logistic.fit_new(feature_ND, LABEL_N, WEIGHT_N, 3, spec).kernel_DK
    )
    for spec in (logistic.Spec(0.01, 0.0), logistic.Spec(0.01, 0.1))
  ]
  assert swings[1] < 0.1 * swings[0]
  with pytest.raises(types.UserError, match='least_spread is -1'):
    logistic.Spec(0.01, -1.0)
