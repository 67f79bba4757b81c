"""Compiled functions that jobs of equal networks share: members, folds, and the rows of a study."""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable
from typing import Any

# A compiled function takes some megabytes; those used last are kept.
MOST = 24
_programs: collections.OrderedDict[Hashable, Callable[..., Any]] = collections.OrderedDict()


def share(key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
  """The function that `make` gave for this key before, else a new one.

  JAX compiles a function once as long as it is the same object: two that are merely equal are traced twice.

  Args:
    key: everything that the function depends on, and the shapes of its arguments.
    make: compiles it; the function must not hold images, which would stay in memory.
  """
  if key not in _programs:
    _programs[key] = make()
    if len(_programs) > MOST:
      _programs.popitem(last=False)
  _programs.move_to_end(key)
  return _programs[key]
