"""Every network by its name in a config."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax import rng, tree, types
from bloodcell_jax.models import cnn, hybrid, vgg16

NAMES = ('cnn_a', 'cnn_b', 'hybrid', 'vgg16')
# Linear behind the flattened map, or behind its average (vgg16), or neurons of radial basis functions before that.
HEADS = ('flatten', 'average', 'rbf')
CHANNELS = (1, 3)
# The dense layer that gives the logits, which a fit may replace.
TOPS = {'cnn_a': 'dense_2', 'cnn_b': 'dense_3', 'hybrid': 'dense_3', 'vgg16': 'dense_2'}
# The weights that are a network's features; the rest is its head.
FEATURES = r'(block\d_conv|conv2d_)\d+/.*'
# The heads of files: that of ImageNet, and the project's own.
OTHER_HEADS = (r'fc\d/.*', 'predictions/.*', r'(dense|rbf|auxiliary)_\d+/.*')


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which network, and what of it can be chosen."""

  name: str
  dropout_rate: float  # in [0, 1)
  head: str  # one of HEADS; average is vgg16's
  head_units: int  # vgg16: of the hidden layer of the flatten and rbf heads; hybrid: of the first dense layer
  channels: int  # one of CHANNELS; 1 is not vgg16's
  rbf_units: int  # neurons of the rbf head
  auxiliary: bool  # with a top of its own behind each convolution; not vgg16's

  def __post_init__(self):
    for key, choices in (('name', NAMES), ('head', HEADS)):
      if getattr(self, key) not in choices:
        raise types.UserError(f'model.{key} is {getattr(self, key)!r}; choose one of {", ".join(choices)}')
    for key in ('head_units', 'rbf_units'):
      if getattr(self, key) < 1:
        raise types.UserError(f'model.{key} is {getattr(self, key)}; it must be 1 or more')
    if self.channels not in CHANNELS:
      raise types.UserError(f'model.channels is {self.channels}; it must be 3, or 1 for grey')
    if self.name == 'vgg16' and self.channels != 3:
      raise types.UserError('model.channels is 1, but vgg16 takes three; set it to 3')
    if self.name == 'vgg16' and self.auxiliary:
      raise types.UserError('model.auxiliary is for cnn_a, cnn_b and hybrid; set it to False with vgg16')
    if not 0 <= self.dropout_rate < 1:
      raise types.UserError(f'model.dropout_rate is {self.dropout_rate}; it must lie in [0, 1)')


def build(spec: Spec, num_classes: int) -> nn.Module:
  """The network, called as `apply(variables, image_BHWC, position_B, train)` for logits [B, K]."""
  if spec.name == 'vgg16':
    return from_block(spec, num_classes, 1)
  rbf_units = spec.rbf_units if spec.head == 'rbf' else 0
  if spec.name == 'hybrid':
    return hybrid.hybrid(
      num_classes, spec.dropout_rate, spec.head_units, spec.channels, rbf_units, spec.auxiliary
    )
  make = {'cnn_a': cnn.cnn_a, 'cnn_b': cnn.cnn_b}[spec.name]
  return make(num_classes, spec.dropout_rate, spec.channels, rbf_units, spec.auxiliary)


def num_auxiliary(spec: Spec) -> int:
  """How many auxiliary tops the network has: one a convolution, and one behind the hidden dense layers."""
  if not spec.auxiliary:
    return 0
  return len(build(spec, 1).filters) + 1  # type: ignore[attr-defined]


def from_block(spec: Spec, num_classes: int, first_block: int) -> vgg16.VGG16:
  """VGG16 from this block on; 6 for its head alone."""
  last = len(vgg16.BLOCKS)
  return vgg16.VGG16(
    spec.head, spec.head_units, spec.dropout_rate, num_classes, first_block, last, spec.rbf_units
  )


def num_frozen_blocks(spec: Spec, is_trained: Any) -> int:
  """How many of the network's first blocks have no weight that is trained; 0 for a network without blocks.

  Args:
    spec: which network.
    is_trained: for each of its weights whether it is trained; a tree of bools.
  """
  if spec.name != 'vgg16':
    return 0
  trained = {name.split('_')[0] for name, chosen in tree.names(is_trained).items() if chosen}
  num = len(vgg16.BLOCKS)
  return next((i for i in range(num) if f'block{i + 1}' in trained), num)


def init(model: nn.Module, image_size: int, seed: int) -> Any:
  """Fresh parameters for square RGB images of this side.

  Raises:
    UserError: the images are too small for the network's poolings.
  """
  image_BHWC, position_B = jnp.zeros((1, image_size, image_size, 3)), jnp.zeros([1], jnp.int32)

  def create(key: jax.Array) -> Any:
    return model.init(key, image_BHWC, position_B, False)['params']

  key = rng.key(seed, 'init')
  try:
    is_empty = any(0 in leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(create, key)))
  except ZeroDivisionError:  # from the initialiser of a kernel without inputs
    is_empty = True
  if is_empty:
    raise types.UserError(
      f'data.image_size is {image_size}: too small for this network, a feature map would be empty'
    )
  return jax.jit(create)(key)
