"""The small backbones, their published weights, and the configs of cells at one scale."""

from __future__ import annotations

import dataclasses
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.models import layers, zoo
from bloodcell_jax.weights import pretrained
from configs import travel

SIDE = 64


CONVS = {'alexnet3': 3, 'alexnet': 5}


@pytest.fixture(scope='module', params=CONVS)
def small(request):
  """(its spec, the network with random weights, images)."""
  spec = experiment.resolve(travel.get_config('small')).model
  spec = dataclasses.replace(spec, name=request.param)
  params = zoo.init(zoo.build(spec, 4), SIDE, 0)
  return spec, params, np.random.default_rng(0).normal(0, 1, (2, SIDE, SIDE, 3)).astype(np.float32)


def torchvision_features(params, num_convs, image_BHWC, stride=(4, 4)):
  """The first convolutions of torchvision's AlexNet, by Flax's own layers."""
  x = image_BHWC
  convs = ((64, 11, stride, 2), (192, 5, (1, 1), 2), (384, 3, (1, 1), 1), *[(256, 3, (1, 1), 1)] * 2)
  for i, (features, side, strides, pad) in enumerate(convs[:num_convs], 1):
    conv = nn.Conv(features, (side, side), strides, [(pad, pad)] * 2)
    x = jax.nn.relu(conv.apply({'params': dict(params[f'block{i}_conv1'])}, x))
    if i < 3:
      x = nn.max_pool(x, (3, 3), (2, 2))
  return x


def test_features_are_those_of_torchvision(small):
  spec, params, image_BHWC = small
  own = zoo.build(spec, 4).apply({'params': params}, image_BHWC, method='features')
  np.testing.assert_allclose(own, torchvision_features(params, CONVS[spec.name], image_BHWC), atol=1e-4)
  other = torchvision_features(params, CONVS[spec.name], image_BHWC, (3, 3))
  assert other.shape != own.shape


def test_blocks_one_after_the_other_are_the_network(small):
  spec, params, image_BHWC = small
  options, x = zoo.options(spec, 4), image_BHWC
  last = CONVS[spec.name]
  for block in range(1, last + 1):
    net = spec.backbone.between(options, block, block)
    x = net.apply({'params': params}, x, method='features')
  whole = zoo.build(spec, 4)
  np.testing.assert_allclose(x, whole.apply({'params': params}, image_BHWC, method='features'), atol=1e-4)
  _, outputs = whole.apply({'params': params}, image_BHWC, jnp.arange(2), False, mutable=layers.MAPS)
  np.testing.assert_allclose(outputs[layers.MAPS][f'block{last}_conv1:output'], x, atol=1e-4)


def test_it_is_under_5_megabytes(small):
  """Of float32, or all five convolutions of half precision."""
  spec, params, _ = small
  size, channels, num_bytes = {'alexnet3': (994_624, 384, 4), 'alexnet': (2_469_696, 256, 2)}[spec.name]
  assert tree.count(params) == size + channels * 4 + 4
  assert num_bytes * tree.count(params) < 5e6


@pytest.mark.parametrize('weights', ['auto', 'pbc'])
def test_the_weights_that_come_with_it_fit(small, weights):
  spec, params, _ = small
  published = pretrained.read(weights, spec.name)
  names = {name for name in tree.names(params) if not name.startswith('dense_')}
  # Files hold all convolutions; a network of three leaves the others unread.
  others = set(published.params) - names
  assert all(any(re.fullmatch(p, name) for p in spec.network.other_heads) for name in others)
  assert len(others) == (4 if spec.name == 'alexnet3' else 0)
  assert {name: published.params[name].shape for name in names} == {
    name: leaf.shape for name, leaf in tree.names(params).items() if name in names
  }


@pytest.mark.parametrize('variant', travel.VARIANTS)
def test_the_config_shows_cells_at_one_scale_and_learns_no_statistics(variant):
  exp = experiment.resolve(travel.get_config(variant))
  usual = ('cell', 'laboratories', 'mirrors')
  others = {
    'pooled': ('cell_close', 'images', 'symmetries'),
    'tuned': ('cell_close', 'laboratories', 'symmetries'),
    'compact': ('cell_close', 'laboratories', 'symmetries'),
  }
  expected = others.get(variant, usual)
  assert (exp.data.decode.view, exp.draw, exp.tta) == expected
  spec = exp.transform.standardize
  assert not (spec.featurewise_center)
  assert not (spec.featurewise_std_normalization)
  assert not (spec.zca_whitening)


def test_the_config_refuses_another_variant():
  with pytest.raises(ValueError, match='choose one of compact, pooled'):
    travel.get_config('large')


@pytest.mark.parametrize('head', ['average', 'mean_max', 'flatten'])
def test_images_that_leave_no_feature_map_are_refused_whatever_the_head(head):
  spec = dataclasses.replace(experiment.resolve(travel.get_config('small')).model, name='alexnet', head=head)
  model = zoo.build(spec, 4)
  with pytest.raises(types.UserError, match='30x30 is too small for AlexNet'):
    zoo.shapes(model, 30)
  assert jax.tree.leaves(zoo.shapes(model, 31))
