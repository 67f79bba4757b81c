"""A folder of class folders, with or without split folders above them, or of images listed in a CSV."""

from __future__ import annotations

import os
import posixpath

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import csv_rows, label_csv, listed_names, source

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


def table(folder: str, groups_csv: str, labels_csv: str) -> tuple[types.Table, list[types.Problem]]:
  """The images `DIR/CLASS/*` or `DIR/SPLIT/CLASS/*`, and the files that are not used.

  Folders inside a class folder belong to the class. Without split folders all rows are in TRAIN. Without `groups_csv`
  identical files are one group and every other image is a group of its own, which is right if no two images show the
  same cell.

  Args:
    folder: the folder.
    groups_csv: a CSV with the columns `file,group`, files relative to the folder, and optionally `source`, the
      photograph that an image was cut from; a group may have several photographs. '' for none.
    labels_csv: a CSV with the columns `file,label`, or several separated by commas (see `label_csv`): their rows are
      the images, in whatever folders they are; the first folder is the split if it is named like one. '' to use class
      folders.

  Raises:
    UserError: the folder does not exist or has no class, or a line of a CSV does not fit the files.
  """
  if not os.path.isdir(folder):
    raise types.UserError(f'{folder}: no such folder; set --config.data.dir to a folder of class folders')
  labels = label_csv.read(labels_csv, folder) if labels_csv else []
  rows, problems = (
    ([(label.file, label.label, _split(label.file)) for label in labels], []) if labels else _list(folder)
  )
  paths = [os.path.join(folder, *file.split('/')) for file, _, _ in rows]
  kept = []
  for row, path, digest in zip(rows, paths, image_files.digests(paths), strict=True):
    if isinstance(digest, OSError):
      problems.append(types.Problem(row[0], f'cannot be read: {digest.strerror}'))
    else:
      kept.append((path, digest, *row))
  _check_unchanged(labels, {row[2]: row[1] for row in kept})
  if not kept:
    raise types.UserError(
      f'{folder}: no images in class folders; put them in CLASS/ or SPLIT/CLASS/, such as TRAIN/NEUTROPHIL/a.png'
    )
  content, digest_N, file_N, class_N, split_N = zip(*kept, strict=True)
  class_names = _class_names(folder, class_N)
  group_N, source_N = _groups(groups_csv, file_N) if groups_csv else (digest_N, file_N)
  images = types.Table(
    content=content,
    file=np.array(file_N, str),
    label=np.array([class_names.index(name) for name in class_N], np.int32),
    source=np.array(source_N, str),
    group=np.array(group_N, str),
    split=np.array(split_N, str),
    digest=np.array(digest_N, str),
    class_names=class_names,
    name=os.path.basename(os.path.abspath(folder)),
    synthetic=False,
  )
  return images, problems


def _list(folder: str) -> tuple[list[tuple[str, str, str]], list[types.Problem]]:
  """(file, class, split) of the images, and files and folders that do not belong there."""
  rows: list[tuple[str, str, str]] = []
  problems: list[types.Problem] = []
  for split, split_folder in _split_folders(folder):
    inside = os.path.join(folder, split_folder)
    loose, _ = image_files.listing(inside, split_folder, recursive=False)
    if loose:
      where = f'images outside the class folders: {len(loose)}, such as {loose[0]}'
      problems.append(types.Problem(split_folder or os.path.basename(os.path.abspath(folder)), where))
    for class_name in image_files.subfolders(inside):
      shown = posixpath.join(split_folder, class_name)
      names, left_out = image_files.listing(os.path.join(inside, class_name), shown)
      problems += left_out
      if not names:
        problems.append(types.Problem(shown, 'holds no image'))
      rows += [(f'{shown}/{name}', class_name, split) for name in names]
  return rows, problems


def _split(file: str) -> str:
  return SPLITS.get(file.split('/')[0].lower(), 'TRAIN') if '/' in file else 'TRAIN'


def _check_unchanged(labels: list[label_csv.Label], digest_of: dict[str, str]) -> None:
  for label in labels:
    if label.file not in digest_of:
      raise types.UserError(
        f'{label.where}: {label.file} is no file in the folder of the data; correct or remove the line'
      )
    label_csv.check_digest(label, digest_of[label.file])


def _split_folders(folder: str) -> list[tuple[str, str]]:
  """(split, name of its folder), or TRAIN and the folder itself if there are no split folders."""
  names = image_files.subfolders(folder)
  by_split: dict[str, str] = {}
  for name in names:
    split = SPLITS.get(name.lower())
    if split in by_split:
      raise types.UserError(f'{folder}: {by_split[split]} and {name} are both folders of {split}; keep one')
    if split:
      by_split[split] = name
  if not by_split:
    return [('TRAIN', '')]
  others = [name for name in names if name.lower() not in SPLITS]
  if others:
    raise types.UserError(
      f'{os.path.join(folder, others[0])}: is beside split folders but is none; move it away or '
      f'rename it to one of {", ".join(sorted(SPLITS))}'
    )
  return list(by_split.items())


def _class_names(folder: str, class_N: tuple[str, ...]) -> tuple[str, ...]:
  # A folder without images is a problem, see above, and not a class.
  names = tuple(sorted(set(class_N)))
  by_lower: dict[str, str] = {}
  for name in names:
    if not image_files.is_showable(name):
      raise types.UserError(
        f'{folder}: the class {name!r} has characters that cannot be shown; give it another name'
      )
    other = by_lower.setdefault(name.lower(), name)
    if other != name:
      raise types.UserError(
        f'{folder}: the class folders {other} and {name} differ only in case; give them one name'
      )
  return names


def _groups(path: str, file_N: tuple[str, ...]) -> tuple[list[str], list[str]]:
  """The group and the photograph of each file in the CSV; without `source` the group is the photograph."""
  group_of: dict[str, tuple[str, str]] = {}
  names = listed_names.Names(file_N)
  advice = 'set --config.data.groups_csv to a CSV with the columns file and group'
  for where, row in csv_rows.read(path, ('file', 'group'), advice, ('source',)):
    group, photograph = row['group'].strip(), row.get('source', '').strip()
    if not row['file'].strip() or not group:
      raise types.UserError(f'{where} lacks a file or a group; give both')
    file = names.find(row['file'])
    if not file:
      raise types.UserError(
        f'{where} names {row["file"]}, which is no image of the folder; correct or remove it'
      )
    if file in group_of:
      raise types.UserError(f'{where} names {file} a second time; keep one of the lines')
    group_of[file] = (group, photograph or group)
  for file in file_N:
    if file not in group_of:
      raise types.UserError(f'{path}: has no line for {file}; every image needs a group')
  return [group_of[file][0] for file in file_N], [group_of[file][1] for file in file_N]


def _read(settings: source.Settings) -> tuple[types.Table, list[types.Problem]]:
  return table(settings.dir, settings.groups_csv, settings.labels_csv)


SOURCE = source.Source(
  title='a folder of class folders, or of images listed in a CSV',
  is_synthetic=False,
  needs_dir=True,
  splits='Its split folders, if it has any; other splits are held out by groups of images.',
  licence='the images: as their owner says',
  read=_read,
  photographs=source.one_of_each_photograph(_read),
)
