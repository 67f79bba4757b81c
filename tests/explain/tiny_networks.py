"""A network small enough to compute by hand, and one that looks at a single place."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax.models import layers

PATCH = slice(6, 10), slice(12, 16)  # rows, columns of a 20 x 20 image


class Hand(nn.Module):
  """One convolution of 1 x 1 with two channels, pooled 2 x 2, and a dense layer: `features`, then `head`."""

  def setup(self):
    self.conv2d_1 = layers.Conv(2, (1, 1), (1, 1), 'valid', 'relu', jnp.float32, 'direct')
    self.dense_1 = layers.Dense(2, None, jnp.float32)

  def features(self, image_BHWC):
    x = self.conv2d_1(image_BHWC, pool=None)
    layers.keep(self, 'conv2d_1', x)
    x = layers.max_pool(x)
    layers.keep(self, 'max_pooling2d_1', x)
    return x

  def head(self, feature_BHWC, position_B, train):
    x = feature_BHWC.reshape(len(feature_BHWC), -1)
    layers.keep(self, 'flatten_1', x)
    x = self.dense_1(x)
    layers.keep(self, 'dense_1', x)
    return x

  def __call__(self, image_BHWC, position_B, train):
    return self.head(self.features(image_BHWC), position_B, train)


class Patch(nn.Module):
  """Class 1 is how bright PATCH is, class 0 how dark; whatever is elsewhere changes nothing."""

  def setup(self):
    self.conv2d_1 = layers.Conv(1, (1, 1), (1, 1), 'valid', 'relu', jnp.float32, 'direct')

  def __call__(self, image_BHWC, position_B, train):
    x = self.conv2d_1(image_BHWC, pool=None)
    layers.keep(self, 'conv2d_1', x)
    seen_B = x[(slice(None), *PATCH)].mean((1, 2, 3))
    return jnp.stack([-seen_B, seen_B], -1)


def make_patch():
  """The model and its parameters: the convolution adds the three colours up."""
  kernel = jnp.ones((1, 1, 3, 1))
  return Patch(), {'conv2d_1': {'kernel': kernel, 'bias': jnp.zeros(1)}}


def make_hand():
  """The model and its parameters."""
  kernel = jnp.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]).reshape(1, 1, 3, 2)
  dense = jax.random.normal(jax.random.key(0), (8, 2))
  return Hand(), {
    'conv2d_1': {'kernel': kernel, 'bias': jnp.zeros(2)},
    'dense_1': {'kernel': dense, 'bias': jnp.array([0.0, 0.5])},
  }
