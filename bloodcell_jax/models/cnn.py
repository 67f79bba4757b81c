"""The study's two convolutional networks, layer for layer, under Keras' names."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax

from bloodcell_jax.models import layers


class CNN(nn.Module):
  """Blocks of 3x3 convolution, relu and 2x2 max-pooling, then dense layers with one dropout.

  Weights are named as Keras 2 would in a fresh session: `conv2d_1/kernel` ... `dense_3/bias`. Called with
  `mutable=layers.MAPS` it also gives the output of every layer by name.

  Source: the study, illustration 3; Keras 2 defaults (`valid` padding, Glorot uniform, zero biases).
  """

  filters: Sequence[int]  # of each convolution
  units: Sequence[int]  # of each hidden dense layer
  dropout_at: int  # the dropout stands before this dense layer, counted from 0
  dropout_rate: float  # in [0, 1)
  num_classes: int

  def setup(self):
    for i, filters in enumerate(self.filters, 1):
      setattr(self, f'conv2d_{i}', layers.Conv(filters, (3, 3), 'valid', 'relu'))
    for i, units in enumerate(self.units, 1):
      setattr(self, f'dense_{i}', layers.Dense(units, 'relu'))
    # The last layer gives logits; the softmax of the study is part of the loss and of predictions.
    setattr(self, f'dense_{len(self.units) + 1}', layers.Dense(self.num_classes, None))
    self.dropout_1 = layers.Dropout(self.dropout_rate)

  def features(self, image_BHWC: jax.Array) -> jax.Array:
    """The last feature map, [B, h, w, filters[-1]]."""
    x = image_BHWC
    for i in range(1, len(self.filters) + 1):
      conv = getattr(self, f'conv2d_{i}')
      if self.is_mutable_collection(layers.MAPS):
        x = conv(x, pool=False)
        layers.keep(self, f'conv2d_{i}', x)
        x = layers.max_pool(x)
        layers.keep(self, f'max_pooling2d_{i}', x)
      else:
        x = conv(x, pool=True)
    return x

  def head(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The logits [B, K] of a feature map."""
    x = feature_BHWC.reshape(feature_BHWC.shape[0], -1)
    layers.keep(self, 'flatten_1', x)
    for i in range(len(self.units) + 1):
      if i == self.dropout_at:
        x = self.dropout_1(x, position_B, train)
        layers.keep(self, 'dropout_1', x)
      x = getattr(self, f'dense_{i + 1}')(x)
      layers.keep(self, f'dense_{i + 1}', x)
    return x

  def __call__(self, image_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    return self.head(self.features(image_BHWC), position_B, train)


def cnn_a(num_classes: int, dropout_rate: float) -> CNN:
  """The study's smaller network: 504,228 parameters at 150x150x3 and four classes."""
  return CNN((32, 32, 64, 128), (64,), 1, dropout_rate, num_classes)


def cnn_b(num_classes: int, dropout_rate: float) -> CNN:
  """The study's larger network: 606,596 parameters at 150x150x3 and four classes."""
  return CNN((32, 64, 64, 128, 128), (512, 128), 0, dropout_rate, num_classes)
