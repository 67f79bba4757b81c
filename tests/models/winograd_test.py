"""Winograd's algorithm: chosen by the shape, exact to rounding, and in pieces of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.models import fast_conv, winograd, zoo

SAME, VALID = ((1, 1), (1, 1)), ((0, 0), (0, 0))


def operands(shape, num_out, dtype=np.float32):
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.standard_normal(shape), dtype), jnp.asarray(
    rng.standard_normal((3, 3, shape[-1], num_out)), dtype
  )


def products(function, *arguments):
  """How many products of matrices and how many convolutions the function has on a CPU."""
  text = jax.jit(function).lower(*arguments).as_text()
  return text.count('stablehlo.dot_general'), text.count('stablehlo.convolution')


@pytest.mark.parametrize('pads', [SAME, VALID, ((2, 1), (0, 3))], ids=str)
@pytest.mark.parametrize('shape', [(3, 6, 8, 5), (2, 7, 9, 4), (1, 3, 3, 2)], ids=str)
def test_it_is_the_convolution_with_even_and_odd_sides_and_uneven_pads(shape, pads):
  with jax.enable_x64(True):
    x, kernel = operands(shape, 3, np.float64)
    right = fast_conv.native(x, kernel, pads)
    np.testing.assert_allclose(winograd.convolve(x, kernel, pads), right, rtol=1e-10, atol=1e-10)
    g = jnp.asarray(np.random.default_rng(1).standard_normal(right.shape))
    gradient = jax.vjp(lambda kernel: fast_conv.native(x, kernel, pads), kernel)[1](g)[0]
    np.testing.assert_allclose(winograd.kernel_gradient(x, pads, g), gradient, rtol=1e-10, atol=1e-10)


def test_pieces_of_the_batch_give_what_the_whole_batch_gives(monkeypatch):
  x, kernel = operands((5, 8, 8, 4), 6)
  whole = winograd.convolve(x, kernel, SAME), winograd.kernel_gradient(x, SAME, x[..., :4])
  monkeypatch.setattr(winograd, '_PIECE_BYTES', 4 * 4 * 8 * 8 * 4 * 2)
  assert len(winograd._pieces(x)) == 3
  parts = winograd.convolve(x, kernel, SAME), winograd.kernel_gradient(x, SAME, x[..., :4])
  for a, b in zip(parts, whole, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_float32_is_as_close_as_the_direct_one_but_for_a_few_units():
  x, kernel = operands((2, 20, 20, 128), 64)
  exact = np.asarray(fast_conv.native(*(a.astype(np.float32) for a in (x, kernel)), SAME), np.float64)
  gap = np.abs(winograd.convolve(x, kernel, SAME) - exact).max() / np.abs(exact).max()
  assert gap < 2e-6


@pytest.mark.parametrize(
  ('shape', 'num_out', 'algorithm', 'is_winograd'),
  [
    ((1, 40, 40, 64), 64, 'winograd', True),
    ((1, 9, 9, 256), 256, 'winograd', True),
    ((1, 40, 40, 64), 64, 'direct', False),
    ((1, 9, 9, 64), 64, 'winograd', False),
    ((1, 40, 40, 3), 64, 'winograd', False),
  ],
)
def test_it_is_chosen_by_shape_and_only_where_asked_for(shape, num_out, algorithm, is_winograd):
  x, kernel = operands(shape, num_out)
  num_products, num_convolutions = products(
    lambda x, kernel: fast_conv.conv(x, kernel, SAME, algorithm), x, kernel
  )
  assert (num_convolutions == 0) == is_winograd
  assert (num_products >= 16) == is_winograd


def test_bfloat16_and_other_kernels_are_computed_directly():
  x, kernel = operands((1, 40, 40, 64), 64)
  half = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
  wide = x, jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
  for arguments in (half, wide):
    assert products(lambda x, k: fast_conv.conv(x, k, SAME, 'winograd'), *arguments)[1] == 1


def test_a_network_gives_the_same_logits_in_both_ways_and_no_other_weights():
  spec = zoo.Spec('alexnet', 0.0, 'average', 8, 3, 1, False)
  image = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype(np.float32)
  direct, other = (zoo.build(spec, 4, jnp.float32, algorithm) for algorithm in ('direct', 'winograd'))
  params = zoo.init(direct, 64, 0)
  outputs = [model.apply({'params': params}, image, None, False) for model in (direct, other)]
  assert not np.array_equal(*outputs), 'Winograd is used somewhere'
  np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
