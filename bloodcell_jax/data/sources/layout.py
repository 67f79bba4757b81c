"""What a folder of images is taken for: its split folders, its class folders, and what is passed over."""

from __future__ import annotations

import collections
import dataclasses
import os
import posixpath
from collections.abc import Mapping, Sequence

from bloodcell_jax.base import shell, types
from bloodcell_jax.data.images import companions, image_files, litter, mask_folders
from bloodcell_jax.data.sources import misplaced_splits, names, upper_folders, vocabulary

# Folders that the search for a nested data set looks into.
_MOST_SEARCHED = 500
# Folders of each class that are looked into for classes below.
_MOST_LOOKED_INTO = 20


@dataclasses.dataclass(frozen=True)
class Layout:
  """The images of a folder with their classes and splits."""

  rows: list[tuple[str, str, str]]  # (file, class, split)
  problems: list[types.Problem]  # files and folders that do not belong there
  split_folders: Mapping[str, str]  # split -> the name of its folder; empty without split folders
  passed_over: litter.Tally
  splits_beside: tuple[
    str, ...
  ]  # folders of other splits beside the folder, where it is that of TRAIN itself
  mask_folders: tuple[
    str, ...
  ]  # folders beside the classes that hold masks of their images, and nothing else


@dataclasses.dataclass(frozen=True)
class _Look:
  """The first level of a folder."""

  num_images: int
  folders: list[str]


def read(folder: str) -> Layout:
  """The layout of `DIR/CLASS/*` or `DIR/SPLIT/CLASS/*`.

  Raises:
    UserError: the folder looks like several data sets, like one that lies deeper, or has split folders that cannot be
      understood; the message says what to pass instead.
  """
  passed_over = litter.tally()
  split_folders = _split_folders(folder, passed_over)
  if not split_folders:
    _refuse_class(folder)
  rows: list[tuple[str, str, str]] = []
  problems: list[types.Problem] = []
  if split_folders:
    problems += _left_out(folder, '')
    if beside := image_files.read_listing(folder, '', False, litter.tally()).names:
      where = f'images outside the split folders: {len(beside)}, such as {beside[0]}'
      problems.append(types.Problem(os.path.basename(os.path.abspath(folder)), where))
  for split, split_folder in (split_folders or {'TRAIN': ''}).items():
    inside = os.path.join(folder, split_folder) if split_folder else folder
    loose = image_files.read_listing(inside, split_folder, False, litter.tally()).names
    problems += _left_out(inside, split_folder)
    if loose:
      where = f'images outside the class folders: {len(loose)}, such as {loose[0]}'
      if any('\\' in name for name in loose):
        where += (
          '; its name contains the folders of a Windows path: unpack the archive again with another program'
        )
      problems.append(types.Problem(split_folder or os.path.basename(os.path.abspath(folder)), where))
    classes = image_files.subfolders(inside, passed_over if split_folder else None)
    real = os.path.realpath(inside)
    for name in [
      each for each in classes if f'{real}/'.startswith(f'{os.path.realpath(f"{inside}/{each}")}/')
    ]:
      classes.remove(name)
      problems.append(types.Problem(posixpath.join(split_folder, name), 'a link to a folder above it'))
    _refuse_nested(folder, inside, classes, len(split_folders))
    for class_name in classes:
      shown = posixpath.join(split_folder, class_name)
      place = os.path.join(inside, class_name)
      found = companions.without_masks(
        place, image_files.read_listing(place, shown, True, passed_over), passed_over
      )
      if not found.names and found.num_runs:
        continue  # a folder of runs
      problems += found.problems
      if not found.names:
        problems.append(types.Problem(shown, 'holds no image'))
      misplaced_splits.refuse_inside(place, class_name, found.names)
      rows += [(f'{shown}/{name}', class_name, split) for name in found.names]
  rows, of_masks = _without_masks(folder, rows, bool(split_folders), passed_over)
  misplaced_splits.refuse_names(folder, list(dict.fromkeys(row[1] for row in rows)))
  splits_beside = () if split_folders else _splits_beside(folder)
  return Layout(rows, problems, split_folders, passed_over, splits_beside, of_masks)


def _without_masks(
  folder: str, rows: list[tuple[str, str, str]], has_splits: bool, passed_over: litter.Tally
) -> tuple[list[tuple[str, str, str]], tuple[str, ...]]:
  """The rows without masks of images in other class folders, and the class folders that hold nothing else."""
  files = [file for file, _, _ in rows]
  # The class folder, and the split folder above it.
  place_of = {file: '/'.join(file.split('/')[: 2 if has_splits else 1]) for file in files}
  masks = set(mask_folders.find(folder, files, [place_of[file] for file in files]))
  if masks:
    passed_over.times[litter.MASK] += len(masks)
  kept = [row for row in rows if row[0] not in masks]
  left = {place_of[file] for file, _, _ in kept}
  return kept, tuple(place for place in dict.fromkeys(place_of.values()) if place not in left)


def _left_out(folder: str, shown: str) -> list[types.Problem]:
  """The archives in the folder, which may hold a split or a class that nobody has unpacked, and links to nothing."""
  problems = []
  for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    if os.path.splitext(name)[1].lower() in image_files.ARCHIVES:
      problems.append(types.Problem(posixpath.join(shown, name), image_files.unpacking(name)))
    elif os.path.islink(path) and not os.path.exists(path) and not litter.kind(name):
      seen = name if image_files.is_showable(name) else ascii(name)
      problems.append(
        types.Problem(posixpath.join(shown, seen), 'a broken link: it leads to nothing, or to itself')
      )
  return problems


def subfolder(file: str, class_name: str) -> str:
  """The folders between the class folder, or the first folder, and the image.

  Example:
    >>> subfolder('TRAIN/A/patient_1/slide/1.png', 'A'), subfolder('A/1.png', 'A')
    ('patient_1/slide', '')
  """
  folders = file.split('/')[:-1]
  if folders and names.split(folders[0]) and folders[0] != class_name:
    folders = folders[1:]
  if folders and folders[0] == class_name:
    folders = folders[1:]
  return '/'.join(folders)


def _split_folders(folder: str, passed_over: litter.Tally) -> dict[str, str]:
  """The name of the folder of each split; empty if there are no split folders."""
  inside = image_files.subfolders(folder, passed_over)
  by_split: dict[str, str] = {}
  for name in inside:
    split = names.split(name)
    if split in by_split:
      raise types.UserError(
        f'{folder}: {names.spelled(by_split[split])} and {names.spelled(name)} are both folders of {split}; keep one'
      )
    if split:
      by_split[split] = name
  others = [name for name in inside if not names.split(name)]
  if by_split and others:
    words = ', '.join(sorted(vocabulary.ENGLISH_SPLITS))
    raise types.UserError(
      f'{os.path.join(folder, others[0])}: is beside split folders but is not one; move it away or rename it to one of '
      f'{words}'
    )
  return by_split


def _refuse_nested(folder: str, inside: str, classes: Sequence[str], num_splits: int) -> None:
  """Raises UserError where the class folders do not look like classes, but like data sets or splits."""
  looks = {name: _look(os.path.join(inside, name)) for name in classes}
  bare = {name: look.folders for name, look in looks.items() if look.folders and not look.num_images}
  filled = [name for name, look in looks.items() if look.folders or look.num_images]
  for name, folders in bare.items():
    words = [inner for inner in folders if names.split(inner)]
    with_images = [inner for inner in words if _look(os.path.join(inside, name, inner)).num_images]
    if with_images and not any(_holds_splits(os.path.join(inside, other)) for other in bare if other != name):
      raise types.UserError(
        f'{os.path.join(inside, name)}: its split folders ({names.some(with_images)}) hold images without class '
        f'folders; put them in folders of their classes, such as {with_images[0]}/NEUTROPHIL/, and name the folder '
        'above the splits'
      )
    if words and _look(os.path.join(inside, name, words[0])).num_images:
      raise types.UserError(
        f'{os.path.join(inside, name)}: a class folder with the split folder {words[0]} inside; put splits above '
        f'classes: {words[0]}/{name}/'
      )
    if words:
      raise types.UserError(
        _advice(folder, os.path.join(inside, name), f'holds the split folders {names.some(words)}')
      )
    beside = [inner for inner in folders if names.match(inner, filled) not in ('', name)]
    if beside and len(beside) == len(folders):
      raise types.UserError(
        f'{os.path.join(inside, name)}: holds folders named like classes beside it ({names.some(beside)}) and is not a '
        'class itself; move it away'
      )
  if len(filled) == 1 and len(bare) == 1:
    (name, folders), *_ = bare.items()
    of_patients = names.is_series(folders) or (names.is_cell(name) and not any(map(names.is_cell, folders)))
    if not of_patients and num_splits > 1:
      place = os.path.basename(inside)
      raise types.UserError(
        f'{os.path.join(inside, name)}: lies between the split folder {place} and the class folders '
        f'({names.some(folders)}); move them up: {place}/{folders[0]}/'
      )
    if not of_patients:
      raise types.UserError(
        _advice(folder, os.path.join(inside, name), f'holds only folders ({names.some(folders)})')
      )
  # A few loose images, such as an overview, make no class of a folder of folders.
  deep = {name: look.folders for name, look in looks.items() if look.num_images < len(look.folders)}
  below = {
    name: [
      lower
      for inner in folders[:_MOST_LOOKED_INTO]
      for lower in _look(os.path.join(inside, name, inner)).folders
    ]
    for name, folders in deep.items()
  }
  upper_folders.refuse(inside, filled, deep, below)


def _splits_beside(folder: str) -> tuple[str, ...]:
  above, name = os.path.split(os.path.abspath(folder))
  if names.split(name) != 'TRAIN':
    return ()
  return tuple(other for other in _look(above).folders if names.split(other) not in ('', 'TRAIN'))


def _refuse_class(folder: str) -> None:
  """Raises UserError where the folder is itself named like a class, and those inside differ in their numbers only."""
  path = os.path.abspath(folder)
  look, above, name = _look(path), os.path.dirname(path), os.path.basename(path)
  if names.is_cell(name) and names.is_series(look.folders) and not any(map(names.is_cell, look.folders)):
    beside = [other for other in _look(above).folders if names.is_cell(other) and other != name]
    if beside:
      raise types.UserError(
        f'{folder}: is named like a class, as {names.some(beside)} beside it, and its folders '
        f'({names.some(look.folders)}) are not; pass the folder of the classes, --config.data.dir={shell.word(above)}'
      )


def _advice(folder: str, nested: str, what: str) -> str:
  """The error for a data set that lies deeper than the folder."""
  place = _data_set(nested)
  inner = os.path.relpath(nested, folder)
  return (
    f'{folder}: holds no class folders: its folder {inner} {what}; pass the data set itself, '
    f'--config.data.dir={shell.word(place)}'
  )


def _data_set(folder: str) -> str:
  """The first folder at or below `folder` that has split folders, or several folders with images."""
  waiting = collections.deque([folder])
  for _ in range(_MOST_SEARCHED):
    if not waiting:
      break
    place = waiting.popleft()
    inner = _look(place).folders
    paths = [os.path.join(place, name) for name in inner]
    if any(map(names.split, inner)) or sum(_look(path).num_images > 0 for path in paths) > 1:
      return place
    waiting += paths
  return folder


def _look(folder: str) -> _Look:
  try:
    entries = [entry for entry in os.scandir(folder) if not litter.kind(entry.name)]
  except OSError:
    return _Look(0, [])  # told where the folder is read
  if litter.is_result([entry.name for entry in entries]):
    return _Look(0, [])
  # Not entry.is_dir(), which raises an error where a link leads to itself.
  folders = [entry.name for entry in entries if os.path.isdir(entry.path)]
  are_folders = set(folders)
  num_images = sum(
    os.path.splitext(entry.name)[1].lower() in image_files.EXTENSIONS and entry.name not in are_folders
    for entry in entries
  )
  return _Look(num_images, sorted(folders, key=image_files.natural_key))


def _holds_splits(folder: str) -> bool:
  """Whether images lie in split folders of the folder."""
  return any(
    names.split(inner) and _look(os.path.join(folder, inner)).num_images for inner in _look(folder).folders
  )
