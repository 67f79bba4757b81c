"""The images of an adapted run, copied into its own folder, so that every command reads them as those of any run."""

from __future__ import annotations

import os
import pathlib
import re

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import image_files
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic, portable_name

FOLDER = 'images'
# What the names of the images of the old and of the new laboratory begin with.
HOME, NEW = 'home', 'new'
_SPLITS = {'train': 'TRAIN', 'validation': 'VALIDATION', 'test': 'TEST'}


def write(folder: workdir.Workdir, home: dict[str, types.Table], new: types.Table) -> pathlib.Path:
  """Copies the images to `images/SPLIT/CLASS/`, and writes their groups to `lists/groups.csv`; returns that file.

  The new images are for training. Their `source` in the list is the file's name in its own folder.

  **Guarantees**: the folder is there as a whole or not at all; it is left alone where it and its list are there.
  """
  listed = folder.list('groups_csv')
  place = folder.path / FOLDER
  if place.is_dir() and listed.exists():
    return listed
  rows = [('file', 'group', 'source')]
  with atomic.folder(place) as beside:
    for split, table in [*home.items(), ('train', new)]:
      own = NEW if table is new else HOME
      for i in range(len(table)):
        class_name = table.class_names[table.label[i]]
        name = f'{_SPLITS[split]}/{class_name}/{own}_{i:05d}_{_plain(str(table.file[i]))}'
        path = beside.joinpath(*name.split('/'))
        path.parent.mkdir(parents=True, exist_ok=True)
        content = table.content[i]
        path.write_bytes(image_files.contents(content))
        source = table.file[i] if own == NEW else table.source[i]
        rows.append((name, f'{own} {table.group[i]}', f'{own} {source}'))
  atomic.write_csv(listed, rows)
  return listed


def new_rows(data: dataset.Dataset) -> np.ndarray:
  """The rows of the new laboratory's images, in the order of the table that `write` was given."""
  numbers = [
    (int(match[1]), row)
    for row, file in enumerate(data.table.file.tolist())
    if (match := re.match(rf'{NEW}_(\d+)_', os.path.basename(file)))
  ]
  return np.array([row for _, row in sorted(numbers)], np.int64)


def _plain(file: str) -> str:
  """The last part of the name, in characters that every file system takes."""
  stem, suffix = os.path.splitext(os.path.basename(file))
  return portable_name.portable_name(stem)[-60:] + suffix.lower()
