"""Weights copied into a network's parameters by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import tree, types


def merge(
  params: Any,
  arrays: Mapping[str, np.ndarray],
  expected: Sequence[str],
  kept: Sequence[str],
  left_out: Sequence[str],
  origin: str,
) -> Any:
  """New parameters: those that match `expected` from `arrays`, unless they match `kept`; the others unchanged.

  **Guarantees**: a missing, extra or differently shaped weight is an error, never filled in or dropped; the result has
  the names, shapes and dtypes of `params` and shares no memory with `arrays`.

  Args:
    params: the network's, a nested dict.
    arrays: by name, `block1_conv1/kernel`.
    expected: patterns of the network's names that `arrays` must have, each matched whole.
    kept: patterns of the network's names that keep their values, whether or not `arrays` has them.
    left_out: patterns of names in `arrays` that are ignored, such as those of another head.
    origin: where the arrays come from, for errors.

  Raises:
    UserError: names are missing, extra or of another shape; every one of them is listed.
    ValueError: a pattern of `expected` matches no name of the network.

  Example:
    >>> new = merge({'a': {'bias': jnp.zeros(1)}}, {'a/bias': np.ones(1)}, ['a/.*'], [], [], 'here')
    >>> new['a']['bias'].tolist()
    [1.0]
  """
  leaves = tree.names(params)
  chosen = [name for name, is_expected in tree.names(tree.mask(params, expected)).items() if is_expected]
  wanted = {name for name in chosen if not tree.matches(name, kept)}
  faults = [f'missing {name}' for name in leaves if name in wanted and name not in arrays]
  faults += [
    f'extra {name}' for name in sorted(set(arrays) - wanted) if not tree.matches(name, (*kept, *left_out))
  ]
  faults += [
    f'{name} is {_shape(arrays[name])}, the network has {_shape(leaves[name])}'
    for name in leaves
    if name in wanted and name in arrays and arrays[name].shape != leaves[name].shape
  ]
  if faults:
    raise types.UserError(f'the weights from {origin} do not fit the network: {"; ".join(faults)}')
  return tree.nest(
    {name: jnp.array(arrays[name], leaf.dtype) if name in wanted else leaf for name, leaf in leaves.items()}
  )


def _shape(array: Any) -> str:
  return 'x'.join(map(str, array.shape)) or 'a number'
