"""Labels of cells within photographs, as the review page and the page of `serve` export them: lists with boxes."""

from __future__ import annotations

import os
import pathlib

from bloodcell_jax.base import cell, types
from bloodcell_jax.data.images import decode, image_files
from bloodcell_jax.data.sources import csv_rows, label_csv, listed_names
from bloodcell_jax.inference import cell_folder

_SIDES = ('left', 'top', 'right', 'bottom')
_ADVICE = 'name the list that the review page exported'


def are_in(labels_csv: str) -> bool:
  """Whether a list labels parts of photographs. Raises UserError where a list cannot be read."""
  return any(row.get('left', '').strip() for _, _, row in _rows(labels_csv))


def write(labels_csv: str, data_dir: str, folder: pathlib.Path, max_pixels: int) -> int:
  """Cuts the labelled cells out, as `cell_folder.write`; the number of images.

  Args:
    labels_csv: as for `label_csv.paths`; rows without a box label the whole photograph. Photographs are named as for
      `label_csv.file_of`.
    data_dir: the folder of the photographs.
    folder: to write.
    max_pixels: of a photograph.

  Raises:
    UserError: a list cannot be read; a photograph is gone, has changed or cannot be used; a cell has two labels.
  """
  files = listed_names.FilesOfLists(data_dir)
  found: dict[str, dict[cell.Box | None, cell_folder.LabelledCell]] = {}
  digests: dict[str, str] = {}
  for path, where, row in _rows(labels_csv):
    label = label_csv.of_row(where, row)
    file = label_csv.file_of(where, row, path, files)
    if not label:
      raise types.UserError(f'{where} lacks a label; give it one')
    if not file or not os.path.isfile(os.path.join(data_dir, file)) or file.startswith('..'):
      raise types.UserError(
        f'{where} names {row["file"]}, which is not a file in the folder {data_dir}{files.hint(row["file"])}; set '
        '--data_dir to a folder that holds all photographs of the list, and name them relative to it'
      )
    if file not in digests:
      digests[file] = _digest(os.path.join(data_dir, file))
    label_csv.check_digest(
      label_csv.Label(file, label, row.get('sha256_16', '').strip(), where), digests[file]
    )
    box = _box(where, row)
    cells = found.setdefault(file, {})
    one = cells.setdefault(box, cell_folder.LabelledCell(len(cells) + 1, box, label))
    if one.label != label:
      raise types.UserError(f'{where} labels a cell {label} that is {one.label} above; keep one of them')
  photographs = [
    cell_folder.LabelledPhotograph(os.path.join(data_dir, file), file, digests[file], tuple(cells.values()))
    for file, cells in sorted(found.items())
  ]
  try:
    return cell_folder.write(photographs, folder, max_pixels)
  except decode.DecodeError as error:
    raise types.UserError(f'{labels_csv}: a labelled photograph cannot be used: {error}') from None


def _rows(labels_csv: str) -> list[tuple[str, str, dict[str, str]]]:
  """(path of the list, `path: line N`, row) of each line."""
  return [
    (path, where, row)
    for path in label_csv.paths(labels_csv)
    for where, row in csv_rows.read(path, ('file',), _ADVICE, label_csv.COLUMNS)
  ]


def _box(where: str, row: dict[str, str]) -> cell.Box | None:
  sides = [row.get(name, '').strip() for name in _SIDES]
  if not any(sides):
    return None
  try:
    return cell.Box(*(int(side) for side in sides))
  except ValueError:
    raise types.UserError(
      f'{where}: {", ".join(sides)} is not a box in pixels (left, top, right, bottom); export the list again'
    ) from None


def _digest(path: str) -> str:
  try:
    return image_files.sha256_16(image_files.read(path))
  except OSError as error:
    raise types.UserError(f'{path}: {error.strerror}') from None
