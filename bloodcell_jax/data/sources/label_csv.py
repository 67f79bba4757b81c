"""Labels in CSV lists, such as the review page exports, instead of class folders."""

from __future__ import annotations

import dataclasses
import math
import os
import posixpath
import re
from collections.abc import Mapping

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import csv_rows, listed_names, names, vocabulary

# The column in files that users write, and that of the review page.
COLUMNS = ('label', 'human_label')
# The column that names the split of each image; a list may have it.
SPLIT = 'split'
# Columns whose images may belong together. They are groups in a list of groups only, which has one for every image.
_GROUPS = (
  'group',
  'patient',
  'patient_id',
  'slide',
  'slide_id',
  'case',
  'case_id',
  'donor',
  'subject',
  'subject_id',
)


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
  unread: tuple[str, ...] = ()  # the columns of its list that may name groups, which nobody reads


def paths(labels_csv: str) -> list[str]:
  """The lists that `data.labels_csv` names: one path, or several separated by commas."""
  if os.path.exists(labels_csv):
    return [labels_csv]
  return [path.strip() for path in labels_csv.split(',') if path.strip()]


def read(labels_csv: str, folder: str) -> list[Label]:
  """The labels of lists with the columns `file` and `label`, or `human_label`; `sha256_16` and `split` are optional.

  A file may be named relative to the folder of the data, or to the folder of its list if that lies inside.

  Args:
    labels_csv: as for `paths`.
    folder: the folder of the data.

  Raises:
    UserError: a list cannot be read, lacks a column, or a line has no file, no label, or a file that has a line
      already; in another list it may have one with the same label.
  """
  labels: dict[str, Label] = {}
  files = listed_names.FilesOfLists(folder)
  for path in paths(labels_csv):
    for one in _read(path, files):
      before = labels.setdefault(one.file, one)
      if before is one or (before.label == one.label and _list(before) != _list(one)):
        continue
      elsewhere = '' if _list(before) == _list(one) else f', which is {before.label} in {before.where}'
      raise types.UserError(f'{one.where} names {one.file} a second time{elsewhere}; keep one of the lines')
  if not labels:
    raise types.UserError(f'{labels_csv}: has no line with a label')
  return list(labels.values())


def _list(label: Label) -> str:
  return label.where.rpartition(': line')[0]


def _read(path: str, files: listed_names.FilesOfLists) -> list[Label]:
  advice = 'set --config.data.labels_csv to a CSV with the columns file and label'
  rows = csv_rows.read(path, ('file',), advice, (*COLUMNS, SPLIT))
  if rows and not set(COLUMNS) & set(rows[0][1]):
    there = ', '.join(rows[0][1])
    raise types.UserError(
      f'{path}: the first line must name the columns file and {" or ".join(COLUMNS)}; it has {there}'
    )
  unread = tuple(name for name in (rows[0][1] if rows else ()) if name in _GROUPS)
  labels = []
  for where, row in rows:
    file, label = row['file'].replace('\\', '/'), of_row(where, row)
    if not file.strip() or not label:
      raise types.UserError(
        f'{where} lacks a file or a label (NA and nan stand for a missing value); give both'
      )
    if row.get('left', '').strip():
      raise types.UserError(
        f'{where} labels a part of {file}; save the labelled cells as images: `adapt` with this list writes them into '
        'TO-labelled, the page of `serve` exports them'
      )
    inner = posixpath.normpath(file)
    found = files.find(row['file'], path)
    if not found and listed_names.is_absolute(inner):
      raise types.UserError(
        f'{where} names {file}, which is not a file in the folder of the data; name files relative to it'
      )
    if inner.startswith('..'):
      raise types.UserError(f'{where} names {file}, which is not inside the folder of the data')
    labels.append(
      Label(found or inner, label, row.get('sha256_16', '').strip(), where, _split(where, row), unread)
    )
  return labels


def _split(where: str, row: Mapping[str, str]) -> str:
  given = row.get(SPLIT, '').strip()
  split = names.split(given)
  if given and not split:
    raise types.UserError(
      f'{where} has the split {given!r}; write {", ".join(sorted(set(vocabulary.SPLITS.values())))}, or remove the '
      f'column {SPLIT}'
    )
  return split


def of_row(where: str, row: Mapping[str, str]) -> str:
  """The label of a row, in the first of COLUMNS that is not empty; '' if there is none.

  Raises:
    UserError: the label cannot be that of a class.
  """
  given = (row.get(name, '').strip() for name in COLUMNS)
  label = _unquoted(next(filter(None, given), ''))
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
