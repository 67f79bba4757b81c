"""How large each layer's map must be by kernel, padding and stride, beside how large it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn

from bloodcell_jax import tree
from bloodcell_jax.models import fast_conv, summary

# Of every convolution of `layers.Conv`, and window and step of `layers.max_pool`.
CONV_STRIDE, POOL_SIZE, POOL_STRIDE = 1, 2, 2


@dataclasses.dataclass(frozen=True)
class Layer:
  """One layer's map."""

  name: str
  kind: str  # Keras' class
  shape: tuple[int, ...]  # as the network makes it, without the batch
  formula: str  # how its height and width follow, in numbers; empty for a layer without a window
  expected: tuple[int, ...]  # by the formula; `shape` for a layer without a window

  @property
  def agrees(self) -> bool:
    """Whether the network does what the formula says."""
    return self.shape == self.expected


def side(size: int, kernel: int, before: int, after: int, stride: int) -> int:
  """Pixels a side that a window of `kernel` makes of `size`, padded by so many pixels: floor((n + p - k) / s) + 1.

  Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", relationship 6.

  Example:
    >>> side(150, 3, 0, 0, 1), side(148, 2, 0, 0, 2), side(37, 2, 0, 0, 2)
    (148, 74, 18)
  """
  return (size + before + after - kernel) // stride + 1


def layers(model: nn.Module, params: Any, image_size: int) -> list[Layer]:
  """Every layer in order, for square RGB images of this side."""
  bound = model.bind({'params': params})
  before: tuple[int, ...] = (image_size, image_size, 3)
  found = []
  for name, kind, shape, _ in summary.layers(model, params, image_size):
    formula, expected = '', shape
    if kind == 'Conv2D':
      module = getattr(bound, name)
      kernel = tree.names(params)[f'{name}/kernel'].shape
      formula, expected = _window(before, kernel[:2], fast_conv.pads(module.padding, kernel[:2]), CONV_STRIDE)
      expected = (*expected, kernel[3])
    elif kind == 'MaxPooling2D':
      formula, expected = _window(before, (POOL_SIZE, POOL_SIZE), ((0, 0), (0, 0)), POOL_STRIDE)
      expected = (*expected, before[2])
    found.append(Layer(name, kind, shape, formula, expected))
    before = shape
  return found


def _window(
  before: tuple[int, ...], kernel: tuple[int, ...], pads: fast_conv.Pads, stride: int
) -> tuple[str, tuple[int, ...]]:
  sides = tuple(side(n, k, *pad, stride) for n, k, pad in zip(before, kernel, pads, strict=False))
  n, k, pad = before[0], kernel[0], pads[0]
  return f'({n} + {sum(pad)} - {k}) / {stride} + 1', sides
