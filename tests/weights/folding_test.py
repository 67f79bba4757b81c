"""Batch normalization folded into convolutions, against Keras' own layers and Flax'."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.weights import folding, published

NORMS = (published.Norm('bn', 'conv', 1e-3),)


def arrays(with_bias):
  draw = np.random.default_rng(0)
  made = {
    'conv/kernel': draw.standard_normal((3, 3, 2, 4)),
    'bn/gamma': draw.standard_normal(4),
    'bn/beta': draw.standard_normal(4),
    'bn/moving_mean': draw.standard_normal(4),
    'bn/moving_variance': draw.random(4) + 0.1,
    'dense/kernel': draw.standard_normal((4, 2)),
  }
  if with_bias:
    made['conv/bias'] = draw.standard_normal(4)
  return {name: array.astype(np.float32) for name, array in made.items()}


def convolve(x, kernel, bias):
  return nn.Conv(4, (3, 3)).apply({'params': {'kernel': kernel, 'bias': bias}}, x)


def test_the_folded_convolution_is_the_convolution_and_its_normalization():
  x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 6, 6, 2)), jnp.float32)
  for with_bias in (False, True):
    given = arrays(with_bias)
    z = convolve(x, given['conv/kernel'], given.get('conv/bias', np.zeros(4, np.float32)))
    norm = nn.BatchNorm(use_running_average=True, epsilon=1e-3)
    statistics = {'mean': given['bn/moving_mean'], 'var': given['bn/moving_variance']}
    expected = norm.apply(
      {'params': {'scale': given['bn/gamma'], 'bias': given['bn/beta']}, 'batch_stats': statistics}, z
    )
    folded = folding.fold(given, NORMS, 'x.h5')
    assert set(folded) == {'conv/kernel', 'conv/bias', 'dense/kernel'}
    assert {array.dtype for array in folded.values()} == {np.dtype(np.float32)}
    found = convolve(x, folded['conv/kernel'], folded['conv/bias'])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    other = folding.fold(given, (published.Norm('bn', 'conv', 1.0),), 'x.h5')
    assert np.abs(convolve(x, other['conv/kernel'], other['conv/bias']) - expected).max() > 0.1


def test_weights_that_are_folded_already_stay_as_they_are():
  given = {'conv/kernel': np.ones((1, 1, 1, 1), np.float32), 'conv/bias': np.ones(1, np.float32)}
  assert folding.fold(given, NORMS, 'x.h5') == given


@pytest.mark.parametrize('name', ['bn/moving_mean', 'bn/moving_variance', 'conv/kernel'])
def test_a_missing_or_wrong_part_is_one_clear_line(name):
  given = arrays(True)
  with pytest.raises(types.UserError, match=r'x\.h5: bn needs moving_mean, moving_variance and conv/kernel'):
    folding.fold({key: array for key, array in given.items() if key != name}, NORMS, 'x.h5')
  with pytest.raises(types.UserError, match=r'x\.h5: bn does not have the . channels of conv'):
    folding.fold({**given, name: given[name][..., :3]}, NORMS, 'x.h5')
  folding.fold(given, NORMS, 'x.h5')


def test_a_normalization_without_scale_or_offset_has_one_and_zero():
  given = arrays(True)
  bare = {name: array for name, array in given.items() if name not in ('bn/gamma', 'bn/beta')}
  plain = {**given, 'bn/gamma': np.ones(4, np.float32), 'bn/beta': np.zeros(4, np.float32)}
  for name, array in folding.fold(plain, NORMS, 'x.h5').items():
    np.testing.assert_array_equal(folding.fold(bare, NORMS, 'x.h5')[name], array)
