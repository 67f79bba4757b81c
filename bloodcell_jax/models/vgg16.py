"""VGG16 under Keras' layer names, whole or from a block on, with a new head or its own."""

from __future__ import annotations

import jax

from bloodcell_jax.base import types
from bloodcell_jax.models import backbone, layers

# (convolutions, filters) of each block. Source: Simonyan and Zisserman 2015, table 1, column D.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
HEADS = (*backbone.HEADS, 'imagenet')
# Of fc1 and fc2. Source: as BLOCKS.
IMAGENET_UNITS = 4096


class VGG16(backbone.BlockNetwork):
  """Five blocks of 3x3 convolutions, `same` padding, relu, 2x2 max-pooling, and a head.

  Weights are named as Keras names them: `block1_conv1/kernel` ... `block5_conv3/bias`, 14,714,688 in all.

  Beside the heads of `BlockNetwork` it has `imagenet`, its own: flatten, `fc1`, `fc2`, `predictions`, without dropout
  as in Keras; 138,357,544 parameters in all at 224x224 and 1000 classes.

  Source: Keras `applications.VGG16`.
  """

  def setup(self):
    if self.head_kind not in HEADS:
      raise ValueError(f'head_kind is {self.head_kind!r}; choose one of {", ".join(HEADS)}')
    for block, (num_convs, filters) in self._blocks():
      for i in range(1, num_convs + 1):
        conv = layers.Conv(filters, (3, 3), (1, 1), 'same', 'relu', self.dtype, self.convolution)
        setattr(self, f'block{block}_conv{i}', conv)
      setattr(self, f'block{block}_pool', layers.MaxPool((2, 2), (2, 2), 'valid'))
    if self.head_kind != 'imagenet':
      self.set_up_head()
      return
    self.flatten_1 = layers.Flatten()
    self.fc1 = layers.Dense(IMAGENET_UNITS, 'relu', self.dtype)
    self.fc2 = layers.Dense(IMAGENET_UNITS, 'relu', self.dtype)
    self.predictions = layers.Dense(self.num_classes, None, self.dtype)

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
      pool = getattr(self, f'block{block}_pool')
      for i in range(1, num_convs + 1):
        conv = getattr(self, f'block{block}_conv{i}')
        if i < num_convs or self.is_mutable_collection(layers.MAPS):
          x = self.keep(f'block{block}_conv{i}', conv(x, pool=None))
        else:
          x = conv(x, pool=pool)
      if self.is_mutable_collection(layers.MAPS):
        x = self.keep(f'block{block}_pool', pool(x))
    return x

  def embedding(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The input [B, D] of the last layer, for a feature map."""
    if self.head_kind != 'imagenet':
      return super().embedding(feature_BHWC, position_B, train)
    x = self.keep('flatten_1', self.flatten_1(feature_BHWC))
    x = self.keep('fc1', self.fc1(x))
    return self.keep('fc2', self.fc2(x))

  def logits(self, embedding_BD: jax.Array) -> jax.Array:
    """The logits [B, K] of an embedding."""
    if self.head_kind != 'imagenet':
      return super().logits(embedding_BD)
    return self.keep('predictions', layers.logits(self.predictions(embedding_BD)))


BACKBONE = backbone.numbered(VGG16, len(BLOCKS))
# 7,635,264 parameters without the head. What block 4 knows is nearer to textures of a cell than what block 5 knows,
# which is made of ImageNet's objects.
BLOCK4 = BACKBONE.up_to(4)
