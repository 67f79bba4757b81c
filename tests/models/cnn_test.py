"""The study's two networks: sizes, names, initial values, gradients, dropout."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import rng, tree, types
from bloodcell_jax.models import layers, summary, zoo

SPECS = {
  name: zoo.Spec(name, rate, 'flatten', 8, 3, 1, False) for name, rate in (('cnn_a', 0.2), ('cnn_b', 0.4))
}
# The smallest sides that leave a pixel after the last pooling.
SMALLEST = {'cnn_a': 46, 'cnn_b': 94}
PER_LAYER = {
  'cnn_a': [896, 9_248, 18_496, 73_856, 401_472, 260],
  'cnn_b': [896, 18_496, 36_928, 73_856, 147_584, 262_656, 65_664, 516],
}
TOTAL = {'cnn_a': 504_228, 'cnn_b': 606_596}
MAPS_B = [148, 74, 72, 36, 34, 17, 15, 7, 5, 2]


@functools.cache
def build(name: str, size: int):
  model = zoo.build(SPECS[name], 4)
  return model, zoo.init(model, size, 0)


def batch(size: int, num_images: int) -> tuple[jax.Array, jax.Array]:
  image_BHWC = np.random.default_rng(0).random((num_images, size, size, 3), np.float32)
  return jnp.asarray(image_BHWC), jnp.arange(num_images)


@pytest.mark.parametrize('name', SPECS)
def test_parameters_are_counted_as_in_the_study(name):
  model, params = build(name, 150)
  counts = [count for *_, count in summary.layers(model, params, 150) if count]
  assert counts == PER_LAYER[name]
  assert sum(counts) == tree.count(params) == TOTAL[name]
  assert f'{TOTAL[name]:,}' in summary.table(model, params, 150).splitlines()[-1]


def test_the_count_depends_on_the_size():
  assert tree.count(build('cnn_b', 182)[1]) != TOTAL['cnn_b']


def test_maps_of_cnn_b_have_the_sides_of_the_study():
  model, params = build('cnn_b', 150)
  shapes = {name: shape for name, _, shape, _ in summary.layers(model, params, 150)}
  order = [f'{kind}_{i}' for i in range(1, 6) for kind in ('conv2d', 'max_pooling2d')]
  assert [shapes[name][0] for name in order] == MAPS_B
  assert shapes['flatten_1'] == (512,)


def test_layers_carry_keras_names_in_keras_order():
  model, params = build('cnn_b', 150)
  kinds = [(name, kind) for name, kind, *_ in summary.layers(model, params, 150)]
  assert kinds[:2] == [('conv2d_1', 'Conv2D'), ('max_pooling2d_1', 'MaxPooling2D')]
  assert kinds[-5:] == [
    ('flatten_1', 'Flatten'),
    ('dropout_1', 'Dropout'),
    ('dense_1', 'Dense'),
    ('dense_2', 'Dense'),
    ('dense_3', 'Dense'),
  ]
  assert set(tree.names(params)) == {f'{n}/{w}' for n in params for w in ('kernel', 'bias')}


@pytest.mark.parametrize('name', SPECS)
def test_kernels_start_glorot_uniform_and_biases_zero(name):
  for key, leaf in tree.names(build(name, 150)[1]).items():
    if key.endswith('bias'):
      assert not np.any(leaf)
      continue
    receptive = int(np.prod(leaf.shape[:-2]))
    limit = np.sqrt(6 / (receptive * (leaf.shape[-2] + leaf.shape[-1])))
    assert np.abs(leaf).max() <= limit
    # A uniform distribution of this limit, not a narrower one: its deviation is limit / sqrt(3).
    assert np.std(leaf) == pytest.approx(limit / np.sqrt(3), rel=0.1)


@pytest.mark.parametrize('name', SPECS)
def test_head_after_features_is_the_whole(name):
  size = SMALLEST[name]
  model, params = build(name, size)
  image_BHWC, position_B = batch(size, 3)

  @jax.jit
  def apply(params, image_BHWC):
    feature_BHWC = model.apply({'params': params}, image_BHWC, method='features')
    logits_BK = model.apply({'params': params}, feature_BHWC, position_B, False, method='head')
    return feature_BHWC, logits_BK, model.apply({'params': params}, image_BHWC, position_B, False)

  feature_BHWC, logits_BK, whole_BK = apply(params, image_BHWC)
  np.testing.assert_array_equal(logits_BK, whole_BK)
  assert feature_BHWC.shape == (3, 1, 1, 128)
  assert logits_BK.shape == (3, 4)


@pytest.mark.parametrize('name', SPECS)
def test_keeping_maps_changes_nothing(name):
  size = SMALLEST[name]
  model, params = build(name, size)
  image_BHWC, position_B = batch(size, 2)

  @jax.jit
  def apply(params, image_BHWC):
    plain = model.apply({'params': params}, image_BHWC, position_B, False)
    return plain, model.apply({'params': params}, image_BHWC, position_B, False, mutable=layers.MAPS)

  plain, (watched, kept) = apply(params, image_BHWC)
  np.testing.assert_allclose(plain, watched, rtol=1e-5, atol=1e-6)
  assert kept[layers.MAPS]['conv2d_1:output'].shape == (2, size - 2, size - 2, 32)


@pytest.mark.parametrize('name', SPECS)
def test_every_parameter_receives_a_finite_gradient_that_is_not_zero(name):
  size = SMALLEST[name]
  model, params = build(name, size)
  image_BHWC, position_B = batch(size, 8)
  target_BK = jnp.eye(4)[jnp.arange(8) % 4]

  @jax.jit
  def loss(params):
    logits_BK = model.apply(
      {'params': params}, image_BHWC, position_B, True, rngs={'dropout': rng.key(0, 'dropout')}
    )
    return -(jax.nn.log_softmax(logits_BK) * target_BK).sum()

  for key, g in tree.names(jax.grad(loss)(params)).items():
    assert np.isfinite(g).all(), key
    assert np.any(g), key
  # The same check sees a parameter that is cut off.
  cut = jax.grad(lambda p: loss({**p, 'conv2d_1': jax.lax.stop_gradient(p['conv2d_1'])}))(params)
  assert not np.any(cut['conv2d_1']['kernel'])


def test_gradients_of_a_tiny_network_equal_differences_of_its_loss():
  from bloodcell_jax.models import cnn

  with jax.enable_x64(True):
    model = cnn.CNN((3, 2), ((3, 3), (3, 3)), (5,), 1, 0.0, 4, 3, 0, False, jnp.float64, 'direct')
    image_BHWC = jnp.asarray(np.random.default_rng(0).random((2, 12, 13, 3)))
    position_B = jnp.arange(2)
    params = model.init(jax.random.key(1), image_BHWC, position_B, False)['params']
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) + 0.01, params)
    flat, unravel = jax.flatten_util.ravel_pytree(params)

    def loss(flat):
      return jnp.square(model.apply({'params': unravel(flat)}, image_BHWC, position_B, False)).sum()

    found = jax.jit(jax.grad(loss))(flat)
    step = 1e-6
    moved = np.asarray(flat) + step * np.concatenate([np.eye(len(flat)), -np.eye(len(flat))])
    # One program for all of them.
    above, below = np.split(jax.jit(lambda each: jax.lax.map(loss, each))(moved), 2)
    expected = (above - below) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(AssertionError):
      np.testing.assert_allclose(found * 1.001, expected, rtol=1e-5, atol=1e-7)


def test_an_example_is_masked_by_its_place_in_the_batch_alone():
  dropout = layers.Dropout(0.5)
  x = jnp.ones((6, 100))

  def drop(x, position_B):
    return dropout.apply({}, x, position_B, True, rngs={'dropout': jax.random.key(0)})

  whole = drop(x, jnp.arange(6))
  np.testing.assert_array_equal(whole[3:], drop(x[3:], jnp.arange(3, 6)))
  assert not np.array_equal(whole[3:], drop(x[3:], jnp.arange(3)))
  assert not np.array_equal(whole[0], whole[1])


def test_dropout_drops_its_rate_scales_the_rest_and_rests_outside_training():
  dropout = layers.Dropout(0.4)
  x = jnp.ones((50, 2000))
  out = dropout.apply({}, x, jnp.arange(50), True, rngs={'dropout': jax.random.key(0)})
  assert float((out == 0).mean()) == pytest.approx(0.4, abs=0.01)
  assert float(out.max()) == pytest.approx(1 / 0.6)
  np.testing.assert_array_equal(dropout.apply({}, x, jnp.arange(50), False), x)


@pytest.mark.parametrize('name', SPECS)
def test_an_image_too_small_is_an_error_that_names_the_key(name):
  build(name, SMALLEST[name])
  with pytest.raises(types.UserError, match=r'data\.image_size'):
    build(name, SMALLEST[name] - 1)


def test_unknown_networks_and_rates_are_named():
  with pytest.raises(types.UserError, match=r'model\.name'):
    zoo.Spec('resnet', 0.1, 'flatten', 8, 3, 1, False)
  with pytest.raises(types.UserError, match=r'model\.dropout_rate'):
    zoo.Spec('cnn_a', 1.0, 'flatten', 8, 3, 1, False)
