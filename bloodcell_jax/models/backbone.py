"""What the package must know of a network, and of one that begins with published weights.

A new network is a file beside this one with its Flax module and a `Network` or `Backbone`, an entry in `zoo.NETWORKS`,
its published weights in `weights/published.py`, a config and a test.

**Batch normalization.** No network here has state beside its parameters: `train/state.py`, checkpoints and the step
know none. A backbone with batch normalization is built from convolutions with a bias alone; each normalization is
folded into the convolution before it when the weights are read (`weights/folding.py`), from the moving statistics of
the published weights, and is not trained. The statistics are those of ImageNet then, also where a block is fine-tuned,
which is what Keras does with `layer(x, training=False)`, its advice for fine-tuning.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from bloodcell_jax.base import tree
from bloodcell_jax.models import layers, rbf


@dataclasses.dataclass(frozen=True)
class Options:
  """What a network is built from; each network uses those that concern it."""

  num_classes: int  # K
  dropout_rate: float  # in [0, 1)
  head: str  # one of the network's heads
  head_units: int  # of the head's hidden layer
  channels: int  # of the images: one of the network's channels
  rbf_units: int  # of the rbf head
  auxiliary: bool  # whether each convolution has auxiliary logits
  dtype: DTypeLike  # in which the layers compute; parameters and logits are float32
  convolution: str  # one of `fast_conv.ALGORITHMS`


@dataclasses.dataclass(frozen=True)
class Network:
  """A network as configs name it. Its module has the methods of `cnn.CNN`:
  `features`, `embedding`, `logits`, `head`."""

  create: Callable[..., nn.Module]  # of Options
  output_layer: str  # the dense layer that gives the logits, which a fit may replace
  heads: tuple[str, ...]  # the values of model.head that it takes
  channels: tuple[int, ...]  # the values of model.channels that it takes
  has_auxiliary: bool  # whether it can have auxiliary logits
  features: tuple[
    str, ...
  ]  # patterns of the names of its features' weights, matched whole; the others are its head's
  other_heads: tuple[
    str, ...
  ]  # patterns of names in files of weights that belong to a head, this one or another

  @property
  def first_convolution(self) -> str:
    """The pattern of the names of the weights of the first convolution, or of the first block of them."""
    return 'conv2d_1/.*'

  def build(self, options: Options) -> nn.Module:
    """The whole network."""
    return self.create(options)


@dataclasses.dataclass(frozen=True)
class Backbone(Network):
  """A network whose features are blocks with published weights, and whose head is new.

  `features` has one pattern for each block, in order. A block takes the output of the one before it and nothing else,
  so that the first ones can be frozen and computed once an image.

  `create` takes (options, first_block, last_block): the network from the output of the block before `first_block` on,
  its features those of `last_block`. Blocks count from 1; with `first_block` one above the number of blocks the
  network is its head alone. `BlockNetwork` has what such a module must have beside its blocks.

  The published weights are the records in `weights/published.py` under the same name.
  """

  @property
  def blocks(self) -> tuple[str, ...]:
    """In order, the pattern of the names of each block's weights."""
    return self.features

  @property
  def first_convolution(self) -> str:
    return self.blocks[0]

  def build(self, options: Options) -> nn.Module:
    """The whole network."""
    return self.create(options, 1, len(self.blocks))

  def from_block(self, options: Options, first_block: int) -> nn.Module:
    """The network from this block on; from one more than there are, its head alone."""
    return self.create(options, first_block, len(self.blocks))

  def between(self, options: Options, first_block: int, last_block: int) -> nn.Module:
    """The network whose `features` are the output of `last_block`, given the input of `first_block`."""
    return self.create(options, first_block, last_block)

  def up_to(self, last_block: int) -> Backbone:
    """The network that ends with this block; weights of the later ones are left unread."""
    return dataclasses.replace(
      self,
      features=self.features[:last_block],
      other_heads=(*self.features[last_block:], *self.other_heads),
    )

  def num_frozen(self, is_trained: Any) -> int:
    """How many of the first blocks have no weight that is trained.

    Args:
      is_trained: for each of the network's weights whether it is trained; a tree of bools.
    """
    trained = [name for name, chosen in tree.names(is_trained).items() if chosen]
    for i, block in enumerate(self.blocks):
      if any(re.fullmatch(block, name) for name in trained):
        return i
    return len(self.blocks)

  def weights_of(self, params: Any, num_blocks: int) -> dict[str, Any]:
    """The weights of the first blocks, by name."""
    first = self.blocks[:num_blocks]
    return {
      name: leaf
      for name, leaf in tree.names(params).items()
      if any(re.fullmatch(block, name) for block in first)
    }


HEADS = ('flatten', 'average', 'mean_max', 'rbf')
# Those without a hidden layer, which take a map of any size.
POOLED = ('average', 'mean_max')
# Patterns of the names of weights of the heads of all networks here.
OWN_HEADS = (r'(dense|rbf|auxiliary)_\d+/.*',)


class BlockNetwork(nn.Module):
  """The head that every backbone can have. A subclass makes its blocks in `setup`, and `features`.

  flatten: flatten, `dense_1` with relu, dropout, `dense_2`, as in the study.
  average: mean over the map, dropout, `dense_2`.
  mean_max: mean and maximum over the map side by side, dropout, `dense_2`.
  rbf: as flatten, with neurons of radial basis functions, `rbf_1`, before `dense_2`.
  """

  head_kind: str  # one of HEADS
  head_units: int  # of the hidden dense layer of the flatten and rbf heads; the others leave it unused
  dropout_rate: float  # in [0, 1)
  num_classes: int  # K
  first_block: int  # from 1; one more than there are blocks for the head alone
  last_block: int  # first_block or more
  rbf_units: int  # of the rbf head; the others leave it unused
  dtype: DTypeLike  # in which the layers compute; parameters and logits are float32
  convolution: str  # one of `fast_conv.ALGORITHMS`

  def set_up_head(self) -> None:
    """The layers of the head; called by `setup`."""
    if self.head_kind not in HEADS:
      raise ValueError(f'head_kind is {self.head_kind!r}; choose one of {", ".join(HEADS)}')
    if self.head_kind in POOLED:
      self.global_average_pooling2d_1 = layers.GlobalAveragePooling()
      if self.head_kind == 'mean_max':
        self.global_max_pooling2d_1 = layers.GlobalMaxPooling()
        self.concatenate_1 = layers.Concatenate()
    else:
      self.flatten_1 = layers.Flatten()
      self.dense_1 = layers.Dense(self.head_units, 'relu', self.dtype)
    if self.head_kind == 'rbf':
      self.rbf_1 = rbf.RBF(self.rbf_units, self.dtype)
    self.dropout_1 = layers.Dropout(self.dropout_rate)
    # The same name in every head, so that one pattern finds the last layer.
    self.dense_2 = layers.Dense(self.num_classes, None, self.dtype)

  def features(self, x_BHWC: jax.Array) -> jax.Array:
    """The output [B, h, w, C] of `last_block`, of images or of the output of the block before `first_block`."""
    raise NotImplementedError

  def embedding(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The input [B, D] of the last layer, for a feature map."""
    if self.head_kind in POOLED:
      x = self.keep('global_average_pooling2d_1', self.global_average_pooling2d_1(feature_BHWC))
      if self.head_kind == 'mean_max':
        largest_BC = self.keep('global_max_pooling2d_1', self.global_max_pooling2d_1(feature_BHWC))
        x = self.keep('concatenate_1', self.concatenate_1(x, largest_BC))
    else:
      x = self.keep('flatten_1', self.flatten_1(feature_BHWC))
      x = self.keep('dense_1', self.dense_1(x))
    return self.keep('dropout_1', self.dropout_1(x, position_B, train))

  def logits(self, embedding_BD: jax.Array) -> jax.Array:
    """The logits [B, K] of an embedding."""
    x = embedding_BD
    if self.head_kind == 'rbf':
      x = self.keep('rbf_1', self.rbf_1(x))
    return self.keep('dense_2', layers.logits(self.dense_2(x)))

  def head(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The logits [B, K] of a feature map."""
    return self.logits(self.embedding(feature_BHWC, position_B, train))

  def keep(self, name: str, x: jax.Array) -> jax.Array:
    """`x`, stored as the output of this layer where all outputs are asked for."""
    layers.keep(self, name, x)
    return x

  def __call__(self, x_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    return self.head(self.features(x_BHWC), position_B, train)


def creator(block_network: type[BlockNetwork]) -> Callable[[Options, int, int], nn.Module]:
  """The `create` of a backbone whose module has no fields but those of `BlockNetwork`."""

  def create(options: Options, first_block: int, last_block: int) -> nn.Module:
    return block_network(
      options.head,
      options.head_units,
      options.dropout_rate,
      options.num_classes,
      first_block,
      last_block,
      options.rbf_units,
      options.dtype,
      options.convolution,
    )

  return create


def numbered(block_network: type[BlockNetwork], num_blocks: int) -> Backbone:
  """The backbone of a network of colour images whose blocks' weights are `block1_...` on.

  Files of its weights may hold ImageNet's head under the names fc1, fc2 and predictions, which is left unread.
  """
  return Backbone(
    create=creator(block_network),
    output_layer='dense_2',
    heads=HEADS,
    channels=(3,),
    has_auxiliary=False,
    features=tuple(rf'block{i}_.*' for i in range(1, num_blocks + 1)),
    other_heads=(r'fc\d/.*', 'predictions/.*', *OWN_HEADS),
  )
