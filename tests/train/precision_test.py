"""What an update computes in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import rng, types
from bloodcell_jax.models import cnn
from bloodcell_jax.train import precision


@pytest.mark.parametrize(
  ('name', 'platform', 'expected'),
  [
    ('auto', 'cpu', jnp.float32),
    ('auto', 'gpu', jnp.bfloat16),
    ('float32', 'gpu', jnp.float32),
    ('bfloat16', 'cpu', jnp.bfloat16),
  ],
)
def test_auto_is_bfloat16_where_it_is_faster(name, platform, expected):
  assert precision.dtype(name, platform) == expected


def test_float16_is_refused_with_a_reason_and_other_names_with_the_choices():
  with pytest.raises(types.UserError, match='small gradients become 0'):
    precision.check('float16')
  with pytest.raises(types.UserError, match=r"'double'; choose one of auto, float32, bfloat16"):
    precision.check('double')
  assert precision.check('bfloat16') == 'bfloat16'


def test_products_are_exact_on_an_accelerator_and_untouched_on_a_cpu():
  def product(a, b):
    return a @ b

  assert precision.exact(product, 'cpu') is product
  x = jnp.ones((2, 2))
  assert 'HIGHEST' in str(jax.make_jaxpr(precision.exact(product, 'gpu'))(x, x))
  assert 'HIGHEST' not in str(jax.make_jaxpr(product)(x, x))


def losses(dtype) -> tuple[np.ndarray, set[str]]:
  """The losses of forty updates of plain SGD by the same images, and the dtypes of gradients and logits."""
  model = cnn.CNN((4,), ((3, 3),), (6,), 1, 0.0, 4, 3, 0, False, 'float32', 'direct').clone(dtype=dtype)
  generator = rng.generator(0, 'images')
  label_B = np.arange(16) % 4
  # Each class has a colour, one of them none.
  colour_BC = np.eye(4)[label_B, :3]
  image_BHWC = (generator.random((16, 8, 8, 3)) / 4 + colour_BC[:, None, None]).astype(np.float32)
  position_B = jnp.arange(16)
  params = model.init(rng.key(0, 'init'), image_BHWC[:1], position_B[:1], False)['params']
  seen = {str(leaf.dtype) for leaf in jax.tree.leaves(params)}

  def objective(params):
    logits_BK = model.apply({'params': params}, image_BHWC, position_B, False)
    seen.add(str(logits_BK.dtype))
    return -jnp.mean(jax.nn.log_softmax(logits_BK)[jnp.arange(16), label_B])

  update = jax.jit(jax.value_and_grad(objective))
  values = []
  for _ in range(40):
    loss, grads = update(params)
    seen |= {str(leaf.dtype) for leaf in jax.tree.leaves(grads)}
    params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
    values.append(float(loss))
  return np.array(values), seen


def test_bfloat16_trains_as_float32_does_and_keeps_parameters_gradients_and_losses_in_it():
  exact_U, _ = losses(jnp.float32)
  rough_U, seen = losses(jnp.bfloat16)
  assert seen == {'float32'}
  assert exact_U[-1] < exact_U[0] - 0.1, 'nothing to compare'
  assert not np.array_equal(rough_U, exact_U), 'both computed in float32'
  np.testing.assert_allclose(rough_U, exact_U, rtol=0.02)
