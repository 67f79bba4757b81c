"""VGG16 with other blocks than its own, for claims that hold at any width."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import jax
import pytest

from bloodcell_jax.models import vgg16, zoo
from bloodcell_jax.runs import compiled


@contextlib.contextmanager
def blocks(blocks: Sequence[tuple[int, int]]) -> Iterator[None]:
  """(convolutions, filters) of each block of every VGG16 within. What was compiled for others is not used, nor kept."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(vgg16, 'BLOCKS', tuple(blocks))
    _forget()
    try:
      yield
    finally:
      _forget()


def _forget() -> None:
  for value in (*vars(compiled).values(), zoo.shapes):
    if hasattr(value, 'cache_clear'):
      value.cache_clear()
  jax.clear_caches()
