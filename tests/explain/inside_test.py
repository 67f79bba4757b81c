"""Every layer's map and the gradient by the last convolution, whatever stands behind it."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import tiny_networks

from bloodcell_jax.base import types
from bloodcell_jax.explain import inside, sparsity
from bloodcell_jax.models import geometry, layers, summary, zoo

# The smallest sides that leave a pixel.
SPECS = {'cnn_a': ('flatten', 46), 'cnn_b': ('flatten', 94), 'vgg16': ('average', 36)}


def image(size: int, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).random((size, size, 3)).astype(np.float32)


def test_maps_and_gradient_are_those_computed_by_hand():
  model, params = tiny_networks.make_hand()
  seen = inside.Probe(model, params, (4, 4, 3), layers.MAPS, 2)
  assert seen.layers == ('conv2d_1', 'max_pooling2d_1', 'flatten_1', 'dense_1')
  assert (seen.first_convolution, seen.last_convolution) == ('conv2d_1', 'conv2d_1')
  x = image(4)
  activations, label = seen.activations(params, x, 1)
  assert label == 1
  map_HWC = np.stack([x[..., 0], 2 * x[..., 1]], -1)
  np.testing.assert_allclose(activations.maps['conv2d_1'], map_HWC, rtol=1e-6)
  # The largest of each window gets the weight of the dense layer at the window's place, all others nothing.
  kernel_hwc = np.asarray(params['dense_1']['kernel'])[:, 1].reshape(2, 2, 2)
  expected = np.zeros((4, 4, 2), np.float32)
  for (i, j, c), weight in np.ndenumerate(kernel_hwc):
    window = map_HWC[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
    row, column = np.unravel_index(window.argmax(), (2, 2))
    expected[2 * i + row, 2 * j + column, c] = weight
  np.testing.assert_allclose(activations.gradient_HWC, expected, rtol=1e-6)
  other, _ = seen.activations(params, x, 0)
  assert not np.allclose(other.gradient_HWC, expected), 'another class, another gradient'


def test_logits_and_gradients_are_the_models_whatever_the_number_of_images():
  model, params = tiny_networks.make_hand()
  seen = inside.Probe(model, params, (4, 4, 3), layers.MAPS, 4)
  x_NHWC = np.stack([image(4, seed) for seed in range(5)])
  position = np.zeros(5, np.int32)
  expected = np.asarray(model.apply({'params': params}, x_NHWC, position, False))
  np.testing.assert_allclose(seen.logits(params, x_NHWC), expected, rtol=1e-5)
  score_N, gradient_NHWC = seen.gradients(params, x_NHWC, 1)
  np.testing.assert_allclose(score_N, expected[:, 1], rtol=1e-5)
  slope = jax.grad(lambda x: model.apply({'params': params}, x, position, False)[:, 1].sum())(x_NHWC)
  np.testing.assert_allclose(gradient_NHWC, slope, rtol=1e-5)
  assert gradient_NHWC.any()


@pytest.mark.parametrize('name', SPECS)
def test_the_size_formula_gives_the_real_shapes_of_every_network(name):
  head, size = SPECS[name]
  model = zoo.build(zoo.Spec(name, 0.5, head, 16, 3, 1, False), 4)
  params = jax.eval_shape(lambda: zoo.init(model, size, 0))
  found = geometry.layers(model, params, size)
  assert [(layer.name, layer.shape) for layer in found] == [
    (n, s) for n, _, s, _ in summary.layers(model, params, size)
  ]
  assert all(layer.agrees for layer in found)
  windows = [layer for layer in found if layer.formula]
  assert len(windows) == {'cnn_a': 8, 'cnn_b': 10, 'vgg16': 18}[name]
  order = tuple(layer.name for layer in found)
  last = inside.convolutions(order, params)[-1]
  assert last == {'cnn_a': 'conv2d_4', 'cnn_b': 'conv2d_5', 'vgg16': 'block5_conv3'}[name]


def test_a_formula_of_another_stride_is_seen_to_be_wrong(monkeypatch):
  model = zoo.build(zoo.Spec('cnn_a', 0.5, 'flatten', 16, 3, 1, False), 4)
  params = jax.eval_shape(lambda: zoo.init(model, 46, 0))
  side = geometry.side
  monkeypatch.setattr(
    geometry,
    'side',
    lambda size, kernel, before, after, stride: side(size, kernel, before, after, stride + 1),
  )
  assert not all(layer.agrees for layer in geometry.layers(model, params, 46))


def test_the_studys_maps_have_the_studys_sizes():
  model = zoo.build(zoo.Spec('cnn_b', 0.4, 'flatten', 16, 3, 1, False), 4)
  params = jax.eval_shape(lambda: zoo.init(model, 150, 0))
  sides = [layer.expected[0] for layer in geometry.layers(model, params, 150) if layer.formula]
  assert sides == [148, 74, 72, 36, 34, 17, 15, 7, 5, 2]


def test_a_network_without_a_convolution_is_refused():
  with pytest.raises(types.UserError, match='no convolution'):
    inside.convolutions(('dense_1',), {'dense_1': {'kernel': np.zeros((3, 2))}})


def test_the_share_of_zeros_counts_zeros_alone():
  values = np.array([[0.0, 1e-30], [-1.0, 0.0]])
  assert sparsity.zeros(values) == 0.5
  assert sparsity.zeros(values + 1) == 0.25
