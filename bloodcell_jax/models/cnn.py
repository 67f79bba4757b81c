"""The study's plain convolutional networks, layer by layer, under Keras' names."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from bloodcell_jax.models import backbone, layers, rbf

# Weights of red, green and blue in grey. Source: ITU-R BT.601, as Pillow's mode L.
GREY_C = (0.299, 0.587, 0.114)


class CNN(nn.Module):
  """Blocks of convolution, relu and 2x2 max-pooling, then dense layers with one dropout; the last is the output layer.

  Weights are named as by Keras 2 in a fresh session: `conv2d_1/kernel` ... `dense_3/bias`. Applied with
  `mutable=layers.MAPS` it also returns the output of every layer by name.

  With `rbf_units` the output layer is preceded by one of radial basis functions, `rbf_1`. With
  `has_auxiliary` there is a dense layer `auxiliary_i` behind each convolution and one behind the hidden dense layers;
  each gives logits of its own (`auxiliary`), which the network's logits do not use.

  Source: the study, illustration 3; Keras 2 defaults (`valid` padding, Glorot uniform, zero biases).
  """

  filters: Sequence[int]  # of each convolution
  kernel_sizes: Sequence[tuple[int, int]]  # of each convolution, rows and columns
  units: Sequence[int]  # of each hidden dense layer
  dropout_at: int  # index of the dense layer that follows the dropout, from 0
  dropout_rate: float  # in [0, 1)
  num_classes: int
  channels: int  # 3, or 1: the network converts colour images to grey
  rbf_units: int  # 0 for none
  has_auxiliary: bool
  dtype: DTypeLike  # in which the layers compute; parameters and logits are float32
  convolution: str  # one of `fast_conv.ALGORITHMS`

  def setup(self):
    for i, (filters, size) in enumerate(zip(self.filters, self.kernel_sizes, strict=True), 1):
      setattr(
        self, f'conv2d_{i}', layers.Conv(filters, size, (1, 1), 'valid', 'relu', self.dtype, self.convolution)
      )
      setattr(self, f'max_pooling2d_{i}', layers.MaxPool((2, 2), (2, 2), 'valid'))
    self.flatten_1 = layers.Flatten()
    for i, units in enumerate(self.units, 1):
      setattr(self, f'dense_{i}', layers.Dense(units, 'relu', self.dtype))
    # It gives logits: the study's softmax is part of the loss and of predictions.
    setattr(self, f'dense_{len(self.units) + 1}', layers.Dense(self.num_classes, None, self.dtype))
    self.dropout_1 = layers.Dropout(self.dropout_rate)
    if self.rbf_units:
      self.rbf_1 = rbf.RBF(self.rbf_units, self.dtype)
    for i in range(1, len(self.filters) + 2 if self.has_auxiliary else 0):
      setattr(self, f'auxiliary_{i}', layers.Dense(self.num_classes, None, self.dtype))

  def features(self, image_BHWC: jax.Array) -> jax.Array:
    """The last feature map, [B, h, w, filters[-1]]."""
    return self._maps(image_BHWC, len(self.filters))

  def _maps(self, image_BHWC: jax.Array, depth: int) -> jax.Array:
    """The map behind this many convolutions."""
    x = image_BHWC
    if self.channels == 1 and x.shape[-1] == 3:
      x = (x * jnp.array(GREY_C, x.dtype).reshape(1, 1, 1, 3)).sum(-1, keepdims=True)
    for i in range(1, depth + 1):
      conv, pool = getattr(self, f'conv2d_{i}'), getattr(self, f'max_pooling2d_{i}')
      if self.is_mutable_collection(layers.MAPS):
        x = conv(x, pool=None)
        layers.keep(self, f'conv2d_{i}', x)
        x = pool(x)
        layers.keep(self, f'max_pooling2d_{i}', x)
      else:
        x = conv(x, pool=pool)
      self._keep_auxiliary(i, x)
    return x

  def embedding(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The input [B, D] of the output layer: the output of the last hidden dense layer, for a feature map."""
    x = self.flatten_1(feature_BHWC)
    layers.keep(self, 'flatten_1', x)
    for i in range(len(self.units) + 1):
      if i == self.dropout_at:
        x = self.dropout_1(x, position_B, train)
        layers.keep(self, 'dropout_1', x)
      if i < len(self.units):
        x = getattr(self, f'dense_{i + 1}')(x)
        layers.keep(self, f'dense_{i + 1}', x)
    self._keep_auxiliary(len(self.filters) + 1, x)
    return x

  def logits(self, embedding_BD: jax.Array) -> jax.Array:
    """The logits [B, K] of an embedding."""
    x = embedding_BD
    if self.rbf_units:
      x = self.rbf_1(x)
      layers.keep(self, 'rbf_1', x)
    name = f'dense_{len(self.units) + 1}'
    x = layers.logits(getattr(self, name)(x))
    layers.keep(self, name, x)
    return x

  def head(self, feature_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    """The logits [B, K] of a feature map."""
    return self.logits(self.embedding(feature_BHWC, position_B, train))

  def auxiliary(self, image_BHWC: jax.Array, position_B: jax.Array, train: bool, depth: int) -> jax.Array:
    """The logits [B, K] of the auxiliary output layer after `depth` convolutions; one more follows the dense layers."""
    x = self._maps(image_BHWC, min(depth, len(self.filters)))
    if depth > len(self.filters):
      x = self.embedding(x, position_B, train)
    return self._auxiliary_logits(x, depth)

  def _auxiliary_logits(self, x: jax.Array, depth: int) -> jax.Array:
    return layers.logits(getattr(self, f'auxiliary_{depth}')(x.reshape(len(x), -1)))

  def _keep_auxiliary(self, depth: int, x: jax.Array) -> None:
    """Stores the auxiliary logits at this depth where all outputs are asked for, as at initialization."""
    if self.has_auxiliary and self.is_mutable_collection(layers.MAPS):
      layers.keep(self, f'auxiliary_{depth}', self._auxiliary_logits(x, depth))

  def __call__(self, image_BHWC: jax.Array, position_B: jax.Array, train: bool) -> jax.Array:
    return self.head(self.features(image_BHWC), position_B, train)


def cnn_a(options: backbone.Options) -> CNN:
  """The study's smaller network: 504,228 parameters at 150x150x3 and four classes."""
  return build((32, 32, 64, 128), ((3, 3),) * 4, (64,), 1, options)


def cnn_b(options: backbone.Options) -> CNN:
  """The study's larger network: 606,596 parameters at 150x150x3 and four classes."""
  return build((32, 64, 64, 128, 128), ((3, 3),) * 5, (512, 128), 0, options)


def build(
  filters: Sequence[int],
  kernel_sizes: Sequence[tuple[int, int]],
  units: Sequence[int],
  dropout_at: int,
  options: backbone.Options,
) -> CNN:
  """A network of these layers; the rest from `options`. Its head is `flatten` unless it is `rbf`."""
  return CNN(
    filters,
    kernel_sizes,
    units,
    dropout_at,
    options.dropout_rate,
    options.num_classes,
    options.channels,
    options.rbf_units if options.head == 'rbf' else 0,
    options.auxiliary,
    options.dtype,
    options.convolution,
  )
