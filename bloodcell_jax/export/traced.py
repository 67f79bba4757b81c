"""A traced JAX function, carried out operation by operation in another library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from bloodcell_jax.export import program

# Of a call: where the called function stands.
_CALLED = ('jaxpr', 'call_jaxpr', 'fun_jaxpr')
# An array that is known before an image is seen, or a value of the other library.
Value = Any
# Carries out one operation, given its equation and its inputs.
Apply = Callable[[Any, list[Value]], Value]


def trace(exported: program.Program) -> Any:
  """The program as `jax.make_jaxpr` gives it: of the weights, in the order of their names, and of N images."""
  (num,) = export.symbolic_shape('n')
  image = jax.ShapeDtypeStruct((num, *exported.input_shape), jnp.uint8)
  return jax.make_jaxpr(exported.probabilities)(exported.weights, image)  # type: ignore[arg-type]


def run(
  closed: Any, inputs: Sequence[Value], apply: Apply, array: Callable[[Value], np.ndarray | None]
) -> list[Value]:
  """Carries out a traced function; what depends on known arrays alone is computed here, by JAX.

  Args:
    closed: what `trace` gives; sizes may be the one symbol of the number of images.
    inputs: of the function.
    apply: carries out an operation that has one output.
    array: the array of a value that is known, None of another.

  Returns:
    the outputs; NumPy arrays are those that are known.
  """
  jaxpr = closed.jaxpr
  values: dict[Any, Value] = dict(
    zip([*jaxpr.constvars, *jaxpr.invars], [*map(np.asarray, closed.consts), *inputs], strict=True)
  )

  def read(atom: Any) -> Value:
    return np.asarray(atom.val, atom.aval.dtype) if hasattr(atom, 'val') else values[atom]

  for equation in jaxpr.eqns:
    taken = [read(atom) for atom in equation.invars]
    if called := next((equation.params[key] for key in _CALLED if key in equation.params), None):
      outputs = run(called, taken, apply, array)
    else:
      known = [x for x in map(array, taken) if x is not None]
      if len(known) == len(taken) and None not in sizes(equation.outvars[0].aval.shape):
        outputs = [np.asarray(jax.device_get(equation.primitive.bind(*known, **equation.params)))]
      else:
        outputs = [apply(equation, taken)]
    values.update(zip(equation.outvars, outputs, strict=True))
  return [read(atom) for atom in jaxpr.outvars]


def sizes(shape: Sequence[Any]) -> list[int | None]:
  """The sizes of a shape; None for one that depends on the number of images."""
  return [int(size) if isinstance(size, int | np.integer) else None for size in shape]


def aligned(equation: Any) -> list[int | None]:
  """The shape of the input of `broadcast_in_dim`, with an axis of one where the output has one more."""
  before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
  shape: list[Any] = [1] * len(after)
  for axis, place in enumerate(equation.params['broadcast_dimensions']):
    shape[place] = before[axis]
  return sizes(shape)
