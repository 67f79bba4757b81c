"""What can happen to a file on a disk."""

from __future__ import annotations

import pathlib
from collections.abc import Callable


def cut(path: pathlib.Path) -> None:
  """The second half is gone."""
  with open(path, 'r+b') as file:
    file.truncate(path.stat().st_size // 2)


def empty(path: pathlib.Path) -> None:
  """Nothing is left but the name."""
  with open(path, 'r+b') as file:
    file.truncate(0)


def flip(path: pathlib.Path) -> None:
  """The lowest bit of the middle byte is another: a digit becomes another digit."""
  with open(path, 'r+b') as file:
    file.seek(path.stat().st_size // 2)
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ 1]))


def remove(path: pathlib.Path) -> None:
  """It is not there."""
  path.unlink()


KINDS: dict[str, Callable[[pathlib.Path], None]] = {
  'cut short': cut,
  'emptied': empty,
  'flipped in one bit': flip,
  'removed': remove,
}
