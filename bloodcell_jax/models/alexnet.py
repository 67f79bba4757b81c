"""AlexNet's convolutions under Keras-like names, five or three of them, with published weights."""

from __future__ import annotations

import jax

from bloodcell_jax.base import types
from bloodcell_jax.models import backbone, layers

# (filters, side of the kernel, stride, padding) of each convolution. Source: torchvision `alexnet`.
CONVS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
# Behind the convolution of the first two blocks. The pooling behind the last is left out: a head pools the whole map.
POOL, POOL_STRIDES, NUM_POOLED = (3, 3), (2, 2), 2


class AlexNet(backbone.BlockNetwork):
  """Convolutions with relu, the first two with an overlapping max-pooling: without the head 2,469,696 parameters, of
  the first three 994,624.

  A map of 13x13x256 for images of 224x224, and 656 million products; three convolutions have 407 million there. It has
  no normalization, so that a prediction depends on no statistics of training images.

  Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", as in torchvision.
  """

  def setup(self):
    for block, (filters, side, stride, padding) in self._blocks():
      pads = ((padding, padding), (padding, padding))
      conv = layers.Conv(filters, (side, side), (stride, stride), pads, 'relu', self.dtype, self.convolution)
      setattr(self, f'block{block}_conv1', conv)
      if block <= NUM_POOLED:
        setattr(self, f'block{block}_pool', layers.MaxPool(POOL, POOL_STRIDES, 'valid'))
    self.set_up_head()

  def _blocks(self) -> list[tuple[int, tuple[int, int, int, int]]]:
    return list(enumerate(CONVS, 1))[self.first_block - 1 : self.last_block]

  def features(self, x_BHWC: jax.Array) -> jax.Array:
    """The output [B, h, w, filters] of `last_block`, of images or of the output of the block before `first_block`.

    Raises:
      UserError: the input is too small for the poolings; images need 31x31.
    """
    x = x_BHWC
    for block, _ in self._blocks():
      x = self.keep(f'block{block}_conv1', getattr(self, f'block{block}_conv1')(x, pool=None))
      if block <= NUM_POOLED:
        if min(x.shape[1:3]) < min(POOL):
          height, width = x_BHWC.shape[1:3]
          raise types.UserError(
            f'an input of {height}x{width} is too small for AlexNet: a feature map would be empty'
          )
        x = self.keep(f'block{block}_pool', getattr(self, f'block{block}_pool')(x))
    return x


BACKBONE = backbone.numbered(AlexNet, len(CONVS))
# The first three convolutions, which know less of ImageNet's things.
BLOCK3 = BACKBONE.up_to(3)
