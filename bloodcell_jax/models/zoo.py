"""Every network by its name in a config."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax import rng, tree, types
from bloodcell_jax.models import cnn, vgg16

NAMES = ('cnn_a', 'cnn_b', 'vgg16')
HEADS = ('flatten', 'average')  # of vgg16
# The weights of vgg16 that come from elsewhere; the rest is its head.
FEATURES = (r'block\d_.*',)
# The heads of files: that of ImageNet, and the project's own.
OTHER_HEADS = (r'fc\d/.*', 'predictions/.*', r'dense_\d+/.*')


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which network, and what of it can be chosen."""

  name: str
  dropout_rate: float  # in [0, 1)
  head: str  # vgg16: one of HEADS
  head_units: int  # vgg16: of the hidden layer of the flatten head

  def __post_init__(self):
    for key, choices in (('name', NAMES), ('head', HEADS)):
      if getattr(self, key) not in choices:
        raise types.UserError(f'model.{key} is {getattr(self, key)!r}; choose one of {", ".join(choices)}')
    if self.head_units < 1:
      raise types.UserError(f'model.head_units is {self.head_units}; it must be 1 or more')
    if not 0 <= self.dropout_rate < 1:
      raise types.UserError(f'model.dropout_rate is {self.dropout_rate}; it must lie in [0, 1)')


def build(spec: Spec, num_classes: int) -> nn.Module:
  """The network, called as `apply(variables, image_BHWC, position_B, train)` for logits [B, K]."""
  if spec.name == 'vgg16':
    return from_block(spec, num_classes, 1)
  return {'cnn_a': cnn.cnn_a, 'cnn_b': cnn.cnn_b}[spec.name](num_classes, spec.dropout_rate)


def from_block(spec: Spec, num_classes: int, first_block: int) -> vgg16.VGG16:
  """VGG16 from this block on; 6 for its head alone."""
  last = len(vgg16.BLOCKS)
  return vgg16.VGG16(spec.head, spec.head_units, spec.dropout_rate, num_classes, first_block, last)


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
