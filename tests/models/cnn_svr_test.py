"""The network of the study's hybrid: sizes, maps, grey, tops."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import rng, tree, types
from bloodcell_jax.models import cnn_svr, layers, summary, zoo

# Convolutions of 5x5x3x5, 5x5x5x10 and 2x2x10x10, dense layers of 40x100, 100x100 and 100x4, each with its biases.
PER_LAYER = [380, 1_260, 410, 4_100, 10_100, 404]
TOTAL, GREY_TOTAL = 16_654, 16_404


@functools.cache
def build(head='flatten', channels=3, auxiliary=False, rate=0.0):
  """A network and weights of its shapes, the same for equal names: nothing is compiled for them."""
  model = zoo.build(zoo.Spec('cnn_svr', rate, head, 100, channels, 7, auxiliary), 4)
  shapes = tree.names(jax.eval_shape(lambda: zoo.init(model, cnn_svr.IMAGE_SIZE, 0)))

  def draw(name, leaf):
    return jnp.asarray(0.1 * rng.generator(0, name).standard_normal(leaf.shape), jnp.float32)

  return model, tree.nest({name: draw(name, leaf) for name, leaf in shapes.items()})


IMAGES = np.random.default_rng(0).random((6, 32, 32, 3), np.float32)
PLACES = jnp.arange(6)


@functools.partial(jax.jit, static_argnames=('model', 'depth'))
def logits(model, params, image_BHWC=IMAGES, depth=0):
  options = {'method': 'auxiliary', 'depth': depth} if depth else {}
  return model.apply({'params': params}, image_BHWC, PLACES, False, **options)


def test_parameters_are_counted():
  model, params = build()
  counts = [count for *_, count in summary.layers(model, params, 32) if count]
  assert counts == PER_LAYER
  assert sum(counts) == tree.count(params) == TOTAL
  assert tree.count(build(channels=1)[1]) == GREY_TOTAL
  assert TOTAL - GREY_TOTAL == 2 * 5 * 5 * 5, 'two colours less in the first kernel'


def test_maps_have_the_sides_of_the_study():
  model, params = build()
  shapes = {name: shape for name, _, shape, _ in summary.layers(model, params, 32)}
  order = [f'{kind}_{i}' for i in range(1, 4) for kind in ('conv2d', 'max_pooling2d')]
  assert [shapes[name][0] for name in order] == [28, 14, 10, 5, 4, 2]
  assert [shapes[name][-1] for name in order[::2]] == [5, 10, 10]
  assert (shapes['flatten_1'], shapes['dense_2'], shapes['dense_3']) == ((40,), (100,), (4,))


def test_grey_is_pillow_s_and_colour_changes_only_the_network_that_sees_it():
  model, params = build(channels=1)
  colour = np.round(255 * IMAGES).astype(np.uint8)
  grey = np.stack([np.asarray(Image.fromarray(image).convert('L')) for image in colour])[..., None]
  seen = [logits(model, params, (image / 255).astype(np.float32)) for image in (grey, colour)]
  np.testing.assert_allclose(*seen, atol=2e-3)
  assert np.abs(seen[1] - logits(model, params, IMAGES[..., ::-1])).max() > 5e-3, (
    'other colours are another grey'
  )
  same_grey = IMAGES + np.float32(0.1) * np.array([1 / 0.299, -1 / 0.587, 0], np.float32)
  np.testing.assert_allclose(logits(model, params), logits(model, params, same_grey), atol=1e-5)
  model, params = build()
  assert np.abs(logits(model, params) - logits(model, params, same_grey)).max() > 1e-3


@pytest.mark.parametrize('head', ['flatten', 'rbf'])
def test_the_top_of_the_embedding_is_the_whole(head):
  model, params = build(head)

  @jax.jit
  def by_parts(params):
    feature_BHWC = model.apply({'params': params}, IMAGES, method='features')
    embedding_BD = model.apply({'params': params}, feature_BHWC, PLACES, False, method='embedding')
    return embedding_BD, model.apply({'params': params}, embedding_BD, method='logits')

  embedding_BD, logits_BK = by_parts(params)
  assert embedding_BD.shape == (6, 100)
  np.testing.assert_allclose(logits_BK, logits(model, params), rtol=1e-5, atol=1e-6)
  assert np.abs(logits_BK - logits_BK[::-1]).max() > 1e-4


@pytest.mark.parametrize(('name', 'size'), [('cnn_a', 46), ('cnn_b', 94), ('vgg16', 32)])
@pytest.mark.parametrize('head', ['flatten', 'rbf'])
def test_every_network_takes_the_neurons_and_names_its_top(name, size, head):
  model = zoo.build(zoo.Spec(name, 0.0, head, 16, 3, 7, False), 4)
  shapes = tree.names(jax.eval_shape(lambda: zoo.init(model, size, 0)))
  kernel = shapes[f'{zoo.NETWORKS[name].output_layer}/kernel'].shape
  assert kernel[1] == 4
  if head == 'rbf':
    assert shapes['rbf_1/centre'].shape[0] == kernel[0] == 7
  else:
    assert 'rbf_1/centre' not in shapes


def test_auxiliary_tops_see_their_depth_and_leave_the_network_s_logits_alone():
  model, params = build(auxiliary=True)
  plain, plain_params = build()
  assert {name for name in params if name not in plain_params} == {f'auxiliary_{i}' for i in range(1, 5)}
  assert [params[f'auxiliary_{i}']['kernel'].shape[0] for i in range(1, 5)] == [14 * 14 * 5, 250, 40, 100]
  assert zoo.num_auxiliary(zoo.Spec('cnn_svr', 0.0, 'flatten', 100, 3, 7, True)) == 4
  own = {name: leaf for name, leaf in params.items() if name in plain_params}
  np.testing.assert_allclose(logits(model, params), logits(plain, own), rtol=1e-5, atol=1e-6)
  assert sum(count for *_, count in summary.layers(model, params, 32)) == tree.count(params)
  for depth in (2, 4):
    total = jax.jit(jax.grad(lambda params, d=depth: jnp.square(logits(model, params, depth=d)).sum()))
    reached = {name.split('/')[0] for name, g in tree.names(total(params)).items() if np.any(g)}
    convolutions = {f'conv2d_{i}' for i in range(1, min(depth, 3) + 1)}
    dense = {'dense_1', 'dense_2'} if depth == 4 else set()
    assert reached == {*convolutions, *dense, f'auxiliary_{depth}'}


@pytest.mark.parametrize('options', [{}, {'head': 'rbf'}, {'channels': 1}], ids=str)
def test_every_parameter_receives_a_finite_gradient_that_is_not_zero(options):
  model, params = build(rate=0.2, **options)

  def loss(params):
    keys = {'dropout': rng.key(0, 'dropout')}
    logits_BK = model.apply({'params': params}, IMAGES, PLACES, True, rngs=keys)
    return -(jax.nn.log_softmax(logits_BK) * jnp.eye(4)[PLACES % 4]).sum()

  for name, g in tree.names(jax.jit(jax.grad(loss))(params)).items():
    assert np.isfinite(g).all(), name
    assert np.any(g), name


def test_the_fused_convolutions_of_five_and_two_pixels_are_the_plain_ones():
  model, params = build()

  @jax.jit
  def both(params):
    fused = model.apply({'params': params}, IMAGES, method='features')
    return fused, model.apply({'params': params}, IMAGES, PLACES, False, mutable=layers.MAPS)[1]

  fused, maps = both(params)
  plain = maps[layers.MAPS]['max_pooling2d_3:output']
  np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-6)
  assert not np.allclose(fused, plain[::-1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  ('values', 'key'),
  [
    ({'channels': 2}, 'model.channels'), ({'name': 'vgg16', 'channels': 1}, 'model.channels'),
    ({'name': 'vgg16', 'auxiliary': True}, 'model.auxiliary'), ({'rbf_units': 0}, 'model.rbf_units'),
  ],
)  # fmt: skip
def test_what_a_network_has_not_is_named_by_its_key(values, key):
  given = {
    'name': 'cnn_svr',
    'dropout_rate': 0.0,
    'head': 'flatten',
    'head_units': 8,
    'channels': 3,
    'rbf_units': 1,
  }
  with pytest.raises(types.UserError, match=key):
    zoo.Spec(**{**given, 'auxiliary': False, **values})
