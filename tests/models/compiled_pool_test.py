"""Convolution, relu and pooling by compiled code, beside the same in XLA's operations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.models import compiled_pool, fast_conv, fast_pool

VALID = ((0, 0), (0, 0))


@pytest.fixture(autouse=True)
def _compiled():
  if reason := compiled_pool.missing():
    pytest.skip(f'no compiled code here: {reason}')


def layer(algorithm, pads=VALID):
  return functools.partial(_layer, pads=pads, algorithm=algorithm)


def _layer(x, kernel, bias, pads, algorithm):
  return fast_pool.conv_relu_pool(x, kernel, bias, pads, algorithm)


def drawn(shape, outputs, seed=0):
  rng = np.random.default_rng(seed)
  sizes = {shape: 1, (3, 3, shape[-1], outputs): 0.2, (outputs,): 0.5}
  return tuple(jnp.asarray(rng.normal(size=size) * scale, jnp.float32) for size, scale in sizes.items())


def loss(apply, weight):
  return lambda *args: (apply(*args) * weight).sum()


@pytest.mark.parametrize(
  ('shape', 'outputs', 'pads'),
  [
    ((3, 19, 16, 3), 32, VALID),
    ((2, 13, 12, 1), 64, VALID),
    ((20, 8, 9, 32), 64, VALID),
    ((3, 7, 7, 64), 32, VALID),
    ((1, 4, 4, 48), 32, VALID),
    # Sums that are divided by outputs, not by images.
    ((2, 6, 5, 256), 128, VALID),
    ((2, 7, 8, 32), 32, ((1, 1), (1, 1))),
    ((2, 7, 8, 3), 32, ((0, 2), (1, 0))),
  ],
)
def test_values_and_gradients_are_those_of_xla(shape, outputs, pads):
  args = drawn(shape, outputs)
  by_code, by_xla = (jax.jit(layer(each, pads)) for each in (fast_conv.COMPILED, fast_conv.DIRECT))
  y, expected = by_code(*args), by_xla(*args)
  np.testing.assert_allclose(y, expected, atol=5e-6 * float(expected.max()))
  assert 0.1 < float((y > 0).mean()) < 1, 'relu has something to do'
  weight = jnp.asarray(np.random.default_rng(1).normal(size=y.shape), jnp.float32)
  gradient = jax.jit(jax.grad(loss(by_code, weight), (0, 1, 2)))
  for ours, theirs in zip(gradient(*args), jax.grad(loss(by_xla, weight), (0, 1, 2))(*args), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * float(jnp.abs(theirs).max()))
  text = gradient.lower(*args).as_text()
  used = tuple(target in text for target in (f'@{name}(' for name in compiled_pool.TARGETS))
  assert used == (pads == VALID, True, shape[-1] % compiled_pool.LANES == 0)


def test_of_equal_values_the_first_has_the_gradient_as_without_the_code():
  x, kernel, bias = jnp.ones((1, 6, 6, 32)), jnp.ones((3, 3, 32, 32)), jnp.zeros(32)
  grads = [
    jax.grad(lambda x, each=each: layer(each)(x, kernel, bias).sum())(x)
    for each in (fast_conv.COMPILED, fast_conv.DIRECT)
  ]
  np.testing.assert_array_equal(*grads)
  assert (float(grads[0][0, 2, 2, 0]), float(grads[0][0, 5, 5, 0])) == (4 * 32, 0)


def test_what_is_no_number_stays_none_and_only_in_its_image():
  x, kernel, bias = drawn((3, 10, 10, 32), 32)
  y = layer(fast_conv.COMPILED)(x.at[1, 4, 4, 0].set(jnp.nan), kernel, bias)
  by_xla = layer(fast_conv.DIRECT)(x.at[1, 4, 4, 0].set(jnp.nan), kernel, bias)
  np.testing.assert_array_equal(jnp.isnan(y), jnp.isnan(by_xla))
  assert jnp.isnan(y[1]).any()
  assert not jnp.isnan(y[jnp.array([0, 2])]).any()


def test_an_image_has_the_same_bits_alone_and_the_gradients_the_same_every_time():
  x, kernel, bias = drawn((21, 16, 15, 32), 64)
  apply = jax.jit(layer(fast_conv.COMPILED))
  y = apply(x, kernel, bias)
  np.testing.assert_array_equal(y[4:5], apply(x[4:5], kernel, bias))
  gradient = jax.jit(jax.grad(lambda *args: jnp.square(apply(*args)).sum(), (0, 1, 2)))
  first = gradient(x, kernel, bias)
  for _ in range(5):
    for one, other in zip(first, gradient(x, kernel, bias), strict=True):
      np.testing.assert_array_equal(one, other)


def test_the_gradient_can_be_differentiated_again_and_a_forward_derivative_is_refused():
  args = drawn((2, 8, 8, 32), 32)
  pushed = []
  for each in (fast_conv.COMPILED, fast_conv.DIRECT):
    gradient = jax.grad(lambda *args, each=each: jnp.square(layer(each)(*args)).sum(), (0, 1))
    pushed.append(jax.jvp(gradient, args, args)[1])
    pushed[-1] += (jax.grad(lambda *args, g=gradient: jnp.square(g(*args)[1]).sum())(*args),)
  for ours, theirs in zip(*pushed, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * float(jnp.abs(theirs).max()))
    assert float(jnp.abs(theirs).max()) > 0
  with pytest.raises(TypeError, match='forward-mode'):
    jax.jvp(layer(fast_conv.COMPILED), args, args)


def test_members_in_one_program_have_their_own_weights():
  x, kernel, bias = drawn((2, 8, 8, 32), 32)
  kernels = jnp.stack([kernel, -kernel, 2 * kernel])

  def gradients(kernel):
    return jax.value_and_grad(lambda k: jnp.square(layer(fast_conv.COMPILED)(x, k, bias)).sum())(kernel)

  together, alone = jax.jit(jax.vmap(gradients))(kernels), [gradients(k) for k in kernels]
  for i, one in enumerate(alone):
    np.testing.assert_allclose(together[0][i], one[0], rtol=1e-6)
    np.testing.assert_allclose(together[1][i], one[1], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
  ('dtype', 'outputs', 'pads', 'algorithm', 'is_compiled'),
  [
    (jnp.float32, 32, VALID, fast_conv.COMPILED, True),
    (jnp.bfloat16, 32, VALID, fast_conv.COMPILED, False),
    (jnp.float32, 24, VALID, fast_conv.COMPILED, False),
    (jnp.float32, 32, ((1, 1), (1, 1)), fast_conv.COMPILED, False),
    (jnp.float32, 32, VALID, fast_conv.WINOGRAD, False),
  ],
)
def test_what_the_code_does_not_know_goes_the_other_way(dtype, outputs, pads, algorithm, is_compiled):
  args = tuple(each.astype(dtype) for each in drawn((2, 8, 8, 32), outputs))
  apply = jax.jit(layer(algorithm, pads))
  assert (compiled_pool.TARGETS[0] in apply.lower(*args).as_text()) == is_compiled
  np.testing.assert_allclose(
    apply(*args).astype(jnp.float32), layer(fast_conv.DIRECT, pads)(*args).astype(jnp.float32), atol=0.1
  )
