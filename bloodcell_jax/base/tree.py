"""Trees of weights by path name, such as 'conv2d_1/kernel', and patterns of those names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import flax
import jax
import numpy as np


def names(tree: Any) -> dict[str, Any]:
  """The leaves of a nested dict by path name, in alphabetical order.

  Example:
    >>> names({'dense': {'kernel': 1, 'bias': 2}})
    {'dense/bias': 2, 'dense/kernel': 1}
  """
  return dict(sorted(flax.traverse_util.flatten_dict(tree, sep='/').items()))


def nest(leaves: dict[str, Any]) -> dict[str, Any]:
  """The nested dict with these path names: the inverse of `names`."""
  return flax.traverse_util.unflatten_dict(leaves, sep='/')


def mask(tree: Any, patterns: Sequence[str]) -> Any:
  """A tree of bools: True for leaves whose whole name matches one of the patterns.

  Raises:
    ValueError: a pattern matches no leaf (most likely a misspelt layer).

  Example:
    >>> mask({'a': {'kernel': 0}, 'b': {'kernel': 0}}, ['a/.*'])
    {'a': {'kernel': True}, 'b': {'kernel': False}}
  """
  leaves = names(tree)
  for pattern in patterns:
    if not any(re.fullmatch(pattern, name) for name in leaves):
      raise ValueError(f'the pattern {pattern!r} matches no weight; names look like {next(iter(leaves))!r}')
  return nest({name: matches(name, patterns) for name in leaves})


def matches(name: str, patterns: Sequence[str]) -> bool:
  """Whether the whole name matches one of the patterns."""
  return any(re.fullmatch(pattern, name) for pattern in patterns)


def count(tree: Any) -> int:
  """Total number of elements of the leaves."""
  return sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(tree))


def fingerprint(tree: Any) -> str:
  """16 hex digits that change when any name, shape, dtype or bit of the tree changes."""
  digest = hashlib.sha256()
  for name, leaf in names(tree).items():
    array = np.ascontiguousarray(leaf)
    digest.update(f'{name} {array.dtype} {array.shape}\n'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()[:16]
