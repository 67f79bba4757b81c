"""A small network for cells at one scale: five convolutions and global average pooling, fast on any computer."""

from __future__ import annotations

import flax.linen as nn
import jax

from bloodcell_jax.models import backbone, layers

# (filters, side of the kernel, stride) of each convolution, and after which of them a 2x2 max-pooling follows. Strides
# where the map is large: most of the work is in the third and fourth convolution.
CONVS = ((24, 5, 2), (48, 3, 2), (96, 3, 1), (192, 3, 1), (256, 3, 1))
POOLED = (3, 4)
# Groups of the normalization, which divide the filters of each convolution.
GROUPS = 8


class SmallCNN(backbone.BlockNetwork):
  """664,772 parameters with the head `average` and four classes: 2.7 MB of float32. 41 million products at 80x80.

  Normalization is by groups of channels, so that a prediction depends on the image alone, on no statistics of the
  training's laboratory.
  """

  def setup(self):
    for i, (filters, side, stride) in enumerate(CONVS, 1):
      conv = layers.Conv(filters, (side, side), (stride, stride), 'same', None, self.dtype)
      setattr(self, f'conv2d_{i}', conv)
      norm = layers.GroupNormalization(GROUPS, self.dtype)
      setattr(self, f'group_normalization_{i}', norm)
      if i in POOLED:
        setattr(self, f'max_pooling2d_{i}', layers.MaxPool((2, 2), (2, 2), 'valid'))
    self.set_up_head()

  def features(self, x_BHWC: jax.Array) -> jax.Array:
    """The last feature map, its sides a sixteenth of the image's."""
    x = x_BHWC
    for i in range(1, len(CONVS) + 1):
      x = self.keep(f'conv2d_{i}', getattr(self, f'conv2d_{i}')(x, pool=None))
      name = f'group_normalization_{i}'
      x = self.keep(name, jax.nn.relu(getattr(self, name)(x)))
      if i in POOLED:
        x = self.keep(f'max_pooling2d_{i}', getattr(self, f'max_pooling2d_{i}')(x))
    return x


def cnn_small(options: backbone.Options) -> nn.Module:
  """The network of these options."""
  return SmallCNN(
    options.head,
    options.head_units,
    options.dropout_rate,
    options.num_classes,
    1,
    1,
    options.rbf_units,
    options.dtype,
  )


NETWORK = backbone.Network(
  create=cnn_small,
  output_layer='dense_2',
  heads=backbone.HEADS,
  channels=(3,),
  has_auxiliary=False,
  features=(r'conv2d_\d+/.*', r'group_normalization_\d+/.*'),
  other_heads=backbone.OWN_HEADS,
)
