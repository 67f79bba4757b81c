"""Features of another laboratory, shifted and scaled, are answered like those of the training."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.stats import feature_shift

RNG = np.random.default_rng(0)
LABEL_N = np.repeat([0, 1], [150, 50])
HOME_ND = RNG.normal(size=(200, 3)) + 4 * np.eye(2, 3)[LABEL_N]
KERNEL_DK = np.array([[1.0, -1], [-1, 1], [0, 0]])


def answers(embedding_ND, kernel_DK, bias_K):
  return (embedding_ND @ kernel_DK + bias_K).argmax(1)


def test_a_shifted_and_scaled_laboratory_gets_the_answers_of_home():
  bias_K = np.zeros(2)
  other_ND = HOME_ND * (3, 0.5, 1) + (20, -3, 5)
  home, other = (feature_shift.fit(x, np.zeros(200, int)) for x in (HOME_ND, other_ND))
  expected_N = answers(HOME_ND, KERNEL_DK, bias_K)
  aligned = feature_shift.aligned(KERNEL_DK, bias_K, home, other)
  assert (answers(other_ND, *aligned) == expected_N).mean() > 0.95
  # Without, all cells are of one class.
  assert len(set(answers(other_ND, KERNEL_DK, bias_K))) == 1
  # A laboratory aligned with itself keeps its layer.
  same = feature_shift.aligned(KERNEL_DK, bias_K, home, home)
  np.testing.assert_allclose(same[0], KERNEL_DK)
  np.testing.assert_allclose(same[1], bias_K, atol=1e-12)


def test_classes_count_alike_and_a_constant_feature_stays_finite():
  embedding_ND = np.array([[0.0, 7], [0, 7], [0, 7], [4, 7]])
  moments = feature_shift.fit(embedding_ND, np.array([0, 0, 0, 1]))
  assert moments.mean_D == pytest.approx([2, 7])
  assert (moments.spread_D > 0).all()
  assert feature_shift.fit(embedding_ND, np.zeros(4, int)).mean_D == pytest.approx([1, 7])
