"""The split of each line of a list of labels, and the columns that say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import csv_rows, names, vocabulary

# The column that users are told to write.
COLUMN = 'split'
# Names under which other programs write it, as `csv_text.column_name`.
_NAMES = (
  COLUMN, 'splits', 'set', 'subset', 'partition', 'data_split', 'dataset_split', 'split_name', 'dataset', 'data_set',
  'fold', 'usage', 'phase', 'purpose',
)  # fmt: skip
# `is_test`, `in_test_set`: columns of yes and no. `is_valid` may mean that an image is sound.
_FLAG = re.compile(r'(?:(?:is|in|use_for|used_for)_)?(?!valid$|validate$|dev)(.+)')
_YES = ('1', '1.0', 'true', 'yes', 'y', 't', 'x', 'ja', 'wahr', 'oui', 'vrai')
_NO = ('0', '0.0', 'false', 'no', 'n', 'f', 'nein', 'falsch', 'non', 'faux')

Rows = Sequence[tuple[str, Mapping[str, str]]]


def read(rows: Rows, others: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
  """The split of each row as `names.split` gives it, '' for none, and the columns that it was read from.

  That is the column `split`, or one whose cells are split words: all of them, or some where its name is one that
  programs use for a split. Columns of yes and no such as `is_test` count together: a row that is in none is in TRAIN.

  Args:
    rows: as `csv_rows.read` gives them, all with the same columns.
    others: columns that have another meaning.

  Raises:
    UserError: a cell of such a column is no split, two columns disagree, or a row is in no split or in two.
  """
  columns = [name for name in (rows[0][1] if rows else ()) if name not in others]
  cells = {
    name: ['' if csv_rows.is_missing(row[name]) else row[name].strip() for _, row in rows] for name in columns
  }
  said = {
    name: [_split(where, name, cell) for (where, _), cell in zip(rows, cells[name], strict=True)]
    for name in sorted(columns, key=lambda name: name != COLUMN)
    if _holds_splits(name, cells[name])
  }
  flags = {name: flag for name in columns if name not in said and (flag := _flag(name, cells[name]))}
  if flags:
    said[' and '.join(flags)] = [
      _flagged(where, {name: cells[name][i].casefold() for name in flags}, flags)
      for i, (where, _) in enumerate(rows)
    ]
  splits = []
  for i, (where, _) in enumerate(rows):
    given = {name: each[i] for name, each in said.items() if each[i]}
    first = {split: name for name, split in reversed(given.items())}
    if len(first) > 1:
      (split, one), (another, other) = list(reversed(first.items()))[:2]
      raise types.UserError(
        f'{where} is in {split} by the column {one} and in {another} by the column {other}; correct it, or remove one '
        'of the columns'
      )
    splits.append(next(iter(given.values()), ''))
  return splits, (*(name for name in said if name in columns), *flags)


def check_complete(rows: Rows, splits: Sequence[str], files: Sequence[str], columns: Sequence[str]) -> None:
  """Refuses rows without a split where others have one, since nobody can know whether they are to be trained on.

  Args:
    rows: as for `read`.
    splits: of each row, as `read` gives them.
    files: of each row; a first folder that is named like a split says it too.
    columns: as `read` gives them.

  Raises:
    UserError: names the first such row.
  """
  if not any(splits):
    return
  for (where, _), split, file in zip(rows, splits, files, strict=True):
    if not (split or of_folder(file)):
      raise types.UserError(
        f'{where} has no split in the column {" and ".join(columns)}, although other lines have one; fill the cell '
        '(split merged cells of a spreadsheet first), or leave the column out'
      )


def of_folder(file: str) -> str:
  """The split that the first folder of a file is named like; '' if there is none."""
  return names.split(file.split('/')[0]) if '/' in file else ''


def _holds_splits(name: str, cells: Sequence[str]) -> bool:
  words = {names.split(cell) for cell in cells if cell}
  if name == COLUMN:
    return bool(words)
  if '' in words:  # a column of another meaning, or a word that is not understood and must not be lost
    return name in _NAMES and 'TRAIN' in words
  return bool(words) and (name in _NAMES or {'TRAIN'} < words)


def _split(where: str, column: str, cell: str) -> str:
  split = names.split(cell)
  if cell and not split:
    there = '' if column == COLUMN else f' in the column {column}'
    raise types.UserError(
      f'{where} has the split {cell!r}{there}; write {", ".join(sorted(set(vocabulary.SPLITS.values())))}, or remove '
      f'the column {column}'
    )
  return split


def _flag(name: str, cells: Sequence[str]) -> str:
  """The split that a column of yes and no is about; '' if it is none."""
  words = {cell.casefold() for cell in cells if cell}
  found = _FLAG.fullmatch(name)
  split = names.split(found[1]) if found else ''
  return split if words and words <= {*_YES, *_NO} and split in ('TRAIN', 'VALIDATION', 'TEST') else ''


def _flagged(where: str, cells: Mapping[str, str], flags: Mapping[str, str]) -> str:
  """The split of a row; '' if a cell is empty and no other says yes."""
  found = {flags[name] for name, cell in cells.items() if cell in _YES}
  if not found and not all(cells.values()):
    return ''
  if not found and 'TRAIN' not in flags.values():
    return 'TRAIN'
  if len(found) != 1:
    what = f'in {" and ".join(sorted(found))}' if found else 'in no split'
    raise types.UserError(
      f'{where} is {what} by {"the columns" if len(flags) > 1 else "the column"} {" and ".join(flags)}; write a column '
      f'{COLUMN} instead'
    )
  return found.pop()
