"""VGG16 against Keras' own with the same weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import tree, types
from bloodcell_jax.models import layers, vgg16, zoo
from bloodcell_jax.weights import merge, pretrained

SIDES = [150, 75, 37, 18, 9, 4]  # of the study: the image, then after each block


def build(head='average', first_block=1, last_block=5):
  return vgg16.VGG16(head, 256, 0.5, 4, first_block, last_block, 1, jnp.float32, 'winograd')


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


def test_with_its_own_top_it_has_the_parameters_of_keras():
  model = vgg16.VGG16('imagenet', 0, 0.0, 1000, 1, 5, 1, jnp.float32, 'winograd')
  found = shapes(model, 224)
  assert tree.count(found) == 138_357_544
  assert found['fc1']['kernel'].shape == (25088, 4096)
  assert found['predictions']['kernel'].shape == (4096, 1000)


def test_it_can_end_at_block_4_with_mean_and_maximum_of_its_map():
  model = zoo.build(zoo.Spec('vgg16_block4', 0.0, 'mean_max', 1, 3, 1, False), 4)
  draw = np.random.default_rng(1).standard_normal
  params = jax.tree.map(lambda leaf: jnp.array(draw(leaf.shape, np.float32) / 30), shapes(model, 34))
  assert tree.count({name: leaf for name, leaf in params.items() if name.startswith('block')}) == 7_635_264
  assert params['dense_2']['kernel'].shape == (1024, 4)
  image_BHWC = jnp.asarray(np.random.default_rng(0).random((2, 34, 34, 3), np.float32))

  @jax.jit
  def both(params):
    map_BHWC = build(last_block=4).apply({'params': params}, image_BHWC, method='features')
    return model.apply({'params': params}, image_BHWC, jnp.arange(2), False), map_BHWC

  logits_BK, map_BHWC = both(params)
  dense = {name: np.asarray(leaf) for name, leaf in params['dense_2'].items()}
  pooled_BD = np.concatenate([np.mean(map_BHWC, (1, 2)), np.max(map_BHWC, (1, 2))], 1)
  assert relative(pooled_BD @ dense['kernel'] + dense['bias'], logits_BK) < 1e-4
  turned_BD = np.concatenate([pooled_BD[:, 512:], pooled_BD[:, :512]], 1)
  assert relative(turned_BD @ dense['kernel'] + dense['bias'], logits_BK) > 1e-2, 'their order must be seen'


def test_that_which_ends_at_block_4_begins_with_the_same_published_weights():
  whole, part = pretrained.read('auto', 'vgg16'), pretrained.read('auto', 'vgg16_block4')
  network = zoo.NETWORKS['vgg16_block4']
  model = zoo.build(zoo.Spec('vgg16_block4', 0.0, 'mean_max', 1, 3, 1, False), 4)
  empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(model, 34))
  read = tree.names(merge.merge(empty, part.params, network.features, (), network.other_heads, part.origin))
  assert part.convention == whole.convention
  np.testing.assert_array_equal(read['block4_conv3/kernel'], whole.params['block4_conv3/kernel'])


def test_images_from_32_pixels_on_are_taken_and_smaller_ones_refused():
  for head in vgg16.HEADS:
    shapes(build(head), 32)
    with pytest.raises(types.UserError, match='31x31 is too small for VGG16: 32x32 is the least'):
      shapes(build(head), 31)


@pytest.mark.parametrize(
  ('head', 'expected'),
  [
    ('flatten', [('flatten_1', 8192), ('dense_1', 256), ('dropout_1', 256), ('dense_2', 4)]),
    ('average', [('global_average_pooling2d_1', 512), ('dropout_1', 512), ('dense_2', 4)]),
    (
      'mean_max',
      [
        ('global_average_pooling2d_1', 512),
        ('global_max_pooling2d_1', 512),
        ('concatenate_1', 1024),
        ('dropout_1', 1024),
        ('dense_2', 4),
      ],
    ),
    ('imagenet', [('flatten_1', 8192), ('fc1', 4096), ('fc2', 4096), ('predictions', 4)]),
  ],
)
def test_every_layer_of_a_head_is_kept(head, expected):
  found = kept_maps(build(head), 150)
  in_head = [(name, shape[1]) for name, shape in found.items() if not name.startswith('block')]
  assert in_head == expected


def kept_maps(model, size):
  """The shapes of all maps by layer, in the network's order."""
  order = {}

  def run(params, image, position):
    maps = model.apply({'params': params}, image, position, False, mutable=layers.MAPS)[1][layers.MAPS]
    order.update({name.removesuffix(':output'): leaf.shape for name, leaf in maps.items()})
    return maps

  image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  jax.eval_shape(run, shapes(model, size), image, jax.ShapeDtypeStruct((1,), jnp.int32))
  return order


def test_maps_have_the_sides_of_the_study():
  found = kept_maps(build(), 150)
  assert [found[f'block{b}_pool'][1] for b in range(1, 6)] == SIDES[1:]
  assert [found[f'block{b}_conv1'][1] for b in range(1, 6)] == SIDES[:-1]


def relative(a, b) -> float:
  return float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())


NAMES = [f'block{b}_pool' for b in range(1, 6)]


def keras_network(height, width, **options):
  import keras

  return keras.applications.VGG16(weights=None, input_shape=(height, width, 3), **options)


def outputs_of(network, names, image_BHWC):
  import keras

  return keras.Model(network.input, [network.get_layer(name).output for name in names])(image_BHWC)


def weights_of(network):
  return {
    layer.name: {w.path.split('/')[-1]: jnp.asarray(w.numpy()) for w in layer.weights}
    for layer in network.layers
    if layer.weights
  }


@jax.jit
def blocks(params, image_BHWC):
  """The output of every block, layer by layer, and of the last as it is computed in training."""
  _, kept = build().apply({'params': params}, image_BHWC, mutable=layers.MAPS, method='features')
  plain = build().apply({'params': params}, image_BHWC, method='features')
  return [*(kept[layers.MAPS][f'{name}:output'] for name in NAMES), plain]


def assert_equal_blocks(params, image_BHWC, expected):
  for name, a, b in zip(
    [*NAMES, 'plain'], blocks(params, image_BHWC), [*expected, expected[-1]], strict=True
  ):
    assert a.shape == b.shape
    assert relative(a, b) < 1e-4, name
  turned = params['block3_conv1']['kernel'][::-1]
  params = {**params, 'block3_conv1': {**params['block3_conv1'], 'kernel': turned}}
  assert relative(blocks(params, image_BHWC)[-1], expected[-1]) > 1e-2, 'a kernel upside down must be seen'


def test_every_block_equals_keras_with_the_same_weights_at_an_odd_size():
  network = keras_network(75, 50, include_top=False)
  image_BHWC = np.random.default_rng(0).random((2, 75, 50, 3), np.float32)
  assert_equal_blocks(weights_of(network), image_BHWC, outputs_of(network, NAMES, image_BHWC))


def test_every_block_equals_keras_with_imagenet_weights_on_real_images(real_images):
  from PIL import Image

  files = sorted(real_images.rglob('*.jpeg'))[::4000] or sorted(real_images.rglob('*.jpg'))[:3]
  image_BHWC = np.stack([np.asarray(Image.open(file).convert('RGB').resize((75, 75))) for file in files[:3]])
  weights = pretrained.read('auto', 'vgg16')
  network = keras_network(75, 75, include_top=False)
  for name, array in weights.params.items():
    layer, weight = name.split('/')
    getattr(network.get_layer(layer), weight).assign(array)
  x_BHWC = np.asarray(weights.convention.apply(image_BHWC))
  empty = jax.tree.map(jnp.zeros_like, weights_of(network))
  params = merge.merge(empty, weights.params, ['block.*'], [], [], weights.origin)
  assert_equal_blocks(params, x_BHWC, outputs_of(network, NAMES, x_BHWC))


def test_its_own_top_equals_keras():
  network = keras_network(48, 48, include_top=True, classes=10, classifier_activation=None)
  image_BHWC = np.random.default_rng(0).random((2, 48, 48, 3), np.float32)
  model = vgg16.VGG16('imagenet', 0, 0.0, 10, 1, 5, 1, jnp.float32, 'winograd')
  found = jax.jit(lambda params: model.apply({'params': params}, image_BHWC, jnp.arange(2), False))(
    weights_of(network)
  )
  assert relative(found, network(image_BHWC)) < 1e-4


def test_from_a_block_on_it_continues_what_the_blocks_before_gave():
  whole, begin, rest = build(), build(last_block=4), build(first_block=5)
  image_BHWC, position_B = (
    jnp.asarray(np.random.default_rng(0).random((2, 34, 34, 3), np.float32)),
    jnp.arange(2),
  )
  # Drawn by numpy: compiling the initialisers would take longer than the whole test.
  draw = np.random.default_rng(1).standard_normal
  params = jax.tree.map(lambda leaf: jnp.array(draw(leaf.shape, np.float32) / 30), shapes(whole, 34))

  @jax.jit
  def both(params):
    kept = begin.apply({'params': params}, image_BHWC, method='features')
    later = {name: leaf for name, leaf in params.items() if name.startswith(('block5', 'dense'))}
    return (
      whole.apply({'params': params}, image_BHWC, position_B, False),
      rest.apply({'params': later}, kept, position_B, False),
    )

  assert relative(*both(params)) < 1e-4
  shifted = {**params, 'block5_conv1': jax.tree.map(lambda leaf: leaf[..., ::-1], params['block5_conv1'])}
  assert relative(both(shifted)[1], both(params)[0]) > 1e-2, 'other weights must be seen'
