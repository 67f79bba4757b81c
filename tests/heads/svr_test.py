"""Linear support vector regression: scikit-learn's objective, checked gradients, a proven gap."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util

from bloodcell_jax.base import types
from bloodcell_jax.heads import svr

SPEC = svr.Spec(0.1, 1.0)


@functools.cache
def problem(num: int = 240, num_features: int = 12):
  """Features like those behind a relu, +-1 targets of four classes that no plane parts, weights of the rows."""
  rng = np.random.default_rng(0)
  feature_ND = np.maximum(rng.normal(size=(num, num_features)), 0).astype(np.float32)
  score_NK = feature_ND @ rng.normal(size=(num_features, 4)) + 0.5 * rng.normal(size=(num, 4))
  target_NK = 2 * np.eye(4)[score_NK.argmax(1)] - 1
  return feature_ND, target_NK, rng.uniform(0.5, 2, num)


@functools.cache
def fitted(spec: svr.Spec = SPEC) -> svr.Linear:
  return svr.fit(*problem(), spec)


def objective(kernel_DK, bias_K, target_NK, weight_N, spec) -> np.ndarray:
  with jax.enable_x64(True):
    feature_ND = jnp.asarray(problem()[0], jnp.float64)
    return np.asarray(svr.objective(kernel_DK, bias_K, feature_ND, target_NK, weight_N, spec))


@pytest.mark.parametrize('spec', [SPEC, svr.Spec(0.5, 0.01), svr.Spec(0.0, 10.0)], ids=str)
def test_the_objective_is_that_of_libsvm_within_a_thousandth(spec):
  from sklearn import svm

  feature_ND, target_NK, weight_N = problem()
  ours = fitted(spec)
  for k, target_N in enumerate(target_NK.T):
    theirs = svm.SVR(kernel='linear', C=spec.cost, epsilon=spec.epsilon, tol=1e-4)
    theirs.fit(feature_ND.astype(np.float64), target_N, weight_N)
    least = objective(theirs.coef_.T, theirs.intercept_, target_N[:, None], weight_N, spec)[0]
    assert ours.objective_K[k] == pytest.approx(least, rel=1e-3)
    found = objective(ours.kernel_DK, ours.bias_K, target_NK, weight_N, spec)[k]
    assert ours.objective_K[k] == pytest.approx(found, rel=1e-9), (
      'the objective told is that of the weights given'
    )
    # The bound that is told holds against a solver of another kind.
    assert least >= ours.objective_K[k] * (1 - ours.gap_K[k]) - 1e-9
  assert (ours.gap_K <= svr.GAP).all()
  worse = objective(ours.kernel_DK + 0.1, ours.bias_K, target_NK, weight_N, spec)
  assert (worse > ours.objective_K * (1 + 1e-3)).all(), 'the tolerance sees other weights'


def test_the_objective_is_that_of_liblinear_within_a_thousandth():
  from sklearn import svm

  feature_ND, target_NK, weight_N = problem()
  # Its bias is held small as well, the less the larger its scale.
  theirs = svm.LinearSVR(epsilon=0.1, C=1.0, intercept_scaling=10, tol=1e-3, max_iter=200_000, random_state=0)
  theirs.fit(feature_ND.astype(np.float64), target_NK[:, 0], weight_N)
  least = objective(
    theirs.coef_[:, None], np.reshape(theirs.intercept_, 1), target_NK[:, :1], weight_N, SPEC
  )[0]
  assert fitted().objective_K[0] == pytest.approx(least, rel=1e-3)


def test_the_gradient_of_the_objective_equals_differences_of_it():
  feature_ND, target_NK, weight_N = problem()
  with jax.enable_x64(True):
    flat, unravel = flatten_util.ravel_pytree((fitted().kernel_DK + 0.01, fitted().bias_K))
    feature_ND = jnp.asarray(feature_ND, jnp.float64)

    def total(flat):
      return svr.objective(*unravel(flat), feature_ND, target_NK, weight_N, SPEC).sum()

    found, step = jax.jit(jax.grad(total))(flat), 1e-7
    moved = np.asarray(flat) + step * np.concatenate([np.eye(len(flat)), -np.eye(len(flat))])
    # One program for all of them.
    above, below = np.split(jax.jit(lambda each: jax.lax.map(total, each))(moved), 2)
    expected = (above - below) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    with pytest.raises(AssertionError):
      np.testing.assert_allclose(found * 1.001, expected, rtol=1e-5, atol=1e-4)


def test_the_loss_is_flat_within_epsilon_and_one_to_one_beyond():
  output_BK, target_BK = np.array([[0.95, -1.05], [0.8, 0.0], [3.0, -1.0]]), np.array([[1.0, -1.0]] * 3)
  np.testing.assert_allclose(svr.loss(output_BK, target_BK, 0.1), [0, 0.1 + 0.9, 1.9], atol=1e-6)
  slope = jax.grad(lambda output: svr.loss(output, target_BK, 0.1).sum())(jnp.asarray(output_BK))
  np.testing.assert_array_equal(slope, [[0, 0], [-1, 1], [1, 0]])


def test_the_loss_and_the_objective_are_the_same_errors():
  feature_ND, target_NK, weight_N = problem()
  ours = fitted()
  errors = weight_N @ np.asarray(svr.loss(feature_ND @ ours.kernel_DK + ours.bias_K, target_NK, 0.1))
  assert errors + (ours.kernel_DK**2).sum() / 2 == pytest.approx(ours.objective_K.sum(), rel=1e-4)


def test_a_fit_is_the_same_bits_again_and_follows_the_weights_of_rows():
  feature_ND, target_NK, weight_N = problem()
  again = svr.fit(feature_ND, target_NK, weight_N, SPEC)
  assert again.kernel_DK.tobytes() == fitted().kernel_DK.tobytes()
  twice = svr.fit(feature_ND, target_NK, np.where(np.arange(240) < 9, 2.0, 1.0), SPEC)
  rows = np.concatenate([np.arange(240), np.arange(9)])
  repeated = svr.fit(feature_ND[rows], target_NK[rows], np.ones(249), SPEC)
  np.testing.assert_allclose(twice.objective_K, repeated.objective_K, rtol=2 * svr.GAP)
  assert np.abs(twice.objective_K / fitted().objective_K - 1).max() > 1e-2, (
    'other weights are another problem'
  )


def test_the_largest_output_names_the_class():
  rng = np.random.default_rng(1)
  label_N = np.arange(80) % 4
  feature_ND = 3 * np.eye(6)[label_N] + 0.3 * rng.normal(size=(80, 6))
  found = svr.fit(feature_ND, 2 * np.eye(4)[label_N] - 1, np.ones(80), SPEC)
  assert ((feature_ND @ found.kernel_DK + found.bias_K).argmax(1) == label_N).all()
  shuffled = rng.permutation(label_N)
  assert ((feature_ND @ found.kernel_DK + found.bias_K).argmax(1) == shuffled).mean() < 0.6


def test_what_cannot_be_fitted_is_told_in_a_line():
  feature_ND, target_NK, weight_N = problem()
  broken = feature_ND.copy()
  broken[3, 2] = np.nan
  with pytest.raises(types.RunError, match='not finite'):
    svr.fit(broken, target_NK, weight_N, SPEC)
  for values in ({'epsilon': -0.1}, {'epsilon': 1.0}, {'cost': 0.0}, {'cost': float('inf')}):
    (key,) = values
    with pytest.raises(types.UserError, match=rf'svr\.{key}'):
      svr.Spec(**{'epsilon': 0.1, 'cost': 1.0, **values})
