"""Words of commands that the program suggests."""

from __future__ import annotations

import os
import shlex


def word(text: str | os.PathLike[str]) -> str:
  """A path or a name as it is typed, in quotation marks where it needs them.

  Example:
    >>> word('runs/mine'), word('runs/my lab')
    ('runs/mine', "'runs/my lab'")
  """
  return shlex.quote(os.fspath(text))
