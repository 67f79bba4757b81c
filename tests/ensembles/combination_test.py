"""Members become one answer: what each rule is, in NumPy and in JAX, and on disk."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import combination

RNG = np.random.default_rng(0)
M, N, K, H = 3, 50, 4, 5
PROBS_MNK = RNG.dirichlet(np.full(K, 0.4), size=(M, N))
# One tree a class in two rounds: node 0 asks, 1 and 2 are leaves; those of the second round ask once more.
LEFT_TKP = np.stack([np.tile([1, 1, 2, 3, 4], (K, 1)), np.tile([1, 3, 2, 3, 4], (K, 1))]).astype(np.int32)
RIGHT_TKP = np.stack([np.tile([2, 1, 2, 3, 4], (K, 1)), np.tile([2, 4, 2, 3, 4], (K, 1))]).astype(np.int32)
COMBINATIONS = {
  'mean': combination.mean(M),
  'linear': combination.weighted(np.array([3.0, 0, 1])),
  'geometric': combination.geometric(M, K),
  'log_linear': combination.log_linear(np.array([1.0, -0.5, 2]), np.array([0.1, 0, -2, 1])),
  'vote': combination.vote(np.array([1.0, 2, 0.5])),
  'logistic': combination.Combination(
    'logistic', {'kernel_DK': RNG.normal(size=(M * K, K)), 'bias_K': RNG.normal(size=K)}
  ),
  'gradient_boosting': combination.Combination(
    'gradient_boosting',
    {
      'bias_K': RNG.normal(size=K),
      'feature_TKP': RNG.integers(M * K, size=(2, K, 5)).astype(np.int32),
      'threshold_TKP': RNG.uniform(-4, 0, size=(2, K, 5)).astype(np.float32),
      'left_TKP': LEFT_TKP,
      'right_TKP': RIGHT_TKP,
      'value_TKP': RNG.normal(size=(2, K, 5)),
    },
  ),
  'mlp': combination.Combination(
    'mlp',
    {
      'hidden_DH': RNG.normal(size=(M * K, H)),
      'hidden_H': RNG.normal(size=H),
      'kernel_HK': RNG.normal(size=(H, K)),
      'bias_K': RNG.normal(size=K),
    },
  ),
}
BY_NAME = pytest.mark.parametrize('name', COMBINATIONS)


def test_every_kind_is_tried():
  assert {one.kind for one in COMBINATIONS.values()} == set(combination.KINDS)


@BY_NAME
def test_rows_sum_to_one(name):
  found_NK = combination.apply(COMBINATIONS[name], PROBS_MNK, np)
  assert found_NK.shape == (N, K)
  assert (found_NK >= 0).all()
  np.testing.assert_allclose(found_NK.sum(1), 1, rtol=1e-12)


@BY_NAME
def test_jax_compiled_gives_the_answers_of_numpy(name):
  one = COMBINATIONS[name]
  expected = combination.apply(one, PROBS_MNK, np)
  compiled = jax.jit(lambda probs_MNK: combination.apply(one, probs_MNK, jnp))
  found = compiled(PROBS_MNK.astype(np.float32))
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
  with jax.enable_x64(True):
    np.testing.assert_allclose(compiled(jnp.asarray(PROBS_MNK)), expected, rtol=1e-12)
  # Negative control: another order of the members is another answer, but for rules that treat them alike.
  turned = np.abs(combination.apply(one, PROBS_MNK[::-1], np) - expected).max()
  assert (turned < 1e-12) == (name in ('mean', 'geometric'))


@BY_NAME
def test_the_number_of_rows_may_stay_open_in_an_export(name):
  one = COMBINATIONS[name]
  shape = export.symbolic_shape(f'{M}, n, {K}')
  program = export.export(jax.jit(lambda probs: combination.apply(one, probs, jnp)))(
    jax.ShapeDtypeStruct(shape, jnp.float32)
  )
  for rows in (slice(0, 1), slice(3, 10)):
    probs = PROBS_MNK[:, rows].astype(np.float32)
    np.testing.assert_allclose(
      program.call(probs), combination.apply(one, PROBS_MNK[:, rows], np), rtol=2e-4, atol=2e-5
    )


def test_the_mean_is_the_mean_and_a_weight_of_zero_leaves_a_member_out():
  np.testing.assert_allclose(combination.apply(combination.mean(M), PROBS_MNK, np), PROBS_MNK.mean(0))
  two = combination.apply(combination.weighted(np.array([2.0, 0, 2])), PROBS_MNK, np)
  np.testing.assert_allclose(two, PROBS_MNK[[0, 2]].mean(0))


def test_the_mean_of_logits_is_the_normalised_geometric_mean():
  found = combination.apply(combination.geometric(M, K), PROBS_MNK, np)
  product = np.maximum(PROBS_MNK, combination.CLIP).prod(0) ** (1 / M)
  np.testing.assert_allclose(found, product / product.sum(1, keepdims=True), rtol=1e-12)
  # Logits differ from log p by a constant a row and member, which changes nothing.
  logit_MNK = np.log(np.maximum(PROBS_MNK, combination.CLIP)) + RNG.normal(size=(M, N, 1))
  np.testing.assert_allclose(found, combination.softmax(logit_MNK.mean(0), np), rtol=1e-12)
  assert np.abs(found - PROBS_MNK.mean(0)).max() > 0.05, 'the arithmetic mean is another rule'


def test_votes_are_shares_and_equal_favourites_share_a_vote():
  probs_MNK = np.array([[[0.6, 0.3, 0.1]], [[0.4, 0.4, 0.2]], [[0.1, 0.1, 0.8]]])
  found = combination.apply(combination.vote(np.array([1.0, 2, 1])), probs_MNK, np)
  np.testing.assert_allclose(found, [[0.5, 0.25, 0.25]])


def test_a_probability_of_zero_is_no_veto_without_limit():
  probs_MNK = np.array([[[1.0, 0.0]], [[1e-3, 1 - 1e-3]]])
  assert np.isfinite(combination.apply(combination.geometric(2, 2), probs_MNK, np)).all()
  lost = combination.apply(combination.geometric(2, 2), np.maximum(probs_MNK, 1e-300), np)
  np.testing.assert_array_equal(lost, combination.apply(combination.geometric(2, 2), probs_MNK, np))


def test_a_tree_is_walked_node_by_node():
  one = COMBINATIONS['gradient_boosting']
  feature_ND = np.log(np.maximum(PROBS_MNK, combination.CLIP)).transpose(1, 0, 2).reshape(N, -1)
  feature_ND = feature_ND.astype(np.float32)
  logit_NK = np.tile(one.arrays['bias_K'], (N, 1))
  for n in range(N):
    for t in range(2):
      for k in range(K):
        node = 0
        for _ in range(2):
          goes_left = (
            feature_ND[n, one.arrays['feature_TKP'][t, k, node]] <= one.arrays['threshold_TKP'][t, k, node]
          )
          node = (LEFT_TKP if goes_left else RIGHT_TKP)[t, k, node]
        logit_NK[n, k] += one.arrays['value_TKP'][t, k, node]
  found = combination.apply(one, PROBS_MNK, np)
  np.testing.assert_allclose(found, combination.softmax(logit_NK, np), rtol=1e-12)
  turned = dataclasses.replace(
    one, arrays={**one.arrays, 'left_TKP': one.arrays['right_TKP'], 'right_TKP': one.arrays['left_TKP']}
  )
  assert np.abs(combination.apply(turned, PROBS_MNK, np) - found).max() > 0.01, 'left is not right'


@BY_NAME
def test_a_combination_comes_back_from_disk_as_it_was(name, tmp_path):
  path = tmp_path / 'combination.npz'
  combination.write(path, COMBINATIONS[name])
  first = path.read_bytes()
  found = combination.read(path)
  assert found.kind == COMBINATIONS[name].kind
  for key, array in COMBINATIONS[name].arrays.items():
    assert found.arrays[key].dtype == array.dtype
    np.testing.assert_array_equal(found.arrays[key], array)
  combination.write(path, found)
  assert path.read_bytes() == first
  assert [file.name for file in tmp_path.iterdir()] == ['combination.npz']


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
  path = tmp_path / 'combination.npz'
  with pytest.raises(types.UserError, match=r'combination\.npz: no such file'):
    combination.read(path)
  combination.write(path, COMBINATIONS['log_linear'])
  whole = path.read_bytes()
  damaged = [whole[:length] for length in range(0, len(whole), 97)]
  damaged += [b'not an archive', b'\x93NUMPY broken']
  for data in damaged:
    path.write_bytes(data)
    with pytest.raises(types.UserError, match=r'combination\.npz: damaged'):
      combination.read(path)
  np.savez(path, kind=np.array('linear'), other=np.ones(3))
  with pytest.raises(types.UserError, match='needs'):
    combination.read(path)
  np.save(tmp_path / 'lone.npy', np.ones(3))
  with pytest.raises(types.UserError, match=r'lone\.npy: damaged'):
    combination.read(tmp_path / 'lone.npy')
  path.write_bytes(whole)
  assert combination.read(path).kind == 'log_linear'


def test_a_flipped_byte_gives_an_error_or_the_same_numbers(tmp_path):
  path = tmp_path / 'combination.npz'
  combination.write(path, COMBINATIONS['log_linear'])
  whole, num_errors = path.read_bytes(), 0
  for place in range(len(whole)):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
    try:
      found = combination.read(path)
    except types.UserError:
      num_errors += 1
      continue
    for name, array in COMBINATIONS['log_linear'].arrays.items():
      np.testing.assert_array_equal(found.arrays[name], array)
  assert num_errors > len(whole) / 2


def test_a_pickle_is_refused(tmp_path):
  path = tmp_path / 'combination.npz'
  np.savez(path, kind=np.array('linear'), weight_M=np.array([{}], object))
  with pytest.raises(types.UserError, match='damaged'):
    combination.read(path)


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match='choose one of linear'):
    combination.Combination('mode', {})
  with pytest.raises(ValueError, match='finite'):
    combination.log_linear(np.array([np.nan]), np.zeros(2))
  with pytest.raises(ValueError, match='above 0'):
    combination.vote(np.zeros(3))
  with pytest.raises(ValueError, match='above 0'):
    combination.weighted(np.array([1.0, -1]))
  trees = COMBINATIONS['gradient_boosting'].arrays
  with pytest.raises(ValueError, match='does not exist'):
    combination.Combination('gradient_boosting', {**trees, 'left_TKP': np.full_like(LEFT_TKP, 10**6)})
  with pytest.raises(ValueError, match='or a cycle'):
    combination.Combination('gradient_boosting', {**trees, 'left_TKP': np.zeros_like(LEFT_TKP)})
  for name in ('mean', 'logistic', 'mlp', 'gradient_boosting'):
    with pytest.raises(ValueError, match='members'):
      combination.apply(COMBINATIONS[name], PROBS_MNK[:2], np)
  with pytest.raises(ValueError, match='classes'):
    combination.apply(COMBINATIONS['geometric'], PROBS_MNK[..., :3], np)
