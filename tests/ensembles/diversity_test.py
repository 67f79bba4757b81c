"""Diversity of members: each measure beside its definition, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from bloodcell_jax.ensembles import diversity

RNG = np.random.default_rng(0)
M, N, K = 5, 200, 3
LABEL_N = RNG.integers(K, size=N)
CALLED_MN = np.where(RNG.random((M, N)) < 0.6, LABEL_N, RNG.integers(K, size=(M, N)))
WEIGHT_N = RNG.uniform(0.5, 2, N)


def measured(called_MN, label_N, weight_N):
  return diversity.measure(np.eye(K)[np.asarray(called_MN)], np.asarray(label_N), np.asarray(weight_N))


def test_every_pair_is_measured_by_its_definition():
  found = measured(CALLED_MN, LABEL_N, WEIGHT_N)
  for i in range(M):
    for j in range(M):
      table = {(a, b): 0.0 for a in (True, False) for b in (True, False)}
      for n in range(N):
        table[bool(CALLED_MN[i, n] == LABEL_N[n]), bool(CALLED_MN[j, n] == LABEL_N[n])] += WEIGHT_N[n]
      n11, n00, n10, n01 = (
        table[key] / WEIGHT_N.sum() for key in ((True, True), (False, False), (True, False), (False, True))
      )
      assert found.disagreement_MM[i, j] == pytest.approx(n10 + n01)
      assert found.double_fault_MM[i, j] == pytest.approx(n00)
      assert found.q_MM[i, j] == pytest.approx((n11 * n00 - n01 * n10) / (n11 * n00 + n01 * n10))
      kappa = metrics.cohen_kappa_score(CALLED_MN[i], CALLED_MN[j], sample_weight=WEIGHT_N)
      assert found.kappa_MM[i, j] == pytest.approx(kappa)
  unweighted = measured(CALLED_MN, LABEL_N, np.ones(N))
  assert np.abs(unweighted.disagreement_MM - found.disagreement_MM).max() > 1e-3, 'the weights are seen'


def test_entropy_is_the_published_formula_and_reaches_its_ends():
  expected = 0.0
  for n in range(N):
    right = int((CALLED_MN[:, n] == LABEL_N[n]).sum())
    expected += min(right, M - right) / (M - math.ceil(M / 2)) / N
  assert measured(CALLED_MN, LABEL_N, np.ones(N)).entropy == pytest.approx(expected)
  assert measured([[0, 1], [0, 1]], [0, 0], [1, 1]).entropy == 0
  assert measured([[0, 1], [1, 0]], [0, 0], [1, 1]).entropy == 1


def test_means_are_over_pairs_and_leave_the_diagonal_out():
  found = measured(CALLED_MN, LABEL_N, WEIGHT_N)
  pairs = [(i, j) for i in range(M) for j in range(i)]
  for name, value in found.means().items():
    if name != 'entropy':
      matrix_MM = getattr(found, f'{name}_MM')
      assert value == pytest.approx(np.mean([matrix_MM[pair] for pair in pairs]))
      assert value != pytest.approx(matrix_MM.mean(), rel=1e-3), 'the diagonal would be seen'


def test_independent_errors_have_a_q_near_zero_and_shared_ones_near_one():
  called_MN = np.where(np.random.default_rng(1).random((2, 20_000)) < 0.7, 0, 1)
  assert abs(measured(called_MN, np.zeros(20_000, int), np.ones(20_000)).q_MM[0, 1]) < 0.06
  assert measured(called_MN[[0, 0]], np.zeros(20_000, int), np.ones(20_000)).q_MM[0, 1] == pytest.approx(1)


def test_what_is_undefined_is_nan_and_left_out_of_the_means():
  # Member 0 is always right; 1 and 2 err on one row each.
  called_MN = [[0, 0, 1, 1], [0, 0, 1, 0], [1, 0, 1, 1]]
  found = measured(called_MN, [0, 0, 1, 1], np.ones(4))
  assert np.isnan(found.q_MM[0]).all()
  assert found.q_MM[1, 2] == -1
  assert found.means()['q'] == -1
  assert not np.isnan(found.kappa_MM).any()
  same = measured([[1, 1, 1], [1, 1, 1]], [0, 1, 1], [0.1, 0.2, 0.4])
  assert np.isnan(same.kappa_MM).all()
  assert math.isnan(same.means()['kappa'])
  one = measured([[0, 1]], [0, 0], np.ones(2))
  assert math.isnan(one.entropy)
  assert all(math.isnan(value) for value in one.means().values())
