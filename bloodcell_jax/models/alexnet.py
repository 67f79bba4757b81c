"""The first three convolutions of AlexNet under Keras-like names: a small backbone with published weights."""

from __future__ import annotations

import jax

from bloodcell_jax.models import backbone, layers

# (filters, side of the kernel, stride, padding) of each convolution. Source: torchvision `alexnet`.
CONVS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1))
# Of the first two blocks, behind their convolution.
POOL, POOL_STRIDES = (3, 3), (2, 2)


class AlexNet3(backbone.BlockNetwork):
  """Three convolutions with relu, the first two with an overlapping max-pooling: 994,624 parameters without the head.

  A map of 6x6x384 for images of 112x112, and 93 million products. It has no normalization, so that a prediction depends
  on no statistics of training images.

  Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", as in torchvision.
  """

  def setup(self):
    for block, (filters, side, stride, padding) in self._blocks():
      pads = ((padding, padding), (padding, padding))
      conv = layers.Conv(filters, (side, side), (stride, stride), pads, 'relu', self.dtype)
      setattr(self, f'block{block}_conv1', conv)
      if block < len(CONVS):
        setattr(self, f'block{block}_pool', layers.MaxPool(POOL, POOL_STRIDES, 'valid'))
    self.set_up_head()

  def _blocks(self) -> list[tuple[int, tuple[int, int, int, int]]]:
    return list(enumerate(CONVS, 1))[self.first_block - 1 : self.last_block]

  def features(self, x_BHWC: jax.Array) -> jax.Array:
    """The output [B, h, w, filters] of `last_block`, of images or of the output of the block before `first_block`."""
    x = x_BHWC
    for block, _ in self._blocks():
      x = self.keep(f'block{block}_conv1', getattr(self, f'block{block}_conv1')(x, pool=None))
      if block < len(CONVS):
        x = self.keep(f'block{block}_pool', getattr(self, f'block{block}_pool')(x))
    return x


BACKBONE = backbone.Backbone(
  create=backbone.creator(AlexNet3),
  output_layer='dense_2',
  heads=backbone.HEADS,
  channels=(3,),
  has_auxiliary=False,
  features=tuple(rf'block{i}_.*' for i in range(1, len(CONVS) + 1)),
  other_heads=(r'block[45]_.*', r'fc\d/.*', 'predictions/.*', *backbone.OWN_HEADS),
)
