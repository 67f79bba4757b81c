"""What each operation of JAX, by the name of its primitive, is in ONNX; those that the networks here are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.export import traced
from bloodcell_jax.export.onnx_graph import Constant, Graph, Value

# Element by element, with the same meaning in both.
_ELEMENTWISE = {
  'add': 'Add', 'sub': 'Sub', 'mul': 'Mul', 'div': 'Div', 'max': 'Max', 'min': 'Min', 'neg': 'Neg', 'abs': 'Abs',
  'sign': 'Sign', 'exp': 'Exp', 'log': 'Log', 'sqrt': 'Sqrt', 'tanh': 'Tanh', 'logistic': 'Sigmoid', 'eq': 'Equal',
  'gt': 'Greater', 'ge': 'GreaterOrEqual', 'lt': 'Less', 'le': 'LessOrEqual', 'and': 'And', 'or': 'Or', 'not': 'Not',
}  # fmt: skip
_REDUCTIONS = {'reduce_max': 'ReduceMax', 'reduce_min': 'ReduceMin', 'reduce_sum': 'ReduceSum'}
_UNCHANGED = ('stop_gradient', 'copy', 'copy_p')


def translate(graph: Graph, closed: Any, inputs: Sequence[Value]) -> list[Value]:
  """Adds the operations of a traced function to the graph; what depends on constants alone is computed here.

  Args:
    graph: to add to.
    closed: what `jax.make_jaxpr` gives; sizes may be the one symbol of the number of images.
    inputs: of the function.

  Returns:
    its outputs.

  Raises:
    UserError: it has an operation that is not translated here.
  """
  apply = functools.partial(_apply, graph)
  return [_value(output) for output in traced.run(closed, inputs, apply, _array)]


def _array(value: Value | np.ndarray) -> np.ndarray | None:
  if isinstance(value, np.ndarray):
    return value
  return value.array if isinstance(value, Constant) else None


def _value(value: Value | np.ndarray) -> Value:
  return Constant(value, '') if isinstance(value, np.ndarray) else value


def _apply(graph: Graph, equation: Any, taken: list[Value | np.ndarray]) -> Value:
  name, parameters, inputs = equation.primitive.name, equation.params, [_value(value) for value in taken]
  if name in _UNCHANGED:
    return inputs[0]
  if name in _OPERATIONS:
    return _OPERATIONS[name](graph, equation, inputs)
  if name in _ELEMENTWISE:
    return graph.node(_ELEMENTWISE[name], *inputs)
  if name in _REDUCTIONS:
    return graph.node(_REDUCTIONS[name], *inputs, graph.numbers(parameters['axes']), keepdims=0)
  raise types.UserError(
    f'onnx: the network has the operation {name}, which is not supported in this format; leave it out with --format'
  )


def _rank(equation: Any, index: int = 0) -> int:
  return len(equation.invars[index].aval.shape)


def _maximum(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  # Relu by its name, which runtimes compute together with the convolution before it.
  for value, other in (inputs, inputs[::-1]):
    if isinstance(other, Constant) and other.array.ndim == 0 and other.array == 0:
      return graph.node('Relu', value)
  return graph.node('Max', *inputs)


def _convolution(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  own = equation.params
  numbers = own['dimension_numbers']
  if set(own['lhs_dilation']) != {1} or own['batch_group_count'] != 1:
    raise types.UserError(
      'onnx: a transposed convolution is not supported in this format; leave it out with --format'
    )
  before, after = zip(*own['padding'], strict=True)
  y = graph.node(
    'Conv',
    graph.transpose(inputs[0], numbers.lhs_spec),
    graph.transpose(inputs[1], numbers.rhs_spec),
    strides=list(own['window_strides']),
    pads=[*before, *after],
    dilations=list(own['rhs_dilation']),
    group=own['feature_group_count'],
  )
  return graph.transpose(y, np.argsort(numbers.out_spec).tolist())


def _max_pooling(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  own = equation.params
  inside = own['window_dimensions'][1:-1]
  if own['window_dimensions'] != (1, *inside, 1) or {*own['base_dilation'], *own['window_dilation']} != {1}:
    raise types.UserError('onnx: this pooling is not supported in this format; leave it out with --format')
  to_channels_first = [0, len(inside) + 1, *range(1, len(inside) + 1)]
  before, after = zip(*own['padding'][1:-1], strict=True)
  y = graph.node(
    'MaxPool',
    graph.transpose(inputs[0], to_channels_first),
    kernel_shape=list(inside),
    strides=list(own['window_strides'][1:-1]),
    pads=[*before, *after],
  )
  return graph.transpose(y, np.argsort(to_channels_first).tolist())


def _product(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  ((left,), (right,)), (left_batch, right_batch) = equation.params['dimension_numbers']
  num = len(left_batch)
  free_left = [axis for axis in range(_rank(equation)) if axis not in (*left_batch, left)]
  free_right = [axis for axis in range(_rank(equation, 1)) if axis not in (*right_batch, right)]
  if len(free_right) > 1 or (num and len(free_left) > 1):
    raise types.UserError('onnx: this product is not supported in this format; leave it out with --format')
  a = graph.transpose(inputs[0], [*left_batch, *free_left, left])
  b = graph.transpose(inputs[1], [*right_batch, right, *free_right])
  return graph.node('MatMul', a, b)


def _reshape(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  sizes = traced.sizes(equation.outvars[0].aval.shape)
  # The one size that is not known follows from the others.
  return graph.node('Reshape', inputs[0], graph.numbers([-1 if size is None else size for size in sizes]))


def _broadcast(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  before, after = traced.aligned(equation), traced.sizes(equation.outvars[0].aval.shape)
  x: Value = inputs[0]
  if _rank(equation) < len(after):
    x = graph.node('Reshape', x, graph.numbers([-1 if size is None else size for size in before]))
  return x if before == after else graph.node('Expand', x, graph.shape(after))


def _gather(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  """Whole slices at constant places, as indexing with arrays of numbers gives."""
  own, x, indices = equation.params['dimension_numbers'], *inputs
  places, rank = own.start_index_map, _rank(equation)
  rest = [axis for axis in range(rank) if axis not in own.collapsed_slice_dims]
  if (
    not isinstance(indices, Constant)
    or own.operand_batching_dims
    or own.collapsed_slice_dims != tuple(sorted(places))
  ):
    raise types.UserError(
      'onnx: indexing by computed values is not supported in this format; leave it out with --format'
    )
  chosen = graph.node(
    'GatherND', graph.transpose(x, [*places, *rest]), Constant(indices.array.astype(np.int64), '')
  )
  # There the axes of the indices come first; here those of the slices stand at `offset_dims`.
  num = indices.array.ndim - 1
  slices, others = iter(range(num, num + len(rest))), iter(range(num))
  order = [next(slices if axis in own.offset_dims else others) for axis in range(num + len(rest))]
  return graph.transpose(chosen, order)


def _reverse(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  axes = equation.params['dimensions']
  last, beyond, steps = ([number] * len(axes) for number in (-1, np.iinfo(np.int64).min, -1))
  return graph.node('Slice', inputs[0], *map(graph.numbers, (last, beyond, axes, steps)))


def _stack(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  axis = equation.params['axis']
  return graph.node(
    'Concat', *(graph.node('Unsqueeze', value, graph.numbers([axis])) for value in inputs), axis=axis
  )


def _cast(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  from onnx import helper

  return graph.node(
    'Cast', inputs[0], to=helper.np_dtype_to_tensor_dtype(np.dtype(equation.params['new_dtype']))
  )


def _power(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  exponent = np.asarray(equation.params['y'], equation.invars[0].aval.dtype)
  return graph.node('Pow', inputs[0], Constant(exponent, ''))


def _is_finite(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
  return graph.node('Not', graph.node('Or', graph.node('IsInf', inputs[0]), graph.node('IsNaN', inputs[0])))


_OPERATIONS: dict[str, Callable[[Graph, Any, list[Value]], Value]] = {
  'max': _maximum,
  'square': lambda graph, _, inputs: graph.node('Mul', inputs[0], inputs[0]),
  'integer_pow': _power,
  'is_finite': _is_finite,
  'select_n': lambda graph, _, inputs: graph.node('Where', inputs[0], inputs[2], inputs[1]),
  'convert_element_type': _cast,
  'reshape': _reshape,
  'squeeze': _reshape,
  'expand_dims': _reshape,
  'broadcast_in_dim': _broadcast,
  'transpose': lambda graph, equation, inputs: graph.transpose(inputs[0], equation.params['permutation']),
  'rev': _reverse,
  'gather': _gather,
  'stack': _stack,
  'concatenate': lambda graph, equation, inputs: graph.node(
    'Concat', *inputs, axis=equation.params['dimension']
  ),
  'dot_general': _product,
  'conv_general_dilated': _convolution,
  'reduce_window_max': _max_pooling,
}
