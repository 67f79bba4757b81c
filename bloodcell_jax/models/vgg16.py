"""VGG16 under Keras' layer names, whole or from a block on, with a head of one's own."""

from __future__ import annotations

import flax.linen as nn
import jax

from bloodcell_jax.models import layers

# (convolutions, filters) of each block. Source: Simonyan and Zisserman 2015, table 1, column D.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
HEADS = ('flatten', 'average')


class VGG16(nn.Module):
  """Five blocks of 3x3 convolutions, `same` padding, relu, 2x2 max-pooling, and a head.

  Weights are named as Keras names them: `block1_conv1/kernel` ... `block5_conv3/bias`, 14,714,688 in all. With
  `first_block` above 1 the input is the output of the block before, so that what is frozen need not be computed
  again; with `last_block` below 5 it ends there, to give that output.

  Source: Keras `applications.VGG16(include_top=False)`.
  """

  head_kind: str  # flatten: flatten, dense, dropout, dense, as in the study; average: mean over the map, dropout, dense
  head_units: int  # of the hidden dense layer of the flatten head
  dropout_rate: float  # in [0, 1)
  num_classes: int
  first_block: int  # 1 to 5
  last_block: int  # first_block to 5

  def setup(self):
    if self.head_kind not in HEADS:
      raise ValueError(f'head_kind is {self.head_kind!r}; choose one of {", ".join(HEADS)}')
    for block, (num_convs, filters) in self._blocks():
      for i in range(1, num_convs + 1):
        setattr(self, f'block{block}_conv{i}', layers.Conv(filters, (3, 3), 'same', 'relu'))
    if self.head_kind == 'flatten':
      self.dense_1 = layers.Dense(self.head_units, 'relu')
    self.dropout_1 = layers.Dropout(self.dropout_rate)
    self.dense_2 = layers.Dense(self.num_classes, None)

  def _blocks(self) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(BLOCKS, 1))[self.first_block - 1 : self.last_block]

  def features(self, x_BHWC: jax.Array) -> jax.Array:
    """The output [B, h, w, filters] of `last_block`, of images or of the output of the block before `first_block`."""
    x = x_BHWC
    for block, (num_convs, _) in self._blocks():
      for i in range(1, num_convs + 1):
        conv = getattr(self, f'block{block}_conv{i}')
        if i < num_convs or self.is_mutable_collection(layers.MAPS):
          x = conv(x, pool=False)
          layers.keep(self, f'block{block}_conv{i}', x)
        else:
          x = conv(x, pool=True)
      if self.is_mutable_collection(layers.MAPS):
        x = layers.max_pool(x)
        layers.keep(self, f'block{block}_pool', x)
    return x

  def head(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The logits [B, K] of a feature map."""
    if self.head_kind == 'flatten':
      x = self.dense_1(feature_BHWC.reshape(len(feature_BHWC), -1))
    else:
      x = feature_BHWC.mean((1, 2))
    return self.dense_2(self.dropout_1(x, position_B, train))

  def __call__(self, x_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    return self.head(self.features(x_BHWC), position_B, train)
