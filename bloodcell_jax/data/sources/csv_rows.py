"""Reads CSV files that users write; each row comes with the words that name its line in an error."""

from __future__ import annotations

import csv

from bloodcell_jax.base import types


def read(path: str, columns: tuple[str, ...], advice: str) -> list[tuple[str, dict[str, str]]]:
  """(`path: line N`, row) of each line; a missing cell is ''.

  Args:
    path: of a CSV in UTF-8, with or without a byte-order mark, which spreadsheets write.
    columns: names that the first line must have.
    advice: what to do if the file cannot be opened; ends the error message.

  Raises:
    UserError: the file cannot be read, is no CSV, lacks a column, or has a cell with control characters.
  """
  try:
    # utf-8-sig: otherwise a byte-order mark would be part of the first name.
    with open(path, encoding='utf-8-sig', newline='') as opened:
      reader = csv.DictReader(opened)
      if not set(columns) <= set(reader.fieldnames or ()):
        what = 'the column' if len(columns) == 1 else 'the columns'
        raise types.UserError(f'{path}: the first line must name {what} {" and ".join(columns)}')
      return [(f'{path}: line {reader.line_num}', _checked(path, reader.line_num, row)) for row in reader]
  except OSError as error:
    raise types.UserError(f'{path}: {error.strerror}; {advice}') from None
  except (UnicodeDecodeError, csv.Error) as error:
    raise types.UserError(f'{path}: is not a CSV in UTF-8 ({error})') from None


def _checked(path: str, line: int, row: dict[str, str | None]) -> dict[str, str]:
  """The row without cells beyond the last column."""
  named = {column: cell or '' for column, cell in row.items() if column is not None}
  for column, cell in named.items():
    # Such a name can neither be typed nor shown in an error of one line.
    if any(ord(character) < 32 or ord(character) == 127 for character in cell):
      raise types.UserError(f'{path}: line {line} has control characters in the column {column}; remove them')
  return named
