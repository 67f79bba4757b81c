"""The kernel form: approximations against the kernel itself, and scikit-learn's regression."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from benchmarks import kernel_svr
from bloodcell_jax.base import types
from bloodcell_jax.heads import svr

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(60, 5))
TARGETS = 2 * np.eye(3)[np.arange(60) % 3] - 1
GAMMA = 0.2


@pytest.fixture(autouse=True)
def _double():
  with jax.enable_x64(True):
    yield


def gaussian(gamma: float) -> np.ndarray:
  return np.exp(-gamma * ((FEATURES[:, None] - FEATURES[None]) ** 2).sum(-1))


def test_the_kernel_is_the_gaussian():
  np.testing.assert_allclose(kernel_svr.gaussian(FEATURES, FEATURES, GAMMA), gaussian(GAMMA), atol=1e-12)


def test_random_waves_come_nearer_to_the_kernel_the_more_there_are():
  errors = []
  for num in (100, 10_000):
    mapped = np.asarray(kernel_svr.fourier(5, num, GAMMA, 0)(FEATURES))
    assert mapped.shape == (60, num)
    errors.append(np.abs(mapped @ mapped.T - gaussian(GAMMA)).max())
  assert errors[1] < 0.06 < errors[0]
  assert np.abs(mapped @ mapped.T - gaussian(2 * GAMMA)).max() > 0.15, 'another gamma is seen'


def test_all_rows_as_landmarks_give_the_kernel_itself_and_some_nearly():
  whole = np.asarray(kernel_svr.nystroem(FEATURES, 60, GAMMA, 0)(FEATURES))
  np.testing.assert_allclose(whole @ whole.T, gaussian(GAMMA), atol=1e-7)
  some = np.asarray(kernel_svr.nystroem(FEATURES, 30, GAMMA, 0)(FEATURES))
  assert 1e-3 < np.abs(some @ some.T - gaussian(GAMMA)).max() < 0.7


def test_copies_of_a_row_do_no_harm():
  copies = np.concatenate([FEATURES, FEATURES])
  mapped = np.asarray(kernel_svr.nystroem(copies, 120, GAMMA, 0)(FEATURES))
  assert np.isfinite(mapped).all()
  np.testing.assert_allclose(mapped @ mapped.T, gaussian(GAMMA), atol=1e-6)


def test_the_regression_on_all_landmarks_is_that_with_the_exact_kernel():
  spec, ones = svr.Spec(0.1, 1.0), np.ones(60)
  mapped = np.asarray(kernel_svr.nystroem(FEATURES, 60, GAMMA, 0)(FEATURES))
  linear = svr.fit(mapped, TARGETS, ones, spec)
  outputs = mapped @ linear.kernel_DK + linear.bias_K
  exact = kernel_svr.exact(FEATURES, TARGETS, ones, spec, 'rbf', GAMMA)(FEATURES)
  # The objective is flat near its least, so that outputs differ by more than it does.
  np.testing.assert_allclose(outputs, exact, atol=0.05)
  other = kernel_svr.exact(FEATURES, TARGETS, ones, spec, 'rbf', 3 * GAMMA)(FEATURES)
  assert np.abs(outputs - other).max() > 0.3


def test_the_exact_linear_form_is_the_linear_fit():
  spec, weight_N = svr.Spec(0.1, 0.5), RNG.uniform(0.5, 2, 60)
  linear = svr.fit(FEATURES, TARGETS, weight_N, spec)
  exact = kernel_svr.exact(FEATURES, TARGETS, weight_N, spec, 'linear', GAMMA)(FEATURES)
  np.testing.assert_allclose(FEATURES @ linear.kernel_DK + linear.bias_K, exact, atol=0.05)
  with pytest.raises(ValueError, match='linear, rbf'):
    kernel_svr.exact(FEATURES, TARGETS, weight_N, spec, 'poly', GAMMA)


def test_gamma_follows_the_size_of_the_features():
  assert kernel_svr.gamma_scale(FEATURES) == pytest.approx(1 / (5 * FEATURES.var()))
  assert kernel_svr.gamma_scale(10 * FEATURES) == pytest.approx(kernel_svr.gamma_scale(FEATURES) / 100)
  with pytest.raises(types.RunError, match='equal'):
    kernel_svr.gamma_scale(np.ones((4, 3)))
