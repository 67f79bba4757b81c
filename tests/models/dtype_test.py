"""Networks that compute in another precision than that of their parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.models import fast_conv, rbf, zoo

IMAGES = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
LABELS = np.arange(8) % 4


def loss_and_gradient(head, dtype):
  """The mean cross-entropy of the hybrid's small CNN on eight images, and its gradient by the parameters."""
  spec = zoo.Spec('cnn_svr', 0.0, head, 16, 3, 5, False)
  model = zoo.build(spec, 4, dtype)
  shapes = jax.eval_shape(lambda: zoo.init(model, 32, 0))
  drawn = np.random.default_rng(1)
  params = jax.tree.map(lambda leaf: jnp.asarray(drawn.normal(0, 0.1, leaf.shape), leaf.dtype), shapes)

  def loss(params):
    logit_BK = model.apply(
      {'params': params}, IMAGES, jnp.arange(8), True, rngs={'dropout': jax.random.key(0)}
    )
    return -jax.nn.log_softmax(logit_BK)[jnp.arange(8), LABELS].mean(), logit_BK

  (value, logit_BK), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
  assert logit_BK.dtype == jnp.float32
  leaves = jax.tree.leaves((params, gradient))
  assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}, (
    'parameters stay float32, and their gradients'
  )
  return float(value), np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])


@pytest.mark.parametrize('head', ['flatten', 'rbf'])
def test_a_network_in_bfloat16_has_nearly_the_loss_and_gradient_of_float32(head):
  value, gradient = loss_and_gradient(head, jnp.float32)
  rough, rough_gradient = loss_and_gradient(head, jnp.bfloat16)
  assert rough == pytest.approx(value, rel=0.01)
  assert rough != value, 'it is another precision'
  assert np.corrcoef(gradient, rough_gradient)[0, 1] > 0.99
  assert np.corrcoef(gradient, rough_gradient[::-1])[0, 1] < 0.5


def test_the_features_of_a_network_in_bfloat16_are_bfloat16():
  for dtype in (jnp.bfloat16, jnp.float32):
    model = zoo.build(zoo.Spec('vgg16', 0.0, 'average', 16, 3, 5, False), 4, dtype)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    params = jax.eval_shape(lambda m=model: zoo.init(m, 32, 0))
    found = jax.eval_shape(lambda p, x, m=model: m.apply({'params': p}, x, method='features'), params, image)
    assert found.dtype == dtype


def test_a_kernel_gradient_in_bfloat16_adds_images_up_in_float32():
  # 1 and 400 images of 1/512: each is lost beside the sum where that is bfloat16 with its 8 bits.
  num = 401
  x = jnp.full((num, 3, 3, 1), 1, jnp.bfloat16)
  g = jnp.full((num, 1, 1, 1), 1 / 512, jnp.bfloat16).at[0].set(1)
  found = fast_conv.kernel_gradient(x, ((0, 0), (0, 0)), g)
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(found.astype(np.float32), 1 + 400 / 512, rtol=2**-7)
  lost = jnp.asarray(1, jnp.bfloat16)
  for _ in range(400):
    lost += jnp.asarray(1 / 512, jnp.bfloat16)
  assert float(lost) < 1.1


def test_radial_basis_functions_measure_distances_in_float32():
  layer = rbf.RBF(3, jnp.bfloat16)
  x = jnp.asarray(np.random.default_rng(0).random((4, 6)), jnp.bfloat16)
  params = layer.init(jax.random.key(0), x)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
  expected = rbf.RBF(3, jnp.float32).apply(params, x.astype(jnp.float32))
  np.testing.assert_array_equal(layer.apply(params, x), expected.astype(jnp.bfloat16))
