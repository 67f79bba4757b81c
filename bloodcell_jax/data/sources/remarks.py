"""What a folder of images was taken for, in a few lines: splits, classes, groups, what was passed over."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np

from bloodcell_jax.base import types, wording
from bloodcell_jax.data.images import companions
from bloodcell_jax.data.sources import layout, names

_ORDER = ('TRAIN', 'VALIDATION', 'TEST', 'TEST_SIMPLE', 'ORIGINALS')
# Names, as `names.key` gives them, of folders whose images are rarely of one class.
_UNSORTED = (
  'unlabeled', 'unlabelled', 'unsorted', 'unsortiert', 'to sort', 'todo', 'new folder', 'neuer ordner',
  'nouveau dossier', 'untitled folder', 'new', 'all', 'images', 'data', 'misc', 'temp', 'tmp', 'trash',
  'bin', 'old', 'build', 'env', 'deleted', 'to delete', 'delete', 'removed', 'rejected', 'rejects', 'excluded',
  'exclude', 'discarded', 'discard', 'bad', 'unsure', 'uncertain', 'unknown', 'geloescht', 'gelöscht', 'aussortiert',
  'unknown class', 'eliminados', 'descartados', 'supprimé', 'supprimes', 'rejetés',
)  # fmt: skip
GROUPS_FILE = 'groups_by_folder.csv'  # written by an audit
MOST_CLASSES = 20  # that a line names one by one


def lines(
  table: types.Table, found: layout.Layout | None, groups_csv: str, unread: Sequence[str]
) -> tuple[str, ...]:
  """The lines.

  Args:
    table: the images.
    found: the layout of the folder; None where a CSV lists the images.
    groups_csv: the CSV of groups; '' for none.
    unread: columns of the list of labels that may name groups, where there is no CSV of them.
  """
  texts = [f'{table.name}: {_splits(table, found)}']
  present = _present_splits(table)
  has_splits = len(present) > 1 or bool(found and found.split_folders)
  texts += [f'  {split if has_splits else "images"}: {_classes(table, split)}' for split in present]
  if found:
    texts += [
      f'  {split}: no image in its folder {name}'
      for split, name in found.split_folders.items()
      if split not in present
    ]
  texts += [
    f'  {line}'
    for line in [
      *_lacking(table),
      _groups(table, groups_csv),
      *_subfolders(table, groups_csv, found is not None),
    ]
  ]
  if unread:
    texts.append(
      f'  the column {" and ".join(unread)} of the list of labels is not read. If its images belong together, pass the '
      'list as --config.data.groups_csv as well, with the columns file and group'
    )
  if found and found.splits_beside:
    texts.append(
      f'  this folder alone is used, not {", ".join(found.splits_beside)} beside it; name the folder above '
      'to use them too'
    )
  if unsorted := [name for name in table.class_names if names.key(name) in _UNSORTED]:
    texts.append(
      f'  {", ".join(map(names.spelled, unsorted))}: taken for a class like the others; move it away if its images are '
      'not sorted yet'
    )
  if contradiction := _contradiction(table):
    texts.append(f'  {contradiction}')
  if named := companions.named_as_masks(table.file.tolist()) if found else []:
    texts.append(
      f'  {len(named):,} named like masks of others, such as {named[0]}, are used as images of cells'
    )
  if found and found.mask_folders:
    texts.append(
      f'  {names.some(found.mask_folders)}: no class, because all images there are masks of others'
    )
  if found and (passed_over := found.passed_over.line()):
    texts.append(f'  {passed_over}')
  return tuple(texts)


def untaught(table: types.Table) -> str:
  """What keeps a network from learning these classes, and what to do; '' if nothing does.

  A network of one class gives one answer, and a class that TRAIN lacks is never the answer.
  """
  in_train = _present(table, 'TRAIN')
  if not in_train:
    return ''  # told where the rows are divided
  for split in _present_splits(table):
    in_split = _present(table, split)
    for name in table.class_names:
      if name in in_split and name not in in_train:
        example = table.file[(table.split == split) & (table.label == table.class_names.index(name))][0]
        return (
          f'{table.name}: {split} has the class {name} ({example}), but TRAIN has no image of it, so no network '
          f'can learn it; add images of it to TRAIN, or take it out of {split}'
        )
  if len(in_train) == 1:
    (name,) = in_train
    num = int((table.split == 'TRAIN').sum())
    return (
      f'{table.name}: has one class to train on, {name} ({num:,} images), and a network '
      'needs two or more; put the images of each class into a folder of its own, CLASS/*.png, and name the folder '
      'above them, --config.data.dir=FOLDER'
    )
  return ''


def _splits(table: types.Table, found: layout.Layout | None) -> str:
  num = (
    f'{wording.counted(len(table), "image")}, {wording.counted(len(table.class_names), "class", "classes")}'
  )
  if found is None:
    return f'{num}, as listed in the CSV; splits: {", ".join(_present_splits(table))}'
  if not found.split_folders:
    return f'{num}; no split folders'
  folders = sorted(found.split_folders.items(), key=lambda pair: _rank(pair[0]))
  pairs = [name if name == split else f'{name} ({split})' for split, name in folders]
  return f'{num}; split folders: {", ".join(pairs)}'


def _classes(table: types.Table, split: str) -> str:
  label = table.label[table.split == split]
  count = np.bincount(label, minlength=len(table.class_names))
  if np.count_nonzero(count) > MOST_CLASSES:
    least, most = count[count > 0].min(), count.max()
    return f'{np.count_nonzero(count):,} classes with {least:,} to {most:,} images each'
  return ', '.join(
    f'{names.spelled(name)} {num:,}' for name, num in zip(table.class_names, count, strict=True) if num
  )


def _lacking(table: types.Table) -> list[str]:
  """A line for each split that lacks a class, with what follows from it."""
  follows = {
    'TRAIN': 'no network can learn that',
    'VALIDATION': 'the epoch and the threshold are chosen without that',
  }
  texts = []
  present = _present_splits(table)
  for split in present if len(present) > 1 else []:
    in_split = _present(table, split)
    lacking = [name for name in table.class_names if name not in in_split]
    if lacking:
      then = follows.get(split, 'no recall can be given there')
      more = len(lacking) - MOST_CLASSES
      which = ', '.join(lacking[:MOST_CLASSES]) + (f' and {more:,} more' if more > 0 else '')
      texts.append(f'{split} has no image of {which}: {then}')
  return texts


def _groups(table: types.Table, groups_csv: str) -> str:
  num = len(np.unique(table.group))
  if groups_csv:
    return f'groups: {num:,}, from {groups_csv}'
  num_copies = len(table) - num
  if not num_copies:
    return 'groups: each image is a group of its own'
  kind = (
    'equal files' if num == len(np.unique(table.digest)) else 'equal files, or reduced or re-saved copies'
  )
  return f'groups: {num:,}; {num_copies:,} images are copies of others ({kind}) and share their groups'


def _contradiction(table: types.Table) -> str:
  """A line about equal files of different classes; '' if there are none."""
  first: dict[str, int] = {}
  pairs = [
    (other, row)
    for row, digest in enumerate(table.digest.tolist())
    if table.label[other := first.setdefault(digest, row)] != table.label[row]
  ]
  if not pairs:
    return ''
  first_file, second_file = (str(table.file[row]) for row in pairs[0])
  num = f'{len(pairs):,} {"image is" if len(pairs) == 1 else "images are"}'
  return f'{num} in two classes, such as {first_file} and {second_file}: one of the labels is wrong'


def _subfolders(table: types.Table, groups_csv: str, is_folder: bool) -> list[str]:
  """A line about folders inside the classes, which may be patients or slides."""
  inner = subfolders(table)
  per_class: dict[str, set[str]] = collections.defaultdict(set)
  for name, label in zip(inner.tolist(), table.label.tolist(), strict=True):
    if name:
      per_class[table.class_names[label]].add(name)
  num = len(set(inner.tolist()) - {''})
  if not num:
    return []
  num_inside = int((inner != '').sum())
  text = (
    f'{wording.counted(num_inside, "image")} {"lies" if num_inside == 1 else "lie"} in '
    f'{wording.counted(num, "sub-folder")} of {wording.counted(len(per_class), "class", "classes")}, such as '
    f'{next(name for name in inner.tolist() if name)}'
  )
  cells = [name for name in inner.tolist() if names.is_cell(name.rsplit('/', 1)[-1])]
  if cells and len(cells) == int((inner != '').sum()):
    return [
      f'{text}; each counts as the class folder above it. If {cells[0]} is a class of its own, move its folder up'
    ]
  is_inside = inner != ''
  shared = len(np.unique(np.stack([inner[is_inside], table.group[is_inside]]), axis=1).T)
  if groups_csv and shared == num:
    return [f'{text}; each is one group']
  if not any(len(each) > 1 for each in per_class.values()):
    used = 'they are used as images of the class. Move a folder away if its images are not to be used'
    return [f'{text}; {used}'] if is_folder else []
  return [
    f'{text}; they are not groups, so images of one may be in both training and validation. If each is a patient '
    f'or a slide, run audit and pass its {GROUPS_FILE} as --config.data.groups_csv'
  ]


def subfolders(table: types.Table) -> np.ndarray:
  """[N] str: the folders between class folder and image; '' for an image that lies in its class folder."""
  found = [
    layout.subfolder(file, table.class_names[label])
    for file, label in zip(table.file.tolist(), table.label.tolist(), strict=True)
  ]
  return np.array(found, str)


def _present_splits(table: types.Table) -> list[str]:
  return sorted(np.unique(table.split).tolist(), key=_rank)


def _rank(split: str) -> int:
  return _ORDER.index(split) if split in _ORDER else len(_ORDER)


def _present(table: types.Table, split: str) -> set[str]:
  return {table.class_names[k] for k in np.unique(table.label[table.split == split])}
