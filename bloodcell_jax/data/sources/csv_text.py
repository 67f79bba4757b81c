"""A CSV as spreadsheets, R and pandas save it: its encoding, its separator and the names of its columns."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence

from bloodcell_jax.base import types

# The blank is what R's write.table puts between cells.
SEPARATORS = (',', ';', '\t', '|', ' ')
_MARKS = (
  (b'\xef\xbb\xbf', 'utf-8-sig'),
  (b'\xff\xfe\0\0', 'utf-32'),
  (b'\0\0\xfe\xff', 'utf-32'),
  (b'\xff\xfe', 'utf-16'),
  (b'\xfe\xff', 'utf-16'),
)
# First bytes of files that are called .csv and are not CSVs.
_WORKBOOKS = ((b'PK\x03\x04', 'a workbook or an archive'), (b'\xd0\xcf\x11\xe0', 'an old Excel workbook'))
# A cell that is kept as text in spreadsheets: ="007.png".
_FORMULA = re.compile(r'^="(.*)"$', re.DOTALL)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*', re.IGNORECASE)


def decode(path: str, data: bytes) -> str:
  """The text of a CSV in UTF-8 or UTF-16.

  Raises:
    UserError: the file is a workbook, or its letters have another encoding.
  """
  for start, what in _WORKBOOKS:
    if data.startswith(start):
      raise types.UserError(f'{path}: is {what}, not a CSV; save its sheet as "CSV UTF-8"')
  encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), '')
  if not encoding:
    encoding = _without_mark(data)
  try:
    # Old programs end a text with Ctrl-Z, and a broken copy with zeros.
    return data.decode(encoding).rstrip('\x1a\0')
  except UnicodeDecodeError as error:
    # Where text is not UTF-8, nothing in the file says what its letters are.
    line = data[: error.start].count(b'\n') + 1
    raise types.UserError(
      f'{path}: is not a CSV in UTF-8 (byte {data[error.start]:#04x} in line {line}); save it as "CSV UTF-8"'
    ) from None


def _without_mark(data: bytes) -> str:
  start = data[:200]
  for encoding, first in (('utf-16-le', 1), ('utf-16-be', 0)):
    # Every second byte of ASCII text is 0.
    if len(start) > 3 and not any(start[first::2]) and all(start[1 - first :: 2]):
      return encoding
  return 'utf-8'


def rows(path: str, text: str, columns: Sequence[str]) -> tuple[list[str], list[tuple[int, list[str]]]]:
  """The names of the columns as `column_name`, and (number of the line, cells) of each line below that is not empty.

  The separator is the one that Excel's line `sep=` names, or one of `SEPARATORS` with which the first line has the
  wanted columns. A line in quotes as a whole, which a spreadsheet makes of a line that it took for one cell, is read
  as what it was. Row names that R writes without a name of their column are dropped.

  Raises:
    UserError: the first line lacks a wanted column or names one twice, or a line has more cells than it.
    csv.Error: the text is no CSV.
  """
  first = next((line for line in re.split(r'[\r\n]+', text) if line.strip()), '')
  named = _SEPARATOR_LINE.fullmatch(first.strip(' \ufeff'))
  heads: list[tuple[bool, int, str, list[str]]] = []
  for separator in named[1] if named else SEPARATORS:
    head = next(_lines(text, separator, bool(named), True), (0, []))[1]
    # File names have blanks; R quotes what it writes.
    if separator != ' ' or '"' in first:
      is_fit = set(columns) <= {column_name(cell) for cell in head}
      heads.append((is_fit, len(head), separator, head))
  # The first of those that fit best: with one wanted column a separator that occurs nowhere fits too.
  is_fit, _, separator, head = max(heads, key=lambda each: each[:2])
  if not is_fit:
    what = 'the column' if len(columns) == 1 else 'the columns'
    there = ', '.join(_shown(cell) for cell in head[:6] if cell.strip())
    raise types.UserError(
      f'{path}: the first line must name {what} {" and ".join(columns)}'
      + (f'; it has {there}' if there else '')
    )
  names = [column_name(cell) for cell in head]
  if doubled := next((name for name in names if name and names.count(name) > 1), ''):
    raise types.UserError(f'{path}: the first line names the column {doubled} twice; keep one of them')
  lines = list(_lines(text, separator, bool(named), len(names) > 1))[1:]
  return names, _fitted(path, len(names), lines)


def first_names(data: bytes) -> set[str]:
  """What the first line of a text may name, as `column_name`, with any separator; empty where it is no text.

  Example:
    >>> sorted(first_names(b'File;label\\na.png;A\\n')), first_names(b'\\x89PNG\\x1a')
    (['file', 'file;label', 'label'], set())
  """
  encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), '') or _without_mark(data)
  lines = [line for line in re.split(r'[\r\n]+', data.decode(encoding, 'replace')) if line.strip(' \ufeff')]
  if any(
    not letter.isprintable() and letter != '\t' for line in lines[:9] for letter in line.strip('\ufeff')
  ):
    return set()
  lines = [line for line in lines[:2] if not _SEPARATOR_LINE.fullmatch(line.strip(' \ufeff'))]
  return {
    column_name(cell) for line in lines[:1] for separator in SEPARATORS for cell in line.split(separator)
  }


def column_name(cell: str) -> str:
  """The name of a column as `read` gives it, whatever the program that wrote it did to it.

  Example:
    >>> [column_name(cell) for cell in ('File', ' human label', "'Human-Label'", 'sha256.16')]
    ['file', 'human_label', 'human_label', 'sha256_16']
  """
  plain = unicodedata.normalize('NFKC', cell).strip(' \t\ufeff"\'\u2018\u2019\u201c\u201d\u201e').casefold()
  return re.sub(r'[ .\-]+', '_', plain)


def _lines(
  text: str, separator: str, has_separator_line: bool, is_split: bool
) -> Iterator[tuple[int, list[str]]]:
  """(number of the line, its cells) of each line that is not empty; `is_split`: a line in quotes may hold several."""
  reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator)
  for cells in reader:
    if has_separator_line:
      has_separator_line = False
    elif is_split and len(cells) == 1 and separator in cells[0] and len(cells[0].splitlines()) == 1:
      # A spreadsheet that knows another separator took the line for one cell.
      yield reader.line_num, next(csv.reader(cells, delimiter=separator))
    elif any(cell.strip() for cell in cells):
      yield reader.line_num, [_FORMULA.sub(r'\1', cell) for cell in cells]


def _fitted(path: str, size: int, lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
  """The lines without empty cells beyond the last column, and without row names that no column has."""
  fitted = [(line, cells[:size] + [cell for cell in cells[size:] if cell.strip()]) for line, cells in lines]
  first = {cells[0].strip() for _, cells in fitted if len(cells) == size + 1}
  if fitted and len(first) == len(fitted) and all(name.isdecimal() for name in first):
    return [(line, cells[1:]) for line, cells in fitted]
  for line, cells in fitted:
    if len(cells) > size:
      raise types.UserError(
        f'{path}: line {line} has {len(cells)} cells and the first line {size}; put a cell that holds a separator in '
        'double quotes'
      )
  return fitted


def _shown(cell: str) -> str:
  # A file that is no CSV may have anything in its first line.
  return repr(cell if len(cell) < 40 else f'{cell[:40]}...')
