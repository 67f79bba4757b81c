"""Labels in a CSV, such as the review page exports, instead of class folders."""

from __future__ import annotations

import dataclasses
import posixpath

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import csv_rows

# The column in files that users write, and that of the review page.
COLUMNS = ('label', 'human_label')


@dataclasses.dataclass(frozen=True)
class Label:
  """A label that a person gave to an image."""

  file: str  # relative to the folder of the data, with '/'
  label: str
  digest: str  # `sha256_16` of the labelled image; '' if the CSV has none


def read(path: str) -> list[Label]:
  """The labels of a CSV with the columns `file` and `label`, or `human_label`; `sha256_16` is optional.

  Raises:
    UserError: the file cannot be read, lacks a column, or a line has no file, no label or a repeated file.
  """
  advice = 'set --config.data.labels_csv to a CSV with the columns file and label'
  rows = csv_rows.read(path, ('file',), advice)
  column = next((name for name in COLUMNS if rows and name in rows[0][1]), None)
  if rows and column is None:
    raise types.UserError(f'{path}: the first line must name the columns file and {" or ".join(COLUMNS)}')
  labels: dict[str, Label] = {}
  for where, row in rows:
    file, label = row['file'].replace('\\', '/'), row[str(column)].strip()
    if not file or not label:
      raise types.UserError(f'{where} lacks a file or a label; give both')
    if row.get('left'):
      raise types.UserError(
        f'{where} labels a part of {file}; save that part as an image and list it without a box'
      )
    if '/' in label or '\\' in label or label.startswith('.'):
      # Labels become names of folders when images are saved by class.
      raise types.UserError(
        f'{where} has the label {label!r}; a label has no slash and does not begin with a dot'
      )
    file = posixpath.normpath(file)
    if file.startswith(('/', '..')):
      raise types.UserError(f'{where} names {file}, which is not inside the folder of the data')
    if file in labels:
      raise types.UserError(f'{where} names {file} a second time; keep one of the lines')
    labels[file] = Label(file, label, row.get('sha256_16', ''))
  if not labels:
    raise types.UserError(f'{path}: has no line with a label')
  return list(labels.values())
