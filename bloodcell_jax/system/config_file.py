"""Config files by name: those of the working folder, and those that come with the package."""

from __future__ import annotations

import pathlib
import re

import bloodcell_jax

# The configs of a checkout, and those that the wheel installs.
FOLDER = pathlib.Path(bloodcell_jax.__file__).parents[1] / 'configs'
_FLAG = re.compile(r'(--?config=)([^:]*)(:.*)?', re.DOTALL)


def find(path: str) -> pathlib.Path | None:
  """The config file of this path, such as `configs/default.py`; None where there is none.

  A path that leads nowhere from the working folder and names a config of the package is that one.
  """
  own = pathlib.Path(path)
  if own.is_file():
    return own
  shipped = FOLDER.parent / own
  return shipped if shipped.is_file() and shipped.parent == FOLDER else None


def expand_argument(argument: str) -> str:
  """A word of the command line; `--config=PATH[:variant]` gets the path that `find` gives, where there is one."""
  flag = _FLAG.fullmatch(argument)
  file = find(flag[2]) if flag else None
  return f'{flag[1]}{file}{flag[3] or ""}' if flag and file else argument


def names() -> list[str]:
  """The configs of the package, as they are written after `--config=`."""
  return sorted(f'{FOLDER.name}/{path.name}' for path in FOLDER.glob('*.py') if path.name != '__init__.py')
