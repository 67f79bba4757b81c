"""Any folder of classes, with or without folders of splits above them."""

from __future__ import annotations

import csv
import pathlib

import numpy as np

from bloodcell_jax import types
from bloodcell_jax.data import files

# Names of split folders, in any case, and the split each stands for.
SPLITS = {
  'train': 'TRAIN',
  'training': 'TRAIN',
  'val': 'VALIDATION',
  'valid': 'VALIDATION',
  'validation': 'VALIDATION',
  'test': 'TEST',
  'testing': 'TEST',
  'test_simple': 'TEST_SIMPLE',
  'originals': 'ORIGINALS',
}


def table(directory: str, groups_csv: str) -> tuple[types.Table, list[types.Problem]]:
  """The rows of `DIR/CLASS/*` or `DIR/SPLIT/CLASS/*`, and the files that are no rows.

  Without split folders every row is of TRAIN. Without `groups_csv` the files with equal bytes are one group and
  every other image is its own.

  Args:
    directory: the folder.
    groups_csv: a CSV with the columns `file,group`, files relative to the folder; empty for none.

  Raises:
    UserError: no such folder, no class in it, or a row of the CSV that does not fit.
  """
  root = pathlib.Path(directory)
  if not root.is_dir():
    raise types.UserError(f'{root}: no such folder; set --config.data.dir to a folder of class folders')
  problems: list[types.Problem] = []
  rows: list[tuple[pathlib.Path, str, str]] = []  # path, class, split
  for split, folder in _split_folders(root):
    for class_folder in _subfolders(folder):
      paths, bad = files.images(class_folder, root)
      problems += bad
      if not paths:
        problems.append(types.Problem(str(class_folder.relative_to(root)), 'holds no image'))
      rows += [(path, class_folder.name, split) for path in paths]
    problems += [
      types.Problem(str(path.relative_to(root)), 'lies outside the class folders')
      for path in sorted(folder.iterdir())
      if path.is_file() and path.suffix.lower() in files.EXTENSIONS
    ]
  if not rows:
    raise types.UserError(f'{root}: no images in folders of classes, such as {root}/NEUTROPHIL/a.png')
  # Classes without any image are problems above, and no classes.
  class_names = tuple(sorted({name for _, name, _ in rows}))
  digests = [digest or '' for digest in files.digests([path for path, _, _ in rows])]
  names = [path.relative_to(root).as_posix() for path, _, _ in rows]
  groups = _groups(groups_csv, names) if groups_csv else digests
  return types.Table(
    content=tuple(str(path) for path, _, _ in rows),
    file=np.array(names, np.str_),
    label=np.array([class_names.index(name) for _, name, _ in rows], np.int32),
    source=np.array(groups if groups_csv else names, np.str_),
    group=np.array(groups, np.str_),
    split=np.array([split for _, _, split in rows], np.str_),
    digest=np.array(digests, np.str_),
    class_names=class_names,
    name=root.name,
    synthetic=False,
  ), problems


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
  return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith('.'))


def _split_folders(root: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
  folders = _subfolders(root)
  named = [(SPLITS[folder.name.lower()], folder) for folder in folders if folder.name.lower() in SPLITS]
  if not named:
    return [('TRAIN', root)]
  others = [folder.name for folder in folders if folder.name.lower() not in SPLITS]
  if others:
    raise types.UserError(
      f'{root / others[0]}: stands beside folders of splits but is none; '
      f'known splits are {", ".join(sorted(SPLITS))}'
    )
  return named


def _groups(path: str, names: list[str]) -> list[str]:
  """The group of each file by the CSV."""
  try:
    with open(path, encoding='utf-8', newline='') as file:
      reader = csv.DictReader(file)
      if not {'file', 'group'} <= set(reader.fieldnames or ()):
        raise types.UserError(f'{path}: the first line must name the columns file and group')
      by_file: dict[str, str] = {}
      for number, row in enumerate(reader, 2):
        if not row['file'] or not row['group']:
          raise types.UserError(f'{path}: line {number} lacks a file or a group')
        if row['file'] in by_file:
          raise types.UserError(f'{path}: line {number} names {row["file"]} a second time')
        by_file[row['file']] = row['group']
  except OSError as error:
    raise types.UserError(f'{path}: {error.strerror}; set --config.data.groups_csv to a CSV file') from None
  except UnicodeDecodeError:
    raise types.UserError(f'{path}: not a text file in UTF-8') from None
  for name in by_file.keys() - set(names):
    raise types.UserError(f'{path}: names {name}, which is not among the images')
  for name in names:
    if name not in by_file:
      raise types.UserError(f'{path}: has no line for {name}; every image needs a group')
  return [by_file[name] for name in names]
