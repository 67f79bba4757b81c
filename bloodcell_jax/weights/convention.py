"""The pixel convention of a set of weights: how RGB in 0..255 becomes the input that they were trained on."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from bloodcell_jax.base import types


@dataclasses.dataclass(frozen=True)
class Convention:
  """Order of the channels, a divisor, then a mean and a standard deviation per channel.

  Weights used under another convention than their own still work, but worse, without any error.
  """

  name: str  # for people
  channels: str  # RGB or BGR: the order of the network's input, and of mean and std
  divisor: float  # of 0..255
  mean: tuple[float, float, float]  # after the division
  std: tuple[float, float, float]  # after the division

  def __post_init__(self):
    if self.channels not in ('RGB', 'BGR'):
      raise types.UserError(f'pixel convention: channels is {self.channels!r}; it must be RGB or BGR')
    if not (len(self.mean) == len(self.std) == 3 and self.divisor > 0 and min(self.std) > 0):
      raise types.UserError('pixel convention: mean and std need three numbers, divisor and std above 0')

  def apply(self, image_BHWC: jax.Array) -> jax.Array:
    """The network's input, float32, of RGB images in 0..255, of any integer or float type."""
    x = jnp.asarray(image_BHWC, jnp.float32)
    if self.channels == 'BGR':
      x = x[..., ::-1]
    shape = (1,) * (x.ndim - 1) + (3,)
    return (x / self.divisor - jnp.array(self.mean).reshape(shape)) / jnp.array(self.std).reshape(shape)


# Source: Keras `applications.imagenet_utils.preprocess_input`, mode caffe.
CAFFE = Convention('caffe', 'BGR', 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
# Source: torchvision `VGG16_Weights.IMAGENET1K_V1.transforms`.
TORCHVISION = Convention('torchvision', 'RGB', 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
