"""JAX's cache of compiled programs, without its search for old ones.

Before it keeps a program, JAX reads two files of each that it has kept, under a lock. A session keeps thousands, so
that this took longer than to compile them. Processes that are started as a user starts them still search, and remove
the least recently used ones where there are too many.
"""

from __future__ import annotations

from typing import Any

from jax._src import lru_cache

search = lru_cache.LRUCache._evict_if_needed


def keep_all() -> None:
  """Every program is kept from now on, without the search."""
  lru_cache.LRUCache._evict_if_needed = _nothing


def _nothing(*_: Any, **__: Any) -> None:
  pass
