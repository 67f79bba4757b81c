"""How a set of weights wants its pixels: one value that travels with them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from bloodcell_jax import types


@dataclasses.dataclass(frozen=True)
class Convention:
  """What turns RGB in 0..255 into what a network was trained on: order, divisor, then mean and std by channel.

  Weights read under another convention than their own still work, silently worse.
  """

  name: str  # for people
  channels: str  # RGB or BGR: the order of the channels, of mean and of std too
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
