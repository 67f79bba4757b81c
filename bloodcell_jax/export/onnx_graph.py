"""An ONNX graph under construction: nodes, and the constants that they use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
  """An array that is known while the graph is built: a weight, or what follows from weights and numbers alone."""

  array: np.ndarray
  label: str  # of a weight its name; empty for others


# A tensor of the running program by its name, or a constant.
Value = str | Constant


class Graph:
  """Nodes in order. Every method returns the name of a tensor.

  Args:
    image: name of the input, whose first axis is the number of images.
  """

  def __init__(self, image: str):
    self.nodes: list[Any] = []
    self.initializers: dict[str, np.ndarray] = {}
    self._image = image
    self._num_images = ''
    self._transposed: dict[Any, tuple[Constant, Constant]] = {}

  def tensor(self, value: Value) -> str:
    """The name of a value; a constant is stored in the file."""
    if isinstance(value, str):
      return value
    name = value.label
    if name in self.initializers and self.initializers[name] is not value.array:
      name = ''
    name = name or f'constant_{len(self.initializers)}'
    self.initializers[name] = value.array
    return name

  def node(self, operator: str, *inputs: Value, **attributes: Any) -> str:
    """The only output of an operator of ONNX."""
    from onnx import helper

    output = f'{operator.lower()}_{len(self.nodes)}'
    names = [self.tensor(value) for value in inputs]
    self.nodes.append(helper.make_node(operator, names, [output], output, **attributes))
    return output

  def numbers(self, values: Sequence[int]) -> Constant:
    """Whole numbers as ONNX' operators take shapes and axes."""
    return Constant(np.asarray(values, np.int64), '')

  def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
    """The value with its axes in this order; a constant stays one."""
    if tuple(permutation) == tuple(range(len(permutation))):
      return value
    if isinstance(value, Constant):
      # Views of an image share their weights. The key's array is kept, so that no other gets its number.
      key = id(value.array), tuple(permutation)
      if key not in self._transposed:
        turned = Constant(np.ascontiguousarray(value.array.transpose(permutation)), value.label)
        self._transposed[key] = value, turned
      return self._transposed[key][1]
    return self.node('Transpose', value, perm=list(permutation))

  def shape(self, sizes: Sequence[int | None]) -> Value:
    """A shape whose unknown sizes, None, are the number of images."""
    if all(size is not None for size in sizes):
      return self.numbers([size for size in sizes if size is not None])
    if not self._num_images:
      self._num_images = self.node('Shape', self._image, start=0, end=1)
    parts = [self._num_images if size is None else self.numbers([size]) for size in sizes]
    return self.node('Concat', *parts, axis=0)
