"""What each operation of JAX, by the name of its primitive, is in TensorFlow; those that the networks use."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.tensorflow_cpu import tf
from bloodcell_jax.export import traced

# Element by element, with the same meaning in both; names in `tf.math`.
_ELEMENTWISE = {
  'add': 'add', 'sub': 'subtract', 'mul': 'multiply', 'div': 'divide', 'max': 'maximum', 'min': 'minimum',
  'neg': 'negative', 'abs': 'abs', 'sign': 'sign', 'exp': 'exp', 'log': 'log', 'sqrt': 'sqrt', 'tanh': 'tanh',
  'logistic': 'sigmoid', 'square': 'square', 'is_finite': 'is_finite', 'eq': 'equal', 'gt': 'greater',
  'ge': 'greater_equal', 'lt': 'less', 'le': 'less_equal', 'and': 'logical_and', 'or': 'logical_or',
  'not': 'logical_not',
}  # fmt: skip
_REDUCTIONS = ('reduce_max', 'reduce_min', 'reduce_sum')
_UNCHANGED = ('stop_gradient', 'copy', 'copy_p')


def run(closed: Any, inputs: Sequence[Any], num_images: Any) -> list[Any]:
  """Carries out a traced function with TensorFlow.

  Args:
    closed: what `traced.trace` gives; sizes may be the one symbol of the number of images.
    inputs: of the function, tensors or variables.
    num_images: a scalar int32 tensor.

  Returns:
    its outputs, tensors.

  Raises:
    UserError: it has an operation that is not translated here.
  """
  apply = functools.partial(_apply, num_images)
  outputs = traced.run(closed, inputs, apply, lambda value: value if isinstance(value, np.ndarray) else None)
  return [tf.convert_to_tensor(output) for output in outputs]


def _apply(num: Any, equation: Any, inputs: list[Any]) -> Any:
  name = equation.primitive.name
  if name in _UNCHANGED:
    return inputs[0]
  if name in _OPERATIONS:
    return _OPERATIONS[name](num, equation, inputs)
  if name in _ELEMENTWISE:
    return getattr(tf.math, _ELEMENTWISE[name])(*inputs)
  if name in _REDUCTIONS:
    return getattr(tf.math, name)(inputs[0], axis=equation.params['axes'])
  raise types.UserError(
    f'savedmodel: the network has the operation {name}, which is not supported in this format; leave it out with '
    '--format'
  )


def _refusal(what: str) -> types.UserError:
  return types.UserError(f'savedmodel: {what} is not supported in this format; leave it out with --format')


def _reshape(num: Any, equation: Any, inputs: list[Any]) -> Any:
  # The one size that is not known follows from the others.
  sizes = traced.sizes(equation.outvars[0].aval.shape)
  return tf.reshape(inputs[0], [-1 if size is None else size for size in sizes])


def _broadcast(num: Any, equation: Any, inputs: list[Any]) -> Any:
  before, after = traced.aligned(equation), traced.sizes(equation.outvars[0].aval.shape)
  x = tf.reshape(inputs[0], [-1 if size is None else size for size in before])
  return x if before == after else tf.broadcast_to(x, [num if size is None else size for size in after])


def _convolution(num: Any, equation: Any, inputs: list[Any]) -> Any:
  own = equation.params
  (batch, channels, *space), (out, into, *kernel) = own['dimension_numbers'][:2]
  if set(own['lhs_dilation']) != {1} or own['batch_group_count'] != 1:
    raise _refusal('a transposed convolution')
  if own['feature_group_count'] != 1:
    raise _refusal('a convolution of groups of channels')
  y_BHWC = tf.nn.conv2d(
    tf.transpose(inputs[0], (batch, *space, channels)),
    tf.transpose(inputs[1], (*kernel, into, out)),
    strides=own['window_strides'],
    padding=_padding(own['padding']),
    dilations=own['rhs_dilation'],
  )
  batch, channels, *space = own['dimension_numbers'].out_spec
  return tf.transpose(y_BHWC, np.argsort([batch, *space, channels]))


def _padding(space: Sequence[tuple[int, int]]) -> Any:
  return [[0, 0], *map(list, space), [0, 0]] if np.any(space) else 'VALID'


def _max_pooling(num: Any, equation: Any, inputs: list[Any]) -> Any:
  own = equation.params
  inside = own['window_dimensions'][1:-1]
  if own['window_dimensions'] != (1, *inside, 1) or {*own['base_dilation'], *own['window_dilation']} != {1}:
    raise _refusal('this pooling')
  strides = own['window_strides'][1:-1]
  return tf.nn.max_pool2d(inputs[0], inside, strides, _padding(own['padding'][1:-1]))


def _product(num: Any, equation: Any, inputs: list[Any]) -> Any:
  (left, right), (left_batch, right_batch) = equation.params['dimension_numbers']
  letters = iter(string.ascii_lowercase)
  a, b = ([next(letters) for _ in invar.aval.shape] for invar in equation.invars)
  for i, j in zip((*left_batch, *left), (*right_batch, *right), strict=True):
    b[j] = a[i]
  free_a = [name for i, name in enumerate(a) if i not in (*left_batch, *left)]
  free_b = [name for j, name in enumerate(b) if j not in (*right_batch, *right)]
  output = [*(a[i] for i in left_batch), *free_a, *free_b]
  return tf.einsum(f'{"".join(a)},{"".join(b)}->{"".join(output)}', *inputs)


def _slice(num: Any, equation: Any, inputs: list[Any]) -> Any:
  own = equation.params
  ends = [num if size is None else size for size in traced.sizes(own['limit_indices'])]
  return tf.strided_slice(inputs[0], own['start_indices'], ends, own['strides'])


def _gather(num: Any, equation: Any, inputs: list[Any]) -> Any:
  """Whole slices at constant places, as indexing with arrays of numbers gives."""
  own, x, indices = equation.params['dimension_numbers'], *inputs
  places, rank = own.start_index_map, len(equation.invars[0].aval.shape)
  rest = [axis for axis in range(rank) if axis not in own.collapsed_slice_dims]
  if (
    not isinstance(indices, np.ndarray)
    or own.operand_batching_dims
    or own.collapsed_slice_dims != tuple(sorted(places))
  ):
    raise _refusal('indexing by computed values')
  chosen = tf.gather_nd(tf.transpose(x, [*places, *rest]), indices)
  # There the axes of the indices come first; here those of the slices stand at `offset_dims`.
  others = indices.ndim - 1
  slices, first = iter(range(others, others + len(rest))), iter(range(others))
  return tf.transpose(
    chosen, [next(slices if axis in own.offset_dims else first) for axis in range(others + len(rest))]
  )


_OPERATIONS: dict[str, Callable[[Any, Any, list[Any]], Any]] = {
  'integer_pow': lambda _, equation, inputs: tf.pow(
    inputs[0], tf.constant(equation.params['y'], inputs[0].dtype)
  ),
  'select_n': lambda _, equation, inputs: tf.where(inputs[0], inputs[2], inputs[1]),
  'convert_element_type': lambda _, equation, inputs: tf.cast(
    inputs[0], tf.as_dtype(np.dtype(equation.params['new_dtype']))
  ),
  'reshape': _reshape,
  'squeeze': _reshape,
  'expand_dims': _reshape,
  'broadcast_in_dim': _broadcast,
  'transpose': lambda _, equation, inputs: tf.transpose(inputs[0], equation.params['permutation']),
  'rev': lambda _, equation, inputs: tf.reverse(inputs[0], equation.params['dimensions']),
  'slice': _slice,
  'gather': _gather,
  'stack': lambda _, equation, inputs: tf.stack(inputs, equation.params['axis']),
  'concatenate': lambda _, equation, inputs: tf.concat(inputs, equation.params['dimension']),
  'dot_general': _product,
  'conv_general_dilated': _convolution,
  'reduce_window_max': _max_pooling,
}
