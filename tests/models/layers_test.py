"""Layers against Flax' own of the same weights, ties included; dropout over devices."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.models import fast_conv, fast_pool, layers
from bloodcell_jax.train import devices

HALVES = layers.MaxPool((2, 2), (2, 2), 'valid')
SHAPES = [(1, 6, 7, 3), (2, 9, 8, 3), (7, 5, 6, 6), (65, 4, 5, 1)]


@pytest.fixture
def x64():
  with jax.enable_x64(True):
    yield


def whole_numbers(shape, seed=0, least=-2) -> jax.Array:
  """Small whole numbers as floats: their sums are exact in any order, so that ties are ties."""
  return jnp.asarray(np.random.default_rng(seed).integers(least, 3, shape).astype(np.float64))


def flax_layer(features, size, padding, activation, pool):
  """The same layer out of Flax' parts, of the same parameters."""
  conv = nn.Conv(features, size, padding=padding.upper(), param_dtype=jnp.float64)

  def apply(params, x):
    y = layers.ACTIVATIONS[activation](conv.apply({'params': params}, x))
    return nn.max_pool(y, (2, 2), (2, 2)) if pool else y

  return apply


def outcome(apply, params, x):
  """The output, and the gradients of a loss that weighs each output differently."""
  out = jax.eval_shape(apply, params, x)
  weight = jnp.asarray(np.random.default_rng(9).standard_normal(out.shape))
  value = apply(params, x)
  return value, jax.grad(lambda p, x: (apply(p, x) * weight).sum(), (0, 1))(params, x)


def outcomes(apply, params, x):
  """The outcome by one compiled program."""
  return jax.jit(lambda params, x: outcome(apply, params, x))(params, x)


def close(a, b) -> None:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), a, b)


@pytest.mark.parametrize(
  ('shape', 'size', 'padding', 'activation', 'pool'),
  [
    (SHAPES[0], (3, 3), 'same', 'relu', True),
    (SHAPES[0], (3, 3), 'same', None, True),
    (SHAPES[1], (3, 3), 'valid', 'relu', True),
    (SHAPES[1], (5, 5), 'valid', 'relu', False),
    (SHAPES[2], (2, 2), 'same', 'relu', True),
    (SHAPES[2], (2, 2), 'same', None, False),
    (SHAPES[3], (3, 3), 'valid', 'relu', True),
  ],
)
def test_a_convolution_is_flax_with_its_activation_and_pooling_ties_included(
  shape, size, padding, activation, pool, x64
):
  params = {'kernel': whole_numbers((*size, shape[-1], 4), 1), 'bias': whole_numbers(4, 2)}
  layer = layers.Conv(4, size, (1, 1), padding, activation, jnp.float64, 'direct')
  ours = jax.jit(
    lambda p, x: outcome(lambda p, x: layer.apply({'params': p}, x, HALVES if pool else None), p, x)
  )
  theirs = jax.jit(lambda p, x: outcome(flax_layer(4, size, padding, activation, pool), p, x))
  for x in (jnp.full(shape, 2.0), whole_numbers(shape)):
    close(ours(params, x), theirs(params, x))


def pool_to_the_last(x):
  """2x2 pooling whose gradient goes to the last of equals."""
  return fast_pool.max_pool(x[:, ::-1, ::-1])[:, ::-1, ::-1]


def test_the_check_sees_a_pooling_that_takes_the_last_of_equals(x64):
  def theirs(params, x):
    del params
    return nn.max_pool(x, (2, 2), (2, 2))

  constant, ramp = jnp.ones((2, 6, 4, 3)), jnp.arange(144.0).reshape(2, 6, 4, 3)
  for x in (constant, ramp):
    close(outcomes(lambda p, x: layers.max_pool(x), {}, x), outcomes(theirs, {}, x))
  close(outcomes(lambda p, x: pool_to_the_last(x), {}, ramp), outcomes(theirs, {}, ramp))
  with pytest.raises(AssertionError):
    close(outcomes(lambda p, x: pool_to_the_last(x), {}, constant), outcomes(theirs, {}, constant))


STRIDED = [
  # shape, kernel, strides, padding as ours, as Flax'
  ((2, 9, 8, 3), (3, 3), (2, 2), 'same', 'SAME'),
  ((2, 8, 8, 3), (3, 3), (2, 2), 'same', 'SAME'),
  ((1, 9, 7, 2), (3, 2), (2, 3), 'valid', 'VALID'),
  ((2, 8, 8, 3), (3, 3), (2, 2), ((1, 1), (1, 1)), ((1, 1), (1, 1))),
  ((2, 8, 9, 3), (1, 1), (2, 2), 'valid', 'VALID'),
  ((2, 8, 8, 3), (3, 3), (1, 1), ((2, 0), (1, 1)), ((2, 0), (1, 1))),
]


@pytest.mark.parametrize(('shape', 'size', 'strides', 'padding', 'theirs'), STRIDED)
def test_a_convolution_of_any_stride_and_padding_is_flax_with_its_gradients(
  shape, size, strides, padding, theirs, x64
):
  params = {'kernel': whole_numbers((*size, shape[-1], 4), 1), 'bias': whole_numbers(4, 2)}
  layer = layers.Conv(4, size, strides, padding, 'relu', jnp.float64, 'direct')
  other = nn.Conv(4, size, strides, padding=theirs, param_dtype=jnp.float64)
  x = whole_numbers(shape)
  ours = jax.jit(lambda p, x: outcome(lambda p, x: layer.apply({'params': p}, x, None), p, x))
  expected = outcomes(lambda p, x: jax.nn.relu(other.apply({'params': p}, x)), params, x)
  close(ours(params, x), expected)
  params = {**params, 'kernel': params['kernel'][..., ::-1]}
  with pytest.raises(AssertionError):
    close(ours(params, x), expected)


@pytest.mark.parametrize(
  ('size', 'strides', 'padding', 'theirs'),
  [
    ((3, 3), (2, 2), ((1, 1), (1, 1)), ((1, 1), (1, 1))),
    ((3, 3), (2, 2), 'same', 'SAME'),
    ((3, 2), (1, 2), 'valid', 'VALID'),
    ((2, 2), (2, 2), 'valid', 'VALID'),
    ((2, 2), (1, 1), 'same', 'SAME'),
  ],
)
def test_pooling_of_any_size_is_flax_alone_and_behind_a_convolution(size, strides, padding, theirs, x64):
  pool = layers.MaxPool(size, strides, padding)
  params = {'kernel': whole_numbers((3, 3, 3, 4), 1), 'bias': whole_numbers(4, 2)}
  conv = layers.Conv(4, (3, 3), (1, 1), 'same', 'relu', jnp.float64, 'direct')
  whole = flax_layer(4, (3, 3), 'same', 'relu', False)

  def flax_pool(x):
    return nn.max_pool(x, size, strides, theirs)

  @jax.jit
  def ours(params, x):
    return (
      outcome(lambda _, x: pool.apply({}, x), {}, x),
      outcome(lambda p, x: conv.apply({'params': p}, x, pool), params, x),
    )

  @jax.jit
  def flax(params, x):
    return (
      outcome(lambda _, x: flax_pool(x), {}, x),
      outcome(lambda p, x: flax_pool(whole(p, x)), params, x),
    )

  for x in (jnp.full((2, 9, 8, 3), -2.0), whole_numbers((2, 9, 8, 3))):
    close(ours(params, x), flax(params, x))
  with pytest.raises(AssertionError):
    close(pool.apply({}, whole_numbers((2, 9, 8, 3))), flax_pool(-whole_numbers((2, 9, 8, 3))))


def test_in_float32_a_layer_adds_no_operation_to_the_plain_one():
  x, kernel, bias = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4)), jnp.ones(4)
  params = {'params': {'kernel': kernel, 'bias': bias}}
  pads = fast_conv.pads('valid', (3, 3))

  def program(dtype):
    layer = layers.Conv(4, (3, 3), (1, 1), 'valid', 'relu', dtype, 'direct')
    return str(jax.make_jaxpr(lambda p, x: layer.apply(p, x, HALVES))(params, x))

  plain = str(
    jax.make_jaxpr(
      lambda p, x: fast_pool.conv_relu_pool(x, p['params']['kernel'], p['params']['bias'], pads, 'direct')
    )(params, x)
  )
  assert program(jnp.float32) == plain
  assert program(jnp.bfloat16) != plain


@pytest.mark.parametrize('shape', [(2, 6, 6, 3), (1, 7, 9, 2)])
def test_second_derivatives_of_a_pooling_are_flax(shape, x64):
  x = jnp.asarray(np.random.default_rng(0).standard_normal(shape))
  v = jnp.asarray(np.random.default_rng(1).standard_normal(shape))

  def product(pool):
    return jax.jit(jax.grad(lambda x: jnp.vdot(jax.grad(lambda x: (pool(x) ** 3).sum())(x), v)))(x)

  theirs = product(lambda x: nn.max_pool(x, (2, 2), (2, 2)))
  close(product(layers.max_pool), theirs)
  with pytest.raises(AssertionError):
    close(product(pool_to_the_last) * 1.001, theirs)


@pytest.mark.parametrize('pooled', ['conv_relu_pool', 'max_pool'])
def test_forward_mode_of_what_pools_fails_loudly(pooled):
  x, kernel = jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 2))
  pads = fast_conv.pads('same', (3, 3))
  functions = {
    'conv_relu_pool': lambda x: fast_pool.conv_relu_pool(x, kernel, jnp.zeros(2), pads, 'direct'),
    'max_pool': fast_pool.max_pool,
  }
  with pytest.raises(TypeError, match='custom_vjp'):
    jax.jvp(functions[pooled], (x,), (x,))
  assert np.any(jax.grad(lambda x: functions[pooled](x).sum())(x)), 'reverse mode works'


@pytest.mark.parametrize('activation', [None, 'relu'])
def test_a_dense_layer_is_flax(activation, x64):
  params = {'kernel': whole_numbers((6, 4), 1), 'bias': whole_numbers(4, 2)}
  x, layer, other = (
    whole_numbers((5, 6)),
    layers.Dense(4, activation, jnp.float64),
    nn.Dense(4, param_dtype=jnp.float64),
  )
  found = layer.apply({'params': params}, x)
  expected = other.apply({'params': params}, x)
  close(found, layers.ACTIVATIONS[activation](expected))
  assert (found < 0).any() == (activation is None), 'some outputs are negative before relu'


def drop(num_devices: int, seed: int = 0, by_place_on_the_device: bool = False) -> np.ndarray:
  """[6, 40]: ones after dropout, the batch spread over so many devices."""
  layer = layers.Dropout(0.5)

  def apply(params, batch):
    place = jnp.arange(len(batch.position_B)) if by_place_on_the_device else batch.position_B
    return layer.apply(
      params, batch.image_BHWC.reshape(-1, 40), place, True, rngs={'dropout': jax.random.key(seed)}
    )

  batch = types.Batch(
    np.ones((6, 4, 10, 1), np.float32), np.eye(6, 4), np.ones(6, np.float32), np.arange(6, dtype=np.int32)
  )
  return devices.make_apply(apply, devices.devices(num_devices, 'pmap'))({}, batch)


def test_a_batch_spread_over_devices_is_masked_as_on_one():
  np.testing.assert_array_equal(drop(1), drop(2))
  assert not np.array_equal(drop(1), drop(1, seed=1)), 'another key is another mask'
  assert not np.array_equal(drop(1), drop(2, by_place_on_the_device=True)), 'the check sees a wrong position'


def test_dropout_leaves_the_mean_and_a_rate_of_nothing_leaves_all():
  x, position_B = jnp.ones((20, 1000)), jnp.arange(20)
  for rate in (0.2, 0.4, 0.8):
    out = layers.Dropout(rate).apply({}, x, position_B, True, rngs={'dropout': jax.random.key(0)})
    assert float(out.mean()) == pytest.approx(1, abs=0.05)
    assert float((out == 0).mean()) == pytest.approx(rate, abs=0.02)
  np.testing.assert_array_equal(layers.Dropout(0.0).apply({}, x, position_B, True), x)


def test_dropout_stops_the_gradient_of_what_it_drops():
  x, layer = jnp.ones((3, 50)), layers.Dropout(0.5)

  def apply(x):
    return layer.apply({}, x, jnp.arange(3), True, rngs={'dropout': jax.random.key(0)})

  np.testing.assert_array_equal(jax.grad(lambda x: apply(x).sum())(x), apply(x))


def test_an_output_is_kept_only_where_somebody_asks():
  class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
      x = layers.Dense(2, None, jnp.float32, name='dense_1')(x)
      layers.keep(self, 'dense_1', x)
      return x

  variables = Net().init(jax.random.key(0), jnp.ones((1, 3)))
  params = {'params': variables['params']}
  out, kept = Net().apply(params, jnp.ones((1, 3)), mutable=layers.MAPS)
  np.testing.assert_array_equal(kept[layers.MAPS]['dense_1:output'], out)
  np.testing.assert_array_equal(Net().apply(params, jnp.ones((1, 3))), out)
