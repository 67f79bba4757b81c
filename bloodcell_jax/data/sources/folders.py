"""A folder of class folders, with or without split folders above them, or of images listed in a CSV."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.images import copies, image_files
from bloodcell_jax.data.sources import (
  csv_rows,
  input_paths,
  label_csv,
  layout,
  list_split,
  listed_names,
  names,
  remarks,
  source,
  vocabulary,
)
from bloodcell_jax.system import missing_path

# Names of split folders, compared as a person reads them, and the split each stands for.
SPLITS = vocabulary.SPLITS
# Classes that no data may have, because predictions use their names.
RESERVED = ('unclassified', 'unclassified (unlike)')


def table(folder: str, groups_csv: str, labels_csv: str) -> tuple[types.Table, list[types.Problem]]:
  """The table and the problems of `read`."""
  found = read(folder, groups_csv, labels_csv)
  return found.table, found.problems


def read(folder: str, groups_csv: str, labels_csv: str) -> source.Reading:
  """The images `DIR/CLASS/*` or `DIR/SPLIT/CLASS/*`, the files that are not used, and what the folder was taken for.

  Folders inside a class folder belong to the class. Without split folders all rows are in TRAIN. Without `groups_csv`
  identical files are one group, an image and its reduced or re-saved copy of a similar name are one group (see
  `copies`), and every other image is a group of its own, which is right if no two images show the same cell.

  Args:
    folder: the folder.
    groups_csv: a CSV with the columns `file,group`, files relative to the folder, and optionally `source`, the
      photograph that an image was cut from; a group may have several photographs. Beside `labels_csv` it may also list
      images of the folder that have no label. '' for none.
    labels_csv: a CSV with the columns `file,label`, or several separated by commas (see `label_csv`): their rows are
      the images, in whatever folders they are; a column names the split (see `list_split`), or else the first folder if
      it is named like one. '' to use class folders.

  Raises:
    UserError: the folder does not exist, has no class or cannot be understood (see `layout`), a class has two spellings
      or a reserved name, or a line of a CSV does not fit the files.
  """
  if not os.path.isdir(folder):
    raise types.UserError(f'{folder}: {_no_folder(folder)}')
  labels = label_csv.read(labels_csv, folder) if labels_csv else []
  found = None if labels else layout.read(folder)
  rows = (
    found.rows
    if found
    else [
      (label.file, label.label, label.split or list_split.of_folder(label.file) or 'TRAIN')
      for label in labels
    ]
  )
  problems = list(found.problems) if found else []
  paths = [os.path.join(folder, *file.split('/')) for file, _, _ in rows]
  kept = []
  for row, path, digest in zip(rows, paths, image_files.digests(paths), strict=True):
    if isinstance(digest, OSError):
      problems.append(types.Problem(row[0], f'cannot be read: {digest.strerror}'))
    else:
      kept.append((path, digest, *row))
  _check_unchanged(folder, labels, {row[2]: row[1] for row in kept})
  if not kept:
    itself = ''
    if image_files.listing(folder, '', False)[0]:
      itself = '; if this folder is one class, name the folder above it'
    raise types.UserError(
      f'{folder}: no images in class folders; put them in CLASS/ or SPLIT/CLASS/, such as TRAIN/NEUTROPHIL/a.png'
      f'{itself}'
    )
  content, digest_N, file_N, class_N, split_N = zip(*kept, strict=True)
  class_names = _class_names(labels_csv or folder, file_N, class_N)
  if groups_csv:
    group_N, source_N = _groups(groups_csv, folder, file_N, bool(labels))
  else:
    group_N, source_N = (
      copies.join(content, file_N, digest_N, list(zip(split_N, class_N, strict=True))),
      list(file_N),
    )
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
  unread = () if groups_csv else label_csv.groups_unread(labels)
  lines = remarks.lines(images, found, groups_csv, unread)
  return source.Reading(images, problems, (*lines, *label_csv.remarks(labels, groups_csv)))


def _no_folder(path: str) -> str:
  """What is there in place of a folder, and what to do."""
  if not os.path.isfile(path):
    return f'no such folder; set --config.data.dir to a folder of class folders{missing_path.hint(path)}'
  if input_paths.is_list(path):
    return (
      'is a list; set --config.data.dir to the folder of its images and --config.data.labels_csv to the list'
    )
  return image_files.unpacking(path) or 'is a file; set --config.data.dir to a folder of class folders'


def _check_unchanged(folder: str, labels: list[label_csv.Label], digest_of: dict[str, str]) -> None:
  for label in labels:
    if label.file not in digest_of:
      raise types.UserError(
        f'{label.where}: {label.file} is not a file in the folder of the data; correct or remove the line'
        f'{listed_names.FilesOfLists(folder).hint(label.file)}'
      )
    label_csv.check_digest(label, digest_of[label.file])


def _class_names(origin: str, file_N: Sequence[str], class_N: Sequence[str]) -> tuple[str, ...]:
  # A folder without images is a problem, see above, and not a class.
  class_names = tuple(sorted(set(class_N)))
  for name in class_names:
    if not image_files.is_showable(name):
      raise types.UserError(
        f'{origin}: the class {name!r} has characters that cannot be shown; give it another name'
      )
    if names.key(name) in map(names.key, RESERVED):
      raise types.UserError(
        f'{origin}: a class cannot be called {name}, the word for images that are left for review; sort its images '
        'into the classes, or give it another name'
      )
  for name in class_names:
    if original := names.copy_of(name, class_names):
      raise types.UserError(
        f'{origin}: {names.spelled(name)} is named like a copy of the class {names.spelled(original)}; move it away, '
        'or give it another name'
      )
  pair = names.alike(class_names)
  if both := pair or names.differ_in_number(class_names):
    where = [
      f'{names.spelled(name)} ({_where(file_N[class_N.index(name)], name)})' if file_N else name
      for name in both
    ]
    what = 'two spellings of one class' if pair else 'one class in the singular and the plural'
    raise types.UserError(f'{origin}: {where[0]} and {where[1]} are {what}; give them one name')
  return class_names


def _where(file: str, class_name: str) -> str:
  """The folder of a class, or the file itself where a CSV gives the class."""
  parts = file.split('/')
  return names.spelled('/'.join(parts[: parts.index(class_name) + 1]) if class_name in parts[:-1] else file)


def _groups(path: str, folder: str, file_N: tuple[str, ...], is_part: bool) -> tuple[list[str], list[str]]:
  """The group and the photograph of each file in the CSV; without `source` the group is the photograph.

  Args:
    path: of the CSV.
    folder: the folder of the data.
    file_N: the images, relative to it.
    is_part: whether the folder may hold other images; the lines of these are passed over.
  """
  group_of: dict[str, tuple[str, str]] = {}
  listed = listed_names.Names(file_N, os.path.basename(os.path.abspath(folder)))
  tree = listed_names.Tree(folder)
  advice = 'set --config.data.groups_csv to a CSV with the columns file and group'
  for where, row in csv_rows.read(path, ('file', 'group'), advice, ('source',)):
    group, photograph = row['group'].strip(), row.get('source', '').strip()
    if not row['file'].strip() or csv_rows.is_missing(group):
      raise types.UserError(f'{where} lacks a file or a group; give both')
    there = _image(folder, tree.find(row['file'])) if is_part else ''
    file = listed.find(there or row['file'])
    if there and not (file and os.path.samefile(os.path.join(folder, file), os.path.join(folder, there))):
      continue  # an image without a label
    if not file:
      raise types.UserError(
        f'{where} names {row["file"]}, which is not an image of the folder; correct or delete the line'
        f'{_of_base_name(row["file"], file_N) or listed_names.hint(folder, row["file"])}'
      )
    if file in group_of:
      raise types.UserError(f'{where} names {file} a second time; keep one of the lines')
    group_of[file] = (group, photograph or group)
  if pair := names.alike_groups(dict.fromkeys(group for group, _ in group_of.values())):
    first = {group: file for file, (group, _) in reversed(group_of.items())}
    one, other = (f'{names.spelled(name)} ({first[name]})' for name in pair)
    raise types.UserError(f'{path}: {one} and {other} are two spellings of one group; give them one name')
  for file in file_N:
    if file not in group_of:
      raise types.UserError(f'{path}: has no line for {file}; every image needs a group')
  return [group_of[file][0] for file in file_N], [group_of[file][1] for file in file_N]


def _image(folder: str, file: str) -> str:
  """The file, if it is that of an image in the folder; '' otherwise."""
  is_inside = file and not file.startswith('../')
  return (
    file if is_inside and image_files.is_image(file) and os.path.isfile(os.path.join(folder, file)) else ''
  )


def _of_base_name(name: str, file_N: Sequence[str]) -> str:
  """The only image of the last part of this name, to be added to an error; '' if there is none, or several."""
  last = names.key(re.split(r'[/\\]', name)[-1])
  found = [file for file in file_N if names.key(file.rpartition('/')[2]) == last]
  return f' ({found[0]} is there)' if len(found) == 1 else ''


def _read(settings: source.Settings) -> source.Reading:
  return read(settings.dir, settings.groups_csv, settings.labels_csv)


SOURCE = source.Source(
  title='a folder of class folders, or of images listed in a CSV',
  is_synthetic=False,
  needs_dir=True,
  reads_lists=True,
  splits='Its split folders, if it has any; other splits are held out by groups of images.',
  licence='the images: as their owner says',
  read=_read,
  photographs=source.one_of_each_photograph(_read),
)
