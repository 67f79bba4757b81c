"""The size of each layer's map: by the formula of its kernel, padding and stride, and as the network computes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax.models import fast_conv, summary
from bloodcell_jax.models import layers as layers_lib


@dataclasses.dataclass(frozen=True)
class Layer:
  """One layer's map."""

  name: str
  kind: str  # Keras' class
  shape: tuple[int, ...]  # as the network computes it, without the batch
  formula: str  # for its height, with the numbers put in; empty for a layer without a window
  expected: tuple[int, ...]  # by the formula; `shape` for a layer without a window

  @property
  def agrees(self) -> bool:
    """Whether the network computes what the formula says."""
    return self.shape == self.expected


def side(size: int, kernel: int, before: int, after: int, stride: int) -> int:
  """Positions of a window of `kernel` pixels on `size` pixels with this padding: floor((n + p - k) / s) + 1.

  Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", relationship 6.

  Example:
    >>> side(150, 3, 0, 0, 1), side(148, 2, 0, 0, 2), side(37, 2, 0, 0, 2)
    (148, 74, 18)
  """
  return (size + before + after - kernel) // stride + 1


def layers(model: nn.Module, params: Any, image_size: int) -> list[Layer]:
  """Every layer in order, for square RGB images of this side, in pixels."""
  modules: Any = model.bind({'params': params})
  inputs = _input_shapes(model, params, image_size)
  rows = []
  for name, kind, shape, _ in summary.layers(model, params, image_size):
    module = getattr(modules, name)
    if isinstance(module, layers_lib.Conv):
      window, channels = module.kernel_size, module.features
    elif isinstance(module, layers_lib.MaxPool):
      window, channels = module.pool_size, inputs[name][-1]
    else:
      rows.append(Layer(name, kind, shape, '', shape))
      continue
    formula, sides = _window(inputs[name], window, module.pads(inputs[name][:2]), module.strides)
    rows.append(Layer(name, kind, shape, formula, (*sides, channels)))
  return rows


def _input_shapes(model: nn.Module, params: Any, image_size: int) -> dict[str, tuple[int, ...]]:
  """The shape of each layer's input, without the batch: not every layer follows the one before it in the table."""
  shapes: dict[str, tuple[int, ...]] = {}

  def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    if context.method_name == '__call__' and context.module.name:
      shapes[context.module.name] = args[0].shape[1:]
    return call(*args, **kwargs)

  def run(params: Any, image: jax.Array, position: jax.Array) -> Any:
    with nn.intercept_methods(note):
      # With the maps, because without them a pooling may be part of a convolution.
      return model.apply({'params': params}, image, position, False, mutable=layers_lib.MAPS)

  image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  jax.eval_shape(run, params, image, jax.ShapeDtypeStruct((1,), jnp.int32))
  return shapes


def _window(
  size: tuple[int, ...], window: tuple[int, int], pads: fast_conv.Pads, strides: tuple[int, int]
) -> tuple[str, tuple[int, ...]]:
  sides = tuple(
    side(n, k, *pad, stride) for n, k, pad, stride in zip(size, window, pads, strides, strict=False)
  )
  return f'({size[0]} + {sum(pads[0])} - {window[0]}) / {strides[0]} + 1', sides
