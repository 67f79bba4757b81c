"""Labels in CSV lists, such as the review page exports, instead of class folders."""

from __future__ import annotations

import dataclasses
import math
import os
import posixpath
import re
from collections.abc import Mapping, Sequence

from bloodcell_jax.base import types, wording
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import csv_rows, list_split, listed_names, unread_columns

# The column in files that users write, and that of the review page.
COLUMNS = ('label', 'human_label')


@dataclasses.dataclass(frozen=True)
class Label:
  """A label that a person gave to an image."""

  file: str  # relative to the folder of the data, with '/'
  label: str
  digest: (
    str  # of the labelled image, as `image_files.marked` writes it or as a spreadsheet left it; '' for none
  )
  where: str  # `path: line N`
  split: str = ''  # as `names.split` gives it; '' where the list does not say
  split_columns: tuple[str, ...] = ()  # of its list, that the split was read from
  unread: tuple[str, ...] = ()  # columns of its list that nobody reads


def paths(labels_csv: str) -> list[str]:
  """The lists that `data.labels_csv` names: one path, or several separated by commas."""
  if os.path.exists(labels_csv):
    return [labels_csv]
  return [path.strip() for path in labels_csv.split(',') if path.strip()]


def read(labels_csv: str, folder: str) -> list[Label]:
  """The labels of lists with the columns `file` and `label`, or `human_label`; `sha256_16` and `split` are optional.

  Files are named as for `file_of`. The splits are read as by `list_split`: where lines of a list have one, each line
  needs one.

  Args:
    labels_csv: as for `paths`.
    folder: the folder of the data.

  Raises:
    UserError: a list cannot be read, lacks a column, or a line has no file, no label, a name of several files, or a
      file that has a line already; in another list it may have one with the same label, and no other split.
  """
  labels: dict[str, Label] = {}
  files = listed_names.FilesOfLists(folder)
  for path in paths(labels_csv):
    for one in _read(path, files):
      before = labels.setdefault(one.file, one)
      if before is one:
        continue
      is_other = _list(before) != _list(one)
      if (
        is_other and before.label == one.label and (before.split or one.split) == (one.split or before.split)
      ):
        labels[one.file] = before if before.split else one
        continue
      what = ' in '.join(filter(None, (before.label, before.split if before.label == one.label else '')))
      elsewhere = f', which is {what} in {before.where}' if is_other else ''
      raise types.UserError(f'{one.where} names {one.file} a second time{elsewhere}; keep one of the lines')
  if not labels:
    raise types.UserError(f'{labels_csv}: has no line with a label')
  return list(labels.values())


def _list(label: Label) -> str:
  return label.where.rpartition(': line')[0]


def _read(path: str, files: listed_names.FilesOfLists) -> list[Label]:
  advice = 'set --config.data.labels_csv to a CSV with the columns file and label'
  rows = csv_rows.read(path, ('file',), advice, (*COLUMNS, list_split.COLUMN))
  if rows and not set(COLUMNS) & set(rows[0][1]):
    there = ', '.join(rows[0][1])
    raise types.UserError(
      f'{path}: the first line must name the columns file and {" or ".join(COLUMNS)}; it has {there}'
    )
  splits, columns = list_split.read(rows, unread_columns.KNOWN)
  unread = unread_columns.found(rows, (*columns, list_split.COLUMN))
  labels = []
  for (where, row), split in zip(rows, splits, strict=True):
    file, label = row['file'].replace('\\', '/'), of_row(where, row)
    if not file.strip() or not label:
      raise types.UserError(
        f'{where} lacks a file or a label (NA, nan, None and - stand for a missing value); give both, or leave '
        'the line out'
      )
    if row.get('left', '').strip():
      raise types.UserError(
        f'{where} labels a part of {file}; save the labelled cells as images: `adapt` with this list writes them into '
        'TO-labelled, the page of `serve` exports them'
      )
    inner = posixpath.normpath(file)
    found = file_of(where, row, path, files)
    if not found and listed_names.is_absolute(inner):
      raise types.UserError(
        f'{where} names {file}, which is not a file in the folder of the data; name files relative to it'
      )
    if (found or inner).startswith('..'):
      raise types.UserError(f'{where} names {file}, which is not inside the folder of the data')
    digest = row.get('sha256_16', '').strip()
    labels.append(Label(found or inner, label, digest, where, split, columns, unread))
  list_split.check_complete(rows, splits, [one.file for one in labels], columns)
  return labels


def file_of(where: str, row: Mapping[str, str], list_path: str, files: listed_names.FilesOfLists) -> str:
  """The file of the folder of the data that a line names, as `FilesOfLists.find` gives it; '' for none.

  Where the line has the digest of the image, which tells whether it is the right one, the name may also be a path from
  the current folder, or the end of the path of one image below the folder of the data: so `predict` names the images of
  patterns and of several folders. Of several images the one with this digest is meant.

  Args:
    where: of the line, for people.
    row: of the list.
    list_path: of the list.
    files: of the folder of the data.

  Raises:
    UserError: the name is the end of the paths of several images, and the digest that of none or of several.
  """
  name, digest = row['file'], row.get('sha256_16', '').strip().casefold().removeprefix(image_files.MARK)
  found = files.find(name, list_path)
  if not digest:
    return found
  is_inside = bool(found) and not found.startswith('..')
  if not is_inside and os.path.exists(name) and (inside := files.find(os.path.abspath(name), list_path)):
    return inside
  below = [found] if found and not is_inside else list(dict.fromkeys([found] * is_inside + files.below(name)))
  if len(below) > 1:
    meant = [file for file in below if image_files.digests([files.path(file)])[0] == digest]
    if len(meant) == 1:
      return meant[0]
    if is_inside and (not meant or found in meant):
      return found
    raise types.UserError(
      f'{where} names {name}, which may be {below[0]} or {below[1]}; write the one that is meant into the list'
    )
  return below[0] if below else ''


def remarks(labels: Sequence[Label], groups_csv: str) -> list[str]:
  """Which columns say the split, which are not read, and what is trained on because its list names no split.

  Args:
    labels: as `read` gives them.
    groups_csv: as for `folders.read`; '' for none, and then `groups_unread` are told elsewhere.
  """
  lines = []
  columns = dict.fromkeys(name for one in labels for name in one.split_columns)
  if others := [name for name in columns if name != list_split.COLUMN]:
    lines.append(f'the splits are those in the column {" and ".join(others)} of the list of labels')
  without = [one for one in labels if not one.split and not list_split.of_folder(one.file)]
  if columns and without:
    num = wording.counted(len(without), 'image')
    lines.append(f'{num} of {_list(without[0])}, which names no split: in TRAIN')
  unread = dict.fromkeys(name for one in labels for name in one.unread)
  told = ('group', 'source') if groups_csv else groups_unread(labels)
  if rest := [name for name in unread if name not in told]:
    lines.append(unread_columns.line(rest))
  return [f'  {line}' for line in lines]


def groups_unread(labels: Sequence[Label]) -> tuple[str, ...]:
  """The columns that nobody reads and whose images may belong together."""
  unread = dict.fromkeys(name for one in labels for name in one.unread)
  return tuple(filter(unread_columns.may_be_groups, unread))


def of_row(where: str, row: Mapping[str, str]) -> str:
  """The label of a row, in the first of COLUMNS that is not empty; '' if there is none.

  Words for a missing value are none (see `csv_rows.is_missing`), except where a digest shows that this program wrote
  the row: its labels are classes of a run, whatever these are called.

  Raises:
    UserError: the label cannot be that of a class.
  """
  is_own = bool(row.get('sha256_16', '').strip())
  given = (_unquoted(row.get(name, '').strip()) for name in COLUMNS)
  label = next((cell for cell in given if cell and (is_own or not csv_rows.is_missing(cell))), '')
  if '/' in label or '\\' in label or label.startswith('.'):
    # Labels become names of folders when images are saved by class.
    raise types.UserError(
      f'{where} has the label {label!r}; a label has no slash and does not begin with a dot'
    )
  return label


def _unquoted(label: str) -> str:
  """The label without the quotation marks that a program put around it, or the one that it put before a formula.

  Example:
    >>> [_unquoted(label) for label in ("'MONO'", '\u201cMONO\u201d', "'=A", "5' nucleotidase")]
    ['MONO', 'MONO', '=A', "5' nucleotidase"]
  """
  pairs = ("''", '""', '\u201c\u201d', '\u201e\u201c', '\u2018\u2019', '\xab\xbb')
  if len(label) > 2 and label[0] + label[-1] in pairs:
    return label[1:-1].strip()
  return label[1:] if re.match("'[=+@-]", label) else label


def check_digest(label: Label, digest: str) -> None:
  """Refuses a label of an image that has changed since.

  Args:
    label: the label.
    digest: `image_files.sha256_16` of the image now.

  Raises:
    UserError: the image has changed, or a spreadsheet has changed the digest so that nobody can know.
  """
  given = label.digest.casefold().removeprefix(image_files.MARK)
  if not given or given == digest or (given.isdecimal() and given.zfill(len(digest)) == digest):
    return
  number = _number(given)
  if re.fullmatch('[0-9a-f]{16}', given) and (
    number is None or not math.isclose(number, _number(digest) or 0)
  ):
    raise types.UserError(f'{label.where}: {label.file} has changed since it was labelled; label it again')
  if number is not None:
    raise types.UserError(
      f'{label.where}: a spreadsheet changed the digest of {label.file} to the number {label.digest}; export the '
      'labels again and import the column sha256_16 as text, or remove that column'
    )
  raise types.UserError(
    f'{label.where}: {label.digest!r} is not a digest, which has 16 of the characters 0-9 and a-f; export the labels '
    'again, or remove the column sha256_16'
  )


def _number(text: str) -> float | None:
  """The number that a spreadsheet would see in the text, in locales with a point or a comma; None for none."""
  if text in ('inf', '#num!') or re.fullmatch('#+', text):
    return math.inf
  try:
    return float(text.replace(',', '.')) if re.fullmatch(r'[0-9.,e+\-]+', text) else None
  except ValueError:
    return None
