"""Reads CSV files that users write; each row comes with the words that name its line in an error."""

from __future__ import annotations

import csv
import re

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import csv_text

# What R, pandas and spreadsheets write where there is no value.
_MISSING = ('NA', '<NA>', 'N/A', '#N/A', 'NaN', 'nan', 'NULL', '#NV', '#N/D', '#N/DISP', '#NA')
# What they and people write there that may be a name too, as `casefold` gives it.
_WORDS = ('none', 'null', '(null)', 'na', '<na>', 'n/a', 'n.a.', 'nan', '(blank)', '(empty)', '<none>')
_DASHES = re.compile('[-\u2010-\u2015\u2212_.?\u2026]+')
# A number that a spreadsheet shortened, in locales with a decimal point or comma; and its words for an error. It writes
# the sign of the exponent: 1E05 is a name.
_SHORTENED = re.compile(r'[+-]?\d([.,]\d+)?[eE]\+\d{2,}')
# A date that a spreadsheet made of the name of a file without extension, such as MAR1.
_DATE = re.compile(
  r'\d{1,2}(?:[- ]|\. )[^\W\d_]{3,4}\.?|[^\W\d_]{3}[- ]\d{2}|'
  r'\d{4}-\d\d-\d\d( 00:00(:00)?)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}'
)
_ERRORS = re.compile(r'#(NAME\?|NUM!|VALUE!|REF!|DIV/0!|NULL!|#+)')


def read(
  path: str, columns: tuple[str, ...], advice: str, others: tuple[str, ...] = ()
) -> list[tuple[str, dict[str, str]]]:
  """(`path: line N`, row) of each line that is not empty; a missing cell is ''.

  Args:
    path: of a CSV in UTF-8 or UTF-16 with any of `csv_text.SEPARATORS`, as spreadsheets, R and pandas save it.
    columns: names that the first line must have, in any case; the keys of the rows are as `csv_text.column_name`.
    advice: what to do if the file cannot be opened; ends the error message.
    others: names of columns that it may have, whose cells are text too.

  Raises:
    UserError: the file cannot be read, is no CSV, lacks a column, or a cell has control characters or, in one of
      these columns, what a spreadsheet wrote in place of its content.
  """
  try:
    with open(path, 'rb') as opened:
      data = opened.read()
  except OSError as error:
    raise types.UserError(f'{path}: {error.strerror}; {advice}') from None
  try:
    names, parsed = csv_text.rows(path, csv_text.decode(path, data), columns)
  except csv.Error as error:
    raise types.UserError(f'{path}: is not a CSV in UTF-8 ({error})') from None
  rows = []
  for line, cells in parsed:
    # A line that is cut short lacks its last cells; a column without a name is an index, or empty.
    cells = [*cells, *[''] * (len(names) - len(cells))]
    row = {name: cell for name, cell in zip(names, cells, strict=True) if name}
    rows.append((f'{path}: line {line}', _checked(path, line, row, (*columns, *others))))
  return rows


def is_missing(cell: str) -> bool:
  """Whether the cell stands for a missing value where a person writes a name: `None`, `null`, a dash.

  Example:
    >>> [is_missing(cell) for cell in ('None', ' NULL', '-', '', 'Nonne', '+', '0')]
    [True, True, True, True, False, False, False]
  """
  plain = cell.strip().casefold()
  return not plain or plain in _WORDS or cell.strip() in _MISSING or bool(_DASHES.fullmatch(plain))


def _checked(path: str, line: int, row: dict[str, str], columns: tuple[str, ...]) -> dict[str, str]:
  """The row with '' in place of missing values."""
  for column, cell in row.items():
    # Such a name can neither be typed nor shown in an error of one line.
    plain = cell if column in columns else re.sub(r'[\r\n\t]', ' ', cell)
    if any(ord(character) < 32 or ord(character) == 127 for character in plain):
      raise types.UserError(f'{path}: line {line} has control characters in the column {column}; remove them')
    last = re.split(r'[/\\]', cell.strip())[-1]
    is_date = column == 'file' and any(map(_DATE.fullmatch, (cell.strip(), last)))
    if column in columns and (
      is_date or _SHORTENED.fullmatch(cell.strip()) or _ERRORS.fullmatch(cell.strip())
    ):
      raise types.UserError(
        f'{path}: line {line} has {cell.strip()} in the column {column}, which a spreadsheet wrote in place of '
        'the text; import the column as text and export the list again'
      )
  return {column: '' if cell.strip() in _MISSING else cell for column, cell in row.items()}
