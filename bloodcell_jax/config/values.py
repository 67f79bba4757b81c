"""Which values a config can hold: finite, of limited length and depth, representable in JSON."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

from bloodcell_jax.base import types

MOST_CHARACTERS = 4096  # the longest path of Linux
MOST_ENTRIES = 200
MOST_DEPTH = 3  # the deepest value in use, a tuple of pairs, has 2
INTEGERS_BELOW = 2**32
MOST_SHOWN = 80  # characters of a value in an error


def checked(key: str, value: Any) -> Any:
  """The value, with lists as tuples, if a config can hold it.

  **Guarantees**: the result can be written as JSON and read back to the same value.

  Args:
    key: its dotted name, for the error.
    value: a text, a number, a bool, or a tuple of these.

  Raises:
    UserError: one line that names the key, for a text that is too long or has control characters, a number that is not
      finite or too large, a tuple that is too long or too deep, or a value of any other type.
  """
  return _checked(key, value, MOST_DEPTH)


def check_entries(key: str, entries: Sequence[Any], choices: Collection[str]) -> None:
  """Refuses a tuple with an entry that is none of the choices.

  Args:
    key: its dotted name, for the error.
    entries: of the tuple.
    choices: the texts that it may have.

  Raises:
    UserError: the first such entry; where it is several choices in one text, how several are written.
  """
  for entry in entries:
    if entry in choices:
      continue
    parts = [part.strip(' ()[]\'"') for part in entry.split(',')] if isinstance(entry, str) else []
    if len(parts) > 1 and all(part in choices for part in parts):
      both = ','.join(map(repr, parts))
      raise types.UserError(f'{key} has {entry!r}; write several as --config.{key}="({both})"')
    raise types.UserError(f'{key} has {entry!r}; choose among {", ".join(choices)}')


def shown(value: Any) -> str:
  """The value as one line of at most MOST_SHOWN characters.

  Example:
    >>> shown((1, 'a'))
    "(1, 'a')"
  """
  try:
    text = ' '.join(repr(value).split())
  except ValueError:  # Python refuses to print an int of thousands of digits
    text = 'a number of thousands of digits'
  return text if len(text) <= MOST_SHOWN else f'{text[: MOST_SHOWN - 3]}...'


def _checked(key: str, value: Any, depth: int) -> Any:
  if isinstance(value, tuple | list):
    if not depth or len(value) > MOST_ENTRIES:
      raise types.UserError(
        f'config.{key} is {shown(value)}; that is nested too deeply or has over {MOST_ENTRIES} entries'
      )
    return tuple(_checked(key, entry, depth - 1) for entry in value)
  if isinstance(value, bool):
    return value
  if isinstance(value, int):
    if abs(value) > INTEGERS_BELOW:
      raise types.UserError(f'config.{key} is a whole number beyond 2**32; give a smaller one')
    return int(value)
  if isinstance(value, float):
    if not math.isfinite(value):
      raise types.UserError(f'config.{key} is {value!r}; it must be a finite number')
    return float(value)
  if isinstance(value, str):
    if len(value) > MOST_CHARACTERS:
      raise types.UserError(
        f'config.{key} is a text of {len(value):,} characters; the most is {MOST_CHARACTERS:,}'
      )
    if any(unicodedata.category(character) in ('Cc', 'Cs') for character in value):
      # A lone surrogate stands for a byte that is not UTF-8; it can be neither displayed nor stored.
      raise types.UserError(f'config.{key} is {shown(value)}; it has characters that cannot be shown')
    return value
  raise types.UserError(
    f'config.{key} is {shown(value)}; give a text, a number, True, False or a tuple of these'
  )
