"""A section of a config, read key by key: each type is checked, and a key that was not read is an error."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from typing import Any

from ml_collections import config_dict

from bloodcell_jax.base import types
from bloodcell_jax.config import values

# Annotation of a spec's field -> the types that its key accepts.
_ACCEPTED: dict[Any, type | tuple[type, ...]] = {
  bool: bool,
  int: int,
  float: float,
  str: str,
  tuple: tuple,
  # A whole number stays an int: Keras draws whole pixels for it.
  float | tuple: (float, int, tuple),
}


def unknown_key(key: str, known: list[str]) -> str:
  """One line that names an unknown key and the nearest known one."""
  near = difflib.get_close_matches(key, known, 1, cutoff=0)
  return (
    f'config.{key}: no such key; did you mean config.{near[0]}?' if near else f'config.{key}: no such key'
  )


class Section:
  """A section of the config that records which of its keys were read."""

  def __init__(self, name: str, values: Any):
    if not isinstance(values, config_dict.ConfigDict):
      raise types.UserError(f'config.{name} is missing; start from configs/default.py')
    self._prefix, self._values, self._read = f'{name}.' if name else '', values, set[str]()

  def take(self, key: str, kind: type | tuple[type, ...]) -> Any:
    """The value of a key, checked to be of `kind`; `object` takes any value, such as a section.

    An int is accepted for a float, a list for a tuple; both are converted.

    Raises:
      UserError: the key is missing, or its value is of another type or one that a config cannot hold.
    """
    self._read.add(key)
    if key not in self._values:
      raise types.UserError(f'config.{self._prefix}{key} is missing; start from configs/default.py')
    value = self._values[key]
    if kind is object:  # a section
      return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
      value = float(value) if abs(value) < values.INTEGERS_BELOW else value
    # In Python a bool is an int; a user who typed True did not mean a number.
    value = tuple(value) if isinstance(value, list) else value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
      wanted = ' or '.join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
      raise types.UserError(
        f'config.{self._prefix}{key} is {values.shown(value)}; it must be of type {wanted}'
      )
    return values.checked(self._prefix + key, value)

  def choice(self, key: str, choices: tuple[str, ...]) -> str:
    """The text of a key that must be one of `choices`. Raises as `take`."""
    value = self.take(key, str)
    if value not in choices:
      raise types.UserError(f'config.{self._prefix}{key} is {value!r}; choose one of {", ".join(choices)}')
    return value

  def positive(self, key: str) -> int:
    """The int of a key that must be 1 or more. Raises as `take`."""
    value = self.take(key, int)
    if value < 1:
      raise types.UserError(f'config.{self._prefix}{key} is {value}; it must be 1 or more')
    return value

  def spec(self, kind: type, **given: Any) -> Any:
    """A spec: `given` fields as they are, each other field from the key of its name. Raises as `take`.

    Raises:
      TypeError: a field is annotated with a type that no key can have; a fault of the program, not of the config.
    """
    hints, read = _annotations(kind), dict[str, Any]()
    for field in dataclasses.fields(kind):
      if field.name in given:
        continue
      if hints[field.name] not in _ACCEPTED:
        names = ', '.join(_name(each) for each in _ACCEPTED)
        raise TypeError(
          f'{kind.__qualname__}.{field.name} is annotated {_name(hints[field.name])}; a config key can be {names}'
        )
      read[field.name] = self.take(field.name, _ACCEPTED[hints[field.name]])
    return kind(**given, **read)

  def finish(self) -> None:
    """Raises UserError if a key was never read: otherwise nobody would notice that it has no effect."""
    for key in self._values:
      if key not in self._read:
        raise types.UserError(unknown_key(self._prefix + key, [self._prefix + name for name in self._read]))


@functools.cache
def _annotations(kind: type) -> dict[str, Any]:
  return typing.get_type_hints(kind)


def _name(annotation: Any) -> str:
  return annotation.__name__ if isinstance(annotation, type) else str(annotation)
