"""A record of arrays as the columns of one matrix, written and read by the names of its fields."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np

Record = TypeVar('Record')


def count(record: type) -> int:
  """How many columns a dataclass has whose fields are arrays; their names end in their shape: _B is one, _B4 four.

  Example:
    >>> count(dataclasses.make_dataclass('Drawn', ['hue_B', 'erased_B4']))
    5
  """
  return sum(_width(field.name) or 1 for field in dataclasses.fields(record))


def join(record: Any) -> np.ndarray:
  """[B, D] float64: the arrays of the record side by side, D being its `count`."""
  values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
  wide = [value if _width(name) else value[:, None] for name, value in values.items()]
  for name, value in zip(values, wide, strict=True):
    assert value.shape[1:] == (_width(name) or 1,), f'{name} has the shape {value.shape}'
  return np.concatenate(wide, 1, dtype=np.float64)


def split(record: type[Record], matrix_BD: Any) -> Record:
  """The record of the columns that `join` has put together; of a matrix of any library, or of one row of it.

  Example:
    >>> Drawn = dataclasses.make_dataclass('Drawn', ['hue_B', 'erased_B4'])
    >>> split(Drawn, np.arange(10).reshape(2, 5)).hue_B.tolist()
    [0, 5]
  """
  values, start = {}, 0
  for field in dataclasses.fields(record):  # type: ignore[arg-type]
    width = _width(field.name)
    values[field.name] = matrix_BD[..., start : start + width] if width else matrix_BD[..., start]
    start += width or 1
  return record(**values)


def _width(name: str) -> int:
  """The number after the B of a name's shape; 0 for none, of an array that is one column."""
  return int(name.rpartition('_B')[2] or 0)
