"""The Kaggle data set `paultimothymooney/blood-cells`, each image with the photograph it was cut from.

Its 12,515 JPEGs are augmented copies of 348 photographs. Their file names do not identify the photograph: the
number in `_12_2599.jpeg` is a position in a shuffled epoch. Two tables in the package do, keyed by content:
`kaggle_sources.csv` (photograph and field of each copy) and `kaggle_originals.csv` (label, official split and field
of the photographs that show one cell). They were obtained by registering every copy against all photographs.
Photographs of the same physical field share a `field_group`.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.resources
import os
from collections.abc import Mapping

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import source as source_lib

HANDLE = 'paultimothymooney/blood-cells'
CLASS_NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
SPLITS = ('TRAIN', 'TEST', 'TEST_SIMPLE')
HOW_TO_GET = (
  'pip install kagglehub, or '
  f'download the Kaggle data set {HANDLE}, unpack it and pass --config.data.dir=FOLDER'
)

# As Kaggle's archive unpacks: the folder of each half is doubled.
_COPIES = ('dataset2-master/dataset2-master/images', 'dataset2-master/images', 'images', '.')
_PHOTOGRAPHS = ('dataset-master/dataset-master/JPEGImages', 'dataset-master/JPEGImages', 'JPEGImages')


@dataclasses.dataclass(frozen=True)
class Origin:
  """The known origin of a file, identified by its bytes; `label` and `split` are '' for a copy."""

  source: str  # number of the photograph, five digits
  group: str  # lowest number of the photographs of the same field
  label: str
  split: str  # 'train' or 'test', of the photographs


def origins() -> dict[str, Origin]:
  """The known files by `sha256_16` of their bytes: copies and photographs."""
  known = {
    row['sha256_16']: Origin(row['source'], row['field_group'], '', '') for row in _rows('kaggle_sources.csv')
  }
  for row in _rows('kaggle_originals.csv'):
    known[row['sha256_16']] = Origin(row['source'], row['field_group'], row['label'], row['split'])
  return known


def table(folder: str) -> tuple[types.Table, list[types.Problem]]:
  """The data set as a Table (TRAIN, TEST, TEST_SIMPLE, ORIGINALS), and the files that are skipped.

  ORIGINALS are the 71 single-cell photographs of the official test split, 640x480, read from JPEGImages.

  **Guarantees**: `source` and `group` depend on the bytes of a file, never on its name; a file with unknown bytes is
  skipped with a Problem, because its group is unknown.

  Args:
    folder: the unpacked archive or a folder inside; '' to download it with kagglehub.

  Raises:
    UserError: the folder does not exist or is not the unpacked archive.
  """
  return read(folder or fetch(), origins())


def photographs(folder: str) -> types.Table:
  """The 277 photographs of the official training split, 640x480, as a Table of TRAIN.

  Args:
    folder: as for `table`.

  Raises:
    UserError: the photographs are missing.
  """
  folder = folder or fetch()
  kept = _single_cells(_find(folder)[1], ('train',))
  if not kept:
    raise types.UserError(_no_photographs(folder))
  return _table(kept)


def is_unpacked(folder: str) -> bool:
  """Whether the folder is the unpacked archive with its photographs."""
  return any(os.path.isdir(os.path.join(folder, inner)) for inner in _PHOTOGRAPHS)


def single_cells(folder: str) -> types.Table:
  """The photographs of one cell, 640x480, in the official splits: 277 in TRAIN, 71 in TEST.

  Args:
    folder: the unpacked archive or a folder inside.

  Raises:
    UserError: the photographs are missing.
  """
  kept = _single_cells(_find(folder)[1], ('train', 'test'))
  if {split for *_, split, _ in kept} != {'TRAIN', 'TEST'}:
    raise types.UserError(_no_photographs(folder))
  return _table(kept)


def _single_cells(place: str, splits: tuple[str, ...]) -> list[tuple[str, str, str, Origin, str, str]]:
  """The rows of `_table` of the photographs in the folder `place` that are of these splits."""
  paths = [(f'JPEGImages/{name}', os.path.join(place, name)) for name in _images(place)] if place else []
  known, kept = origins(), []
  for (file, path), digest in zip(paths, image_files.digests([path for _, path in paths]), strict=True):
    origin = known.get(digest) if isinstance(digest, str) else None
    if isinstance(digest, str) and origin and origin.split in splits and origin.label in CLASS_NAMES:
      kept.append((path, file, origin.label, origin, origin.split.upper(), digest))
  return kept


def _no_photographs(folder: str) -> str:
  return (
    f'{folder}: holds none of the original training photographs (dataset-master/dataset-master/JPEGImages); '
    f'unpack the whole Kaggle data set {HANDLE}'
  )


def fetch() -> str:
  """Downloads the data set with kagglehub, unless it has been downloaded before; returns its folder."""
  try:
    import kagglehub
  except ImportError:
    raise types.UserError(f'data.dir is empty and kagglehub is not installed: {HOW_TO_GET}') from None
  try:
    return str(kagglehub.dataset_download(HANDLE))
  except Exception as error:  # its errors have no common base class
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise types.UserError(f'kagglehub could not download {HANDLE} ({reason}): {HOW_TO_GET}') from error


def read(folder: str, known: Mapping[str, Origin]) -> tuple[types.Table, list[types.Problem]]:
  """As `table`, for files whose origins `known` has by their `sha256_16`."""
  copies, photographs = _find(folder)
  rows, problems = _list_copies(copies)
  if photographs:
    rows += [('ORIGINALS', '', f'JPEGImages/{n}', os.path.join(photographs, n)) for n in _images(photographs)]
  else:
    problems.append(types.Problem('JPEGImages', 'no such folder; it holds the original test photographs'))

  kept = []
  digest_N = image_files.digests([path for *_, path in rows])
  for (split, class_name, file, path), digest in zip(rows, digest_N, strict=True):
    if isinstance(digest, OSError):
      problems.append(types.Problem(file, f'cannot be read: {digest.strerror}'))
      continue
    origin = known.get(digest)
    if split == 'ORIGINALS':
      # The other photographs show several cells, or are the sources of TRAIN.
      if origin and origin.split == 'test' and origin.label in CLASS_NAMES:
        kept.append((path, file, origin.label, origin, split, digest))
    elif origin is None:
      reason = 'its bytes are not in the data set, so its photograph is unknown'
      problems.append(types.Problem(file, reason))
    else:
      kept.append((path, file, class_name, origin, split, digest))
  if not any(split != 'ORIGINALS' for *_, split, _ in kept):
    raise types.UserError(
      f'{folder}: none of its {len(rows)} images is in the Kaggle data set {HANDLE}; '
      'for images of your own use --config.data.source=folders'
    )
  if photographs and not any(split == 'ORIGINALS' for *_, split, _ in kept):
    problems.append(types.Problem('JPEGImages', 'holds none of the original test photographs'))
  return _table(kept), problems


def _find(folder: str) -> tuple[str, str]:
  if not os.path.isdir(folder):
    raise types.UserError(f'data.dir: {folder} is not a folder; to get the images: {HOW_TO_GET}')
  whole = os.path.abspath(folder)
  candidates = [os.path.normpath(os.path.join(whole, inner)) for inner in _COPIES]
  copies = next((c for c in candidates if os.path.isdir(os.path.join(c, 'TRAIN'))), '')
  if not copies:
    raise types.UserError(
      f'{folder}: has no dataset2-master/dataset2-master/images/TRAIN, so it is not the unpacked '
      f'Kaggle data set {HANDLE}'
    )
  if not os.path.isdir(os.path.join(copies, 'TEST')):
    raise types.UserError(
      f'{folder}: has images/TRAIN but no images/TEST; unpack the whole Kaggle data set {HANDLE}'
    )
  # The photographs are beside the copies: if `folder` is an inner one, go up to the root of the archive.
  above, roots = whole, [whole]
  for _ in range(3):
    above = os.path.dirname(above)
    roots.append(above)
  places = (os.path.join(root, inner) for root in roots for inner in _PHOTOGRAPHS)
  return copies, next((p for p in places if os.path.isdir(p)), '')


def _list_copies(copies: str) -> tuple[list[tuple[str, str, str, str]], list[types.Problem]]:
  rows, problems = [], []
  for split in SPLITS:
    top = os.path.join(copies, split)
    classes = image_files.subfolders(top) if os.path.isdir(top) else []
    for class_name in CLASS_NAMES:
      if class_name not in classes:
        problems.append(types.Problem(f'{split}/{class_name}', 'no such folder'))
        continue
      inner = f'{split}/{class_name}'
      names, left_out = image_files.listing(os.path.join(top, class_name), inner)
      problems += left_out
      if not names:
        problems.append(types.Problem(inner, 'holds no image'))
      rows += [(split, class_name, f'{inner}/{n}', os.path.join(top, class_name, n)) for n in names]
    extra = [c for c in classes if c not in CLASS_NAMES]
    problems += [types.Problem(f'{split}/{c}', 'not a class of the data set') for c in extra]
  return rows, problems


def _images(folder: str) -> list[str]:
  return image_files.listing(folder, 'JPEGImages', recursive=False)[0]


def _table(kept: list[tuple[str, str, str, Origin, str, str]]) -> types.Table:
  path, file, class_name, origin, split, digest = zip(*kept, strict=True)
  return types.Table(
    content=path,
    file=np.array(file, str),
    label=np.array([CLASS_NAMES.index(c) for c in class_name], np.int32),
    source=np.array([o.source for o in origin], str),
    group=np.array([o.group for o in origin], str),
    split=np.array(split, str),
    digest=np.array(digest, str),
    class_names=CLASS_NAMES,
    name=f'Kaggle {HANDLE}',
    synthetic=False,
  )


def _rows(name: str) -> list[dict[str, str]]:
  text = importlib.resources.files('bloodcell_jax.data.sources').joinpath(name).read_text('utf-8')
  return list(csv.DictReader(text.splitlines()))


SOURCE = source_lib.Source(
  title=f'the Kaggle data set {HANDLE}',
  is_synthetic=False,
  needs_dir=False,  # without a folder it is downloaded
  reads_lists=False,
  splits='Its own TRAIN, TEST and TEST_SIMPLE; validation is held out of TRAIN by fields of the smear.',
  licence='the Kaggle images and the BCCD data set that they derive from: MIT',
  read=lambda settings: source_lib.Reading(*table(settings.dir), ()),
  photographs=lambda settings: photographs(settings.dir),
)
