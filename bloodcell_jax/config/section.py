"""A section of a config, read key by key: the types are checked, and a key that nobody reads is told."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from ml_collections import config_dict

from bloodcell_jax.base import types
from bloodcell_jax.config import values


def unknown_key(key: str, known: list[str]) -> str:
  """One line that names an unknown key and the nearest known one."""
  near = difflib.get_close_matches(key, known, 1, cutoff=0)
  return (
    f'config.{key}: no such key; did you mean config.{near[0]}?' if near else f'config.{key}: no such key'
  )


class Section:
  """A section of the config that remembers which of its keys were read."""

  def __init__(self, name: str, values: Any):
    if not isinstance(values, config_dict.ConfigDict):
      raise types.UserError(f'config.{name} is missing; start from configs/default.py')
    self._prefix, self._values, self._read = f'{name}.' if name else '', values, set[str]()

  def take(self, key: str, kind: type | tuple[type, ...]) -> Any:
    """The value of a key, of this type or one of these."""
    self._read.add(key)
    if key not in self._values:
      raise types.UserError(f'config.{self._prefix}{key} is missing; start from configs/default.py')
    value = self._values[key]
    if kind is object:  # a section
      return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
      value = float(value) if abs(value) < values.INTEGERS_BELOW else value
    # bool is an int to Python, but not to somebody who meant a number.
    value = tuple(value) if isinstance(value, list) else value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
      wanted = ' or '.join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
      raise types.UserError(
        f'config.{self._prefix}{key} is {values.shown(value)}; it must be of type {wanted}'
      )
    return values.checked(self._prefix + key, value)

  def choice(self, key: str, choices: tuple[str, ...]) -> str:
    value = self.take(key, str)
    if value not in choices:
      raise types.UserError(f'config.{self._prefix}{key} is {value!r}; choose one of {", ".join(choices)}')
    return value

  def positive(self, key: str) -> int:
    value = self.take(key, int)
    if value < 1:
      raise types.UserError(f'config.{self._prefix}{key} is {value}; it must be 1 or more')
    return value

  def spec(self, kind: type, **given: Any) -> Any:
    """A spec whose fields are keys of this section, but for those given."""
    types_by_name: dict[str, Any] = {
      'int': int,
      'float': float,
      'str': str,
      'bool': bool,
      'tuple': tuple,
      # A whole number stays one: Keras draws whole pixels for it.
      'float | tuple': (float, int, tuple),
    }
    fields = [field for field in dataclasses.fields(kind) if field.name not in given]
    return kind(
      **given, **{field.name: self.take(field.name, types_by_name[str(field.type)]) for field in fields}
    )

  def finish(self) -> None:
    """Raises UserError when a key was never read: nobody would notice that it does nothing."""
    for key in self._values:
      if key not in self._read:
        raise types.UserError(unknown_key(self._prefix + key, [self._prefix + name for name in self._read]))
