"""Every network by its name in a config."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from bloodcell_jax.base import rng, types
from bloodcell_jax.models import alexnet, cnn, cnn_svr, fast_conv, vgg16
from bloodcell_jax.models import backbone as backbone_lib

# The plain networks take `average` for `flatten`: in an ensemble of architectures one section configures all.
_PLAIN: dict[str, Any] = {
  'heads': backbone_lib.HEADS,
  'channels': (1, 3),
  'has_auxiliary': True,
  'features': (r'conv2d_\d+/.*',),
  'other_heads': backbone_lib.OWN_HEADS,
}
NETWORKS: dict[str, backbone_lib.Network] = {
  'cnn_a': backbone_lib.Network(cnn.cnn_a, 'dense_2', **_PLAIN),
  'cnn_b': backbone_lib.Network(cnn.cnn_b, 'dense_3', **_PLAIN),
  'cnn_svr': backbone_lib.Network(cnn_svr.cnn_svr, 'dense_3', **_PLAIN),
  'alexnet': alexnet.BACKBONE,
  'alexnet3': alexnet.BLOCK3,
  'vgg16': vgg16.BACKBONE,
  'vgg16_block4': vgg16.BLOCK4,
}


def backbones() -> Mapping[str, backbone_lib.Backbone]:
  """Those of the networks that begin with published weights."""
  return {name: network for name, network in NETWORKS.items() if isinstance(network, backbone_lib.Backbone)}


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which network, and its options."""

  name: str  # a key of NETWORKS
  dropout_rate: float  # in [0, 1)
  head: str  # one of the network's heads
  head_units: (
    int  # of the hidden layer of a backbone's flatten and rbf heads; cnn_svr: of the first dense layer
  )
  channels: int  # one of the network's channels
  rbf_units: int  # neurons of the rbf head
  auxiliary: bool  # whether there are auxiliary logits behind each convolution

  def __post_init__(self):
    _check_choice('name', self.name, NETWORKS)
    network = NETWORKS[self.name]
    _check_choice('head', self.head, network.heads)
    for key in ('head_units', 'rbf_units'):
      if getattr(self, key) < 1:
        raise types.UserError(f'model.{key} is {getattr(self, key)}; it must be 1 or more')
    if self.channels not in (1, 3):
      raise types.UserError(f'model.channels is {self.channels}; it must be 3, or 1 for grey')
    if self.channels not in network.channels:
      raise types.UserError(f'model.channels is {self.channels}, but {self.name} takes three; set it to 3')
    if self.auxiliary and not network.has_auxiliary:
      others = [name for name, other in NETWORKS.items() if other.has_auxiliary]
      names = f'{", ".join(others[:-1])} and {others[-1]}'
      raise types.UserError(f'model.auxiliary is for {names}; set it to False with {self.name}')
    if not 0 <= self.dropout_rate < 1:
      raise types.UserError(f'model.dropout_rate is {self.dropout_rate}; it must lie in [0, 1)')

  @property
  def network(self) -> backbone_lib.Network:
    """The network of this name."""
    return NETWORKS[self.name]

  @property
  def backbone(self) -> backbone_lib.Backbone | None:
    """The same where it is a backbone."""
    return backbones().get(self.name)


def _check_choice(key: str, value: Any, choices: Any) -> None:
  if value not in choices:
    raise types.UserError(f'model.{key} is {value!r}; choose one of {", ".join(choices)}')


def options(
  spec: Spec, num_classes: int, dtype: DTypeLike = jnp.float32, convolution: str = fast_conv.DIRECT
) -> backbone_lib.Options:
  """What the network is built from.

  Args:
    spec: which network.
    num_classes: K.
    dtype: in which its layers compute; parameters and logits are float32.
    convolution: one of `fast_conv.ALGORITHMS`.
  """
  values = {key: value for key, value in dataclasses.asdict(spec).items() if key != 'name'}
  return backbone_lib.Options(num_classes=num_classes, dtype=dtype, convolution=convolution, **values)


def build(
  spec: Spec, num_classes: int, dtype: DTypeLike = jnp.float32, convolution: str = fast_conv.DIRECT
) -> nn.Module:
  """The network, called as `apply(variables, image_BHWC, position_B, train)` for logits [B, K]."""
  return spec.network.build(options(spec, num_classes, dtype, convolution))


def num_auxiliary(spec: Spec) -> int:
  """How many auxiliary logits the network has: one behind each convolution, and one behind the hidden dense layers."""
  if not spec.auxiliary:
    return 0
  return len(build(spec, 1).filters) + 1  # type: ignore[attr-defined]


def init(model: nn.Module, image_size: int, seed: int) -> Any:
  """Fresh parameters for square RGB images of this side, in pixels.

  Raises:
    UserError: the images are too small for the network's poolings.
  """
  shapes(model, image_size)
  return _create(_key(seed), model=model, image_size=image_size)


def _key(seed: int) -> jax.Array:
  return rng.key(seed, 'init')


@functools.lru_cache(64)
def shapes(model: nn.Module, image_size: int) -> Any:
  """The shapes and dtypes of the network's parameters, of which none is computed; the arguments are those of `init`.

  Raises:
    UserError: the images are too small for the network's poolings.
  """
  found, reason = _traced(model, image_size)
  if reason:
    raise types.UserError(
      f'data.image_size is {image_size}: {reason}; set it to {_least_size(model, image_size)} or more'
    )
  return found


def check_size(spec: Spec, image_size: int) -> None:
  """As `shapes`, before the classes are known.

  Raises:
    UserError: the images are too small for the network's poolings.
  """
  shapes(build(spec, 1), image_size)


def _traced(model: nn.Module, image_size: int) -> tuple[Any, str]:
  """The shapes, and why images of this size are too small; '' where they are not."""
  try:
    found = jax.eval_shape(lambda: _create(_key(0), model=model, image_size=image_size))
    is_empty = any(0 in leaf.shape for leaf in jax.tree.leaves(found))
  except ZeroDivisionError:  # from the initializer of a kernel without inputs
    found, is_empty = None, True
  except types.UserError as error:
    return None, str(error)
  return found, 'too small for this network, a feature map would be empty' if is_empty else ''


def _least_size(model: nn.Module, too_small: int) -> int:
  """The smallest size that is large enough, by bisection."""
  large = 2 * too_small
  while _traced(model, large)[1]:
    too_small, large = large, 2 * large
  while large - too_small > 1:
    middle = (too_small + large) // 2
    too_small, large = (middle, large) if _traced(model, middle)[1] else (too_small, middle)
  return large


@functools.partial(jax.jit, static_argnames=('model', 'image_size'))
def _create(key: jax.Array, model: nn.Module, image_size: int) -> Any:
  """The parameters for this key. Compiled once for all equal networks, such as the members of an ensemble."""
  image_BHWC, position_B = jnp.zeros((1, image_size, image_size, 3)), jnp.zeros([1], jnp.int32)
  return model.init(key, image_BHWC, position_B, False)['params']
