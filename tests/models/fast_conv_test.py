"""The convolutions and poolings with gradients of their own, against XLA's."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.models import fast_conv, fast_pool, winograd

CASES = [
  # images, height, width, channels in, out, kernel, padding
  (3, 9, 8, 3, 5, (3, 3), 'valid'),
  (3, 10, 10, 3, 5, (3, 3), 'valid'),
  (2, 7, 10, 3, 4, (3, 3), 'same'),
  (1, 9, 9, 6, 4, (3, 3), 'valid'),
  (7, 8, 9, 5, 3, (3, 3), 'same'),
  (2, 12, 13, 1, 6, (5, 5), 'valid'),
  (2, 11, 8, 2, 3, (2, 4), 'same'),
  (3, 6, 6, 10, 4, (2, 2), 'valid'),
  (65, 5, 5, 2, 2, (2, 2), 'valid'),
]


def operands(case):
  num, height, width, channels, filters, size, padding = case
  rng = np.random.default_rng(0)
  x = rng.standard_normal((num, height, width, channels))
  kernel = rng.standard_normal((*size, channels, filters))
  return (
    jnp.asarray(x),
    jnp.asarray(kernel),
    jnp.asarray(rng.standard_normal(filters)),
    fast_conv.pads(padding, size),
  )


def native_pooled(x, kernel, bias, pads):
  z = fast_conv.native(x, kernel, pads) + bias.reshape(1, 1, 1, -1)
  return nn.max_pool(jax.nn.relu(z), (2, 2), (2, 2))


def close(a, b):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), a, b)


@pytest.fixture
def x64():
  with jax.enable_x64(True):
    yield


@pytest.fixture(params=fast_conv.ALGORITHMS)
def algorithm(request, monkeypatch):
  """Each way of computing them, Winograd's for convolutions of 3x3 of any size."""
  for rule in ('is_faster', 'is_gradient_faster'):
    monkeypatch.setattr(winograd, rule, lambda *sizes: True)
  return request.param


def convolution(algorithm):
  return lambda x, kernel, pads: fast_conv.conv(x, kernel, pads, algorithm)


def fused(algorithm):
  return lambda x, kernel, bias, pads: fast_pool.conv_relu_pool(x, kernel, bias, pads, algorithm)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_convolution_and_gradients_are_xla_s(case, algorithm, x64):
  x, kernel, _, pads = operands(case)

  def both(convolve):
    return jax.jit(jax.value_and_grad(lambda x, k: jnp.sin(convolve(x, k, pads)).sum(), (0, 1)))(x, kernel)

  close(both(convolution(algorithm)), both(fast_conv.native))


@pytest.mark.parametrize('case', CASES, ids=str)
def test_the_fused_layer_and_its_gradients_are_those_of_its_parts(case, algorithm, x64):
  x, kernel, bias, pads = operands(case)

  def both(layer):
    return jax.jit(jax.value_and_grad(lambda *args: jnp.sin(layer(*args, pads)).sum(), (0, 1, 2)))(
      x, kernel, bias
    )

  close(both(fused(algorithm)), both(native_pooled))


def test_the_check_sees_a_wrong_gradient(x64):
  x, kernel, bias, pads = operands(CASES[0])
  right = jax.grad(lambda k: native_pooled(x, k, bias, pads).sum())(kernel)
  with pytest.raises(AssertionError):
    close(right, right * (1 + 1e-8))


@pytest.mark.parametrize('case', CASES[:6], ids=str)
def test_float32_gradients_agree_within_rounding(case, algorithm):
  x, kernel, bias, pads = operands(case)
  x, kernel, bias = (a.astype(jnp.float32) for a in (x, kernel, bias))

  def grad(layer):
    return jax.jit(jax.grad(lambda *args: layer(*args, pads).sum(), (0, 1, 2)))(x, kernel, bias)

  for a, b in zip(grad(fused(algorithm)), grad(native_pooled), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


@pytest.mark.parametrize('shape', [(2, 6, 6, 3), (1, 7, 9, 2), (3, 2, 3, 1)], ids=str)
@pytest.mark.parametrize('ties', [False, True])
def test_pooling_gives_ties_to_the_first_as_xla_does(shape, ties):
  x = np.random.default_rng(0).integers(0, 2 if ties else 1000, shape).astype(np.float32)
  g = np.random.default_rng(1).random((shape[0], shape[1] // 2, shape[2] // 2, shape[3]), np.float32)

  def grad(pool):
    return jax.grad(lambda x: (pool(x) * g).sum())(jnp.asarray(x))

  def flax_pool(x):
    return nn.max_pool(x, (2, 2), (2, 2))

  np.testing.assert_array_equal(fast_pool.max_pool(jnp.asarray(x)), flax_pool(x))
  np.testing.assert_array_equal(grad(fast_pool.max_pool), grad(flax_pool))


def test_a_pool_that_takes_the_last_of_equals_is_seen():
  x = jnp.ones((1, 2, 2, 1))

  def last(x):
    return fast_pool.max_pool(x[:, ::-1, ::-1])

  grads = [jax.grad(lambda x, p=pool: p(x).sum())(x) for pool in (fast_pool.max_pool, last)]
  assert not np.array_equal(*grads)


@pytest.mark.parametrize(
  'case',
  [CASES[2], *(pytest.param(case, marks=pytest.mark.long) for case in (*CASES[:2], CASES[3]))],
  ids=str,
)
def test_second_derivatives_are_those_of_the_parts(case, algorithm, x64):
  x, kernel, bias, pads = operands(case)
  v = jnp.asarray(np.random.default_rng(3).standard_normal(kernel.shape))

  def product(layer):
    def loss(kernel):
      return jnp.square(layer(x, kernel, bias, pads)).sum()

    return jax.jit(jax.grad(lambda k: jnp.vdot(jax.grad(loss)(k), v)))(kernel)

  close(product(fused(algorithm)), product(native_pooled))


def test_forward_mode_fails_loudly(algorithm):
  x, kernel, _, pads = operands(CASES[0])
  with pytest.raises(TypeError, match='custom_vjp'):
    jax.jvp(lambda k: fast_conv.conv(x, k, pads, algorithm), (kernel,), (kernel,))


def test_an_unknown_padding_is_named():
  with pytest.raises(ValueError, match='padding'):
    fast_conv.pads('full', (3, 3))
