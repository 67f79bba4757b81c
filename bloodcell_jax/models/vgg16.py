"""VGG16 under Keras' layer names, whole or from a block on, with a head of one's own."""

from __future__ import annotations

import flax.linen as nn
import jax

from bloodcell_jax import types
from bloodcell_jax.models import layers, rbf

# (convolutions, filters) of each block. Source: Simonyan and Zisserman 2015, table 1, column D.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
HEADS = ('flatten', 'average', 'rbf', 'imagenet')
# Of fc1 and fc2. Source: as BLOCKS.
IMAGENET_UNITS = 4096


class VGG16(nn.Module):
  """Five blocks of 3x3 convolutions, `same` padding, relu, 2x2 max-pooling, and a head.

  Weights are named as Keras names them: `block1_conv1/kernel` ... `block5_conv3/bias`, 14,714,688 in all. With
  `first_block` above 1 the input is the output of the block before, so that what is frozen need not be computed
  again; with `last_block` below 5 it ends there, to give that output.

  The heads:
    flatten: flatten, `dense_1` with relu, dropout, `dense_2`, as in the study.
    average: mean over the map, dropout, `dense_2`.
    rbf: as flatten, with neurons of radial basis functions, `rbf_1`, before `dense_2`.
    imagenet: flatten, `fc1`, `fc2`, `predictions`, the network's own: 138,357,544 parameters at 224x224 and 1000
      classes. It bears one image size alone.

  Source: Keras `applications.VGG16`.
  """

  head_kind: str  # one of HEADS
  head_units: int  # of the hidden dense layer of the flatten and rbf heads; the others leave it unused
  dropout_rate: float  # in [0, 1); the imagenet head has no dropout in Keras and none here
  num_classes: int  # 1000 for ImageNet's
  first_block: int  # 1 to 5
  last_block: int  # first_block to 5
  rbf_units: int  # of the rbf head; the others leave it unused

  def setup(self):
    if self.head_kind not in HEADS:
      raise ValueError(f'head_kind is {self.head_kind!r}; choose one of {", ".join(HEADS)}')
    for block, (num_convs, filters) in self._blocks():
      for i in range(1, num_convs + 1):
        setattr(self, f'block{block}_conv{i}', layers.Conv(filters, (3, 3), 'same', 'relu'))
    if self.head_kind == 'imagenet':
      self.fc1 = layers.Dense(IMAGENET_UNITS, 'relu')
      self.fc2 = layers.Dense(IMAGENET_UNITS, 'relu')
      self.predictions = layers.Dense(self.num_classes, None)
      return
    if self.head_kind != 'average':
      self.dense_1 = layers.Dense(self.head_units, 'relu')
    if self.head_kind == 'rbf':
      self.rbf_1 = rbf.RBF(self.rbf_units)
    self.dropout_1 = layers.Dropout(self.dropout_rate)
    # The name is the same with both heads, so that one pattern finds the last layer.
    self.dense_2 = layers.Dense(self.num_classes, None)

  def _blocks(self) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(BLOCKS, 1))[self.first_block - 1 : self.last_block]

  def features(self, x_BHWC: jax.Array) -> jax.Array:
    """The output [B, h, w, filters] of `last_block`, of images or of the output of the block before `first_block`.

    Raises:
      UserError: the input is too small for the poolings.
    """
    least = 2 ** len(self._blocks())
    if min(x_BHWC.shape[1:3]) < least:
      height, width = x_BHWC.shape[1:3]
      raise types.UserError(
        f'an input of {height}x{width} is too small for VGG16: {least}x{least} is the least'
      )
    x = x_BHWC
    for block, (num_convs, _) in self._blocks():
      for i in range(1, num_convs + 1):
        conv = getattr(self, f'block{block}_conv{i}')
        if i < num_convs or self.is_mutable_collection(layers.MAPS):
          x = self._kept(f'block{block}_conv{i}', conv(x, pool=False))
        else:
          x = conv(x, pool=True)
      if self.is_mutable_collection(layers.MAPS):
        x = self._kept(f'block{block}_pool', layers.max_pool(x))
    return x

  def embedding(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """What the top sees of a feature map: [B, D]."""
    if self.head_kind == 'average':
      x = self._kept('global_average_pooling2d_1', feature_BHWC.mean((1, 2)))
    else:
      x = self._kept('flatten_1', feature_BHWC.reshape(feature_BHWC.shape[0], -1))
    if self.head_kind == 'imagenet':
      x = self._kept('fc1', self.fc1(x))
      return self._kept('fc2', self.fc2(x))
    if self.head_kind != 'average':
      x = self._kept('dense_1', self.dense_1(x))
    return self._kept('dropout_1', self.dropout_1(x, position_B, train))

  def top(self, embedding_BD: jax.Array) -> jax.Array:
    """The logits [B, K] of an embedding."""
    if self.head_kind == 'imagenet':
      return self._kept('predictions', self.predictions(embedding_BD))
    x = embedding_BD
    if self.head_kind == 'rbf':
      x = self._kept('rbf_1', self.rbf_1(x))
    return self._kept('dense_2', self.dense_2(x))

  def head(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The logits [B, K] of a feature map."""
    return self.top(self.embedding(feature_BHWC, position_B, train))

  def _kept(self, name: str, x: jax.Array) -> jax.Array:
    layers.keep(self, name, x)
    return x

  def __call__(self, x_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    return self.head(self.features(x_BHWC), position_B, train)
