"""VGG16 against Keras' own with the same weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax import tree
from bloodcell_jax.models import layers, vgg16

SIDES = [150, 75, 37, 18, 9, 4]  # of the study: the image, then after each block


def build(head='average', first_block=1, last_block=5):
  return vgg16.VGG16(head, 256, 0.5, 4, first_block, last_block)


def shapes(model, size, channels=3):
  given = (
    jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32),
    jax.ShapeDtypeStruct((1,), jnp.int32),
  )
  return jax.eval_shape(lambda *a: model.init(jax.random.key(0), *a, False), *given)['params']


def test_the_base_has_the_parameters_of_keras():
  base = {name: leaf for name, leaf in shapes(build(), 150).items() if name.startswith('block')}
  assert tree.count(base) == 14_714_688
  assert list(tree.names(base))[:2] == ['block1_conv1/bias', 'block1_conv1/kernel']


def test_the_heads_are_those_described():
  assert tree.count(shapes(build('flatten'), 150)) == 14_714_688 + (4 * 4 * 512 + 1) * 256 + 257 * 4
  assert tree.count(shapes(build('average'), 150)) == 14_714_688 + 513 * 4
  with pytest.raises(ValueError, match='head_kind'):
    shapes(build('softmax'), 150)


def test_maps_have_the_sides_of_the_study():
  model = build()
  image = jax.ShapeDtypeStruct((1, 150, 150, 3), jnp.float32)
  position = jax.ShapeDtypeStruct((1,), jnp.int32)

  def maps(params, image, position):
    return model.apply({'params': params}, image, position, False, mutable=layers.MAPS)[1][layers.MAPS]

  found = jax.eval_shape(maps, shapes(model, 150), image, position)
  assert [found[f'block{b}_pool:output'].shape[1] for b in range(1, 6)] == SIDES[1:]
  assert [found[f'block{b}_conv1:output'].shape[1] for b in range(1, 6)] == SIDES[:-1]


def relative(a, b) -> float:
  return float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())


def test_every_block_equals_keras_with_the_same_weights_at_an_odd_size():
  import keras

  theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(45, 50, 3))
  params = {
    layer.name: {w.path.split('/')[-1]: jnp.asarray(w.numpy()) for w in layer.weights}
    for layer in theirs.layers
    if layer.weights
  }
  image_BHWC = np.random.default_rng(0).random((2, 45, 50, 3), np.float32)
  names = [f'block{b}_pool' for b in range(1, 6)]
  expected = keras.Model(theirs.input, [theirs.get_layer(name).output for name in names])(image_BHWC)

  @jax.jit
  def ours(params, image_BHWC):
    _, kept = build().apply({'params': params}, image_BHWC, mutable=layers.MAPS, method='features')
    plain = build().apply({'params': params}, image_BHWC, method='features')
    return [kept[layers.MAPS][f'{name}:output'] for name in names], plain

  found, plain = ours(params, image_BHWC)
  for name, a, b in zip(names, found, expected, strict=True):
    assert relative(a, b) < 1e-4, name
  assert relative(plain, expected[-1]) < 1e-4
  turned = {
    **params,
    'block3_conv1': {**params['block3_conv1'], 'kernel': params['block3_conv1']['kernel'][::-1]},
  }
  assert relative(ours(turned, image_BHWC)[1], expected[-1]) > 1e-2, 'a kernel upside down must be seen'


def test_from_a_block_on_it_continues_what_the_blocks_before_gave():
  whole, begin, rest = build(), build(last_block=4), build(first_block=5)
  image_BHWC, position_B = (
    jnp.asarray(np.random.default_rng(0).random((2, 34, 34, 3), np.float32)),
    jnp.arange(2),
  )
  params = jax.jit(lambda: whole.init(jax.random.key(0), image_BHWC, position_B, False)['params'])()

  @jax.jit
  def both(params):
    kept = begin.apply({'params': params}, image_BHWC, method='features')
    later = {name: leaf for name, leaf in params.items() if name.startswith(('block5', 'dense'))}
    return (
      whole.apply({'params': params}, image_BHWC, position_B, False),
      rest.apply({'params': later}, kept, position_B, False),
    )

  np.testing.assert_allclose(*both(params), rtol=1e-4, atol=1e-6)
