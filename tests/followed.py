"""A line that refuses something, and what its advice comes to."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from bloodcell_jax.base import types

# The line that refuses something; then, done just as the line says, what goes on.
Case = tuple[Callable[[], object], Callable[[str], object]]


def calls(refused: Callable, *followed: Callable) -> Callable[[pathlib.Path], Case]:
  return lambda top: (refused, lambda said: [each() for each in followed])


def check(case: Callable[[pathlib.Path], Case], words: str, top: pathlib.Path) -> None:
  """The case is refused in one line with these words, `{}` for what varies, and goes on once it is followed."""
  refused, follow = case(top)
  with pytest.raises(types.UserError) as caught:
    refused()
  said = str(caught.value)
  assert '\n' not in said
  assert all(part in said for part in words.split('{}')), said
  follow(said)
