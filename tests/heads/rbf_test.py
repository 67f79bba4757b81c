"""Neurons of radial basis functions: their layer's gradients, and where they begin."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util

from bloodcell_jax.base import types
from bloodcell_jax.heads import rbf
from bloodcell_jax.models import rbf as layer

RNG = np.random.default_rng(0)
MIDDLES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
BLOBS = np.repeat(MIDDLES, 20, 0) + RNG.normal(size=(60, 2))


def test_a_neuron_answers_one_at_its_centre_and_less_with_distance():
  centre_MD, log_width_M = np.array([[1.0, 2.0], [0.0, 0.0]]), np.log([0.5, 2.0])
  found = layer.activations(np.array([[1.0, 2.0], [0.0, 0.0]]), centre_MD, log_width_M)
  np.testing.assert_allclose(found, [[1, np.exp(-5 / 8)], [np.exp(-10), 1]], rtol=1e-5)


def test_the_layer_s_gradients_equal_differences():
  with jax.enable_x64(True):
    x_BD = jnp.asarray(RNG.normal(size=(4, 3)))
    module = layer.RBF(5, jnp.float64)
    params = module.init(jax.random.key(0), x_BD)['params']
    assert {name: leaf.shape for name, leaf in params.items()} == {'centre': (5, 3), 'log_width': (5,)}
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
    flat, unravel = flatten_util.ravel_pytree((params, x_BD))
    mix_M = jnp.arange(1.0, 6)

    def loss(flat):
      params, x_BD = unravel(flat)
      return jnp.square(module.apply({'params': params}, x_BD) @ mix_M).sum()

    found, step = jax.jit(jax.grad(loss))(flat), 1e-6
    moved = np.asarray(flat) + step * np.concatenate([np.eye(len(flat)), -np.eye(len(flat))])
    # One program for all of them.
    above, below = np.split(jax.jit(lambda each: jax.lax.map(loss, each))(moved), 2)
    expected = (above - below) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(unravel(found))), (
      'centres, widths and inputs'
    )
    with pytest.raises(AssertionError):
      np.testing.assert_allclose(found * 1.001, expected, rtol=1e-6, atol=1e-8)


def test_fresh_neurons_answer_to_features_of_relu_size():
  x_BD = np.abs(RNG.normal(size=(50, 100))).astype(np.float32)
  answers, _ = layer.RBF(20, jnp.float32).init_with_output(jax.random.key(0), x_BD)
  assert 0.05 < float(answers.min()) < float(answers.max()) < 1


def test_centres_are_the_means_of_what_is_nearest_to_them():
  found = rbf.centres(BLOBS, 3, 0)
  of_N = ((BLOBS[:, None] - found[None]) ** 2).sum(-1).argmin(1)
  for m in range(3):
    np.testing.assert_allclose(found[m], BLOBS[of_N == m].mean(0))
  nearest = np.abs(found[:, None] - MIDDLES[None]).max(-1).min(0)
  assert (nearest < 1).all(), 'each blob has its centre'
  assert found.tobytes() == rbf.centres(BLOBS, 3, 0).tobytes()
  assert not np.array_equal(found, rbf.centres(BLOBS, 3, 1)) or len({tuple(c) for c in found}) == 3


def test_more_centres_than_different_rows_is_an_error_that_names_the_key():
  with pytest.raises(types.UserError, match=r'model\.rbf_units is 4'):
    rbf.centres(np.repeat(MIDDLES, 5, 0), 4, 0)
  assert len(rbf.centres(np.repeat(MIDDLES, 5, 0), 3, 0)) == 3
  with pytest.raises(types.RunError, match='not finite'):
    rbf.centres(np.full((5, 2), np.nan), 2, 0)


def test_widths_are_distances_to_neighbours():
  np.testing.assert_allclose(rbf.widths(MIDDLES, BLOBS), [10, np.sqrt(150), np.sqrt(150)])
  np.testing.assert_allclose(rbf.widths(2 * MIDDLES, BLOBS), 2 * rbf.widths(MIDDLES, BLOBS))
  assert rbf.widths(MIDDLES[:1], BLOBS) == pytest.approx(np.sqrt((BLOBS**2).sum(1).mean()))


def test_the_dense_layer_is_weighted_least_squares():
  x_NM, weight_N = RNG.uniform(size=(40, 4)), RNG.uniform(0.5, 2, 40)
  exact = x_NM @ RNG.normal(size=(4, 3)) + 0.7
  kernel_MK, bias_K = rbf.outputs(x_NM, exact, weight_N)
  np.testing.assert_allclose(x_NM @ kernel_MK + bias_K, exact, atol=2e-3)
  noisy = exact + RNG.normal(size=exact.shape)
  kernel_MK, bias_K = rbf.outputs(x_NM, noisy, weight_N)
  root = np.sqrt(weight_N)[:, None]
  with_one = np.concatenate([x_NM, np.ones((40, 1))], 1)
  expected = np.linalg.lstsq(root * with_one, root * noisy, rcond=None)[0]
  np.testing.assert_allclose(np.vstack([kernel_MK, bias_K]), expected, atol=5e-3)
  plain = np.linalg.lstsq(with_one, noisy, rcond=None)[0]
  assert np.abs(np.vstack([kernel_MK, bias_K]) - plain).max() > 0.02, 'the weights are seen'
