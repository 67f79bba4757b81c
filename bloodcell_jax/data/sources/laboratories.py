"""A folder of laboratories: each of its folders is the data set of one, and each group's name says which.

A laboratory is a folder of class folders (see `folders`), or the unpacked Kaggle data set (see `kaggle`), of which the
photographs of one cell are taken, not their augmented copies.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import folders, kaggle, names, source

# The value of data.source.
NAME = 'laboratories'


def read(folder: str) -> source.Reading:
  """The images of all laboratories; files, groups and photographs begin with the name of the laboratory's folder.

  Only classes that every laboratory has in TRAIN are kept: a network would know a class of one laboratory by that
  laboratory's stain. Where a laboratory has no VALIDATION, that of the others joins their TRAIN, so that validation,
  and with it the calibration, is held out of all of them.

  Raises:
    UserError: no folder of laboratories, two names that read alike, fewer than two common classes, or an error of one
      laboratory.
  """
  if not os.path.isdir(folder):
    raise types.UserError(f'{folder}: no such folder; set --config.data.dir to a folder of laboratories')
  inner = sorted(image_files.subfolders(folder))
  if not inner:
    raise types.UserError(
      f'{folder}: has no folder; data.source={NAME!r} needs a folder for each laboratory, with its class folders inside'
    )
  if pair := names.alike(inner):
    raise types.UserError(f'{folder}: {pair[0]} and {pair[1]} read alike; rename one of the laboratories')
  found = {name: _laboratory(os.path.join(folder, name)) for name in inner}
  common = _common_classes(folder, {name: one.table for name, one in found.items()})
  has_validation = all((one.table.split == 'VALIDATION').any() for one in found.values())
  tables = [_prefixed(name, one.table, common, has_validation) for name, one in found.items()]
  problems = [
    dataclasses.replace(problem, file=f'{name}/{problem.file}')
    for name, one in found.items()
    for problem in one.problems
  ]
  remarks = [f'{name}: {_counts(table)}' for name, table in zip(found, tables, strict=True)]
  for name, one in found.items():
    if left_out := [c for c in one.table.class_names if not names.match_number(c, common)]:
      remarks.append(f'  {name}: {", ".join(left_out)} left out, because not every laboratory has it')
  if not has_validation:
    remarks.append('  not every laboratory has VALIDATION: it is held out of TRAIN of all of them')
  return source.Reading(
    _joined(tables, common, os.path.basename(os.path.abspath(folder))), problems, tuple(remarks)
  )


def numbers(group_N: np.ndarray, data_source: str) -> np.ndarray:
  """[N] int32: the number of each row's laboratory, in alphabetical order; 0 for the one of any other data source."""
  if data_source != NAME:
    return np.zeros(len(group_N), np.int32)
  return np.unique(of_groups(group_N), return_inverse=True)[1].astype(np.int32)


def of_groups(group_N: np.ndarray) -> np.ndarray:
  """[N] str: the laboratory that each group of a folder of laboratories begins with."""
  return np.array([group.split('/', 1)[0] for group in group_N.tolist()], str)


def _laboratory(folder: str) -> source.Reading:
  if kaggle.is_unpacked(folder):
    return source.Reading(kaggle.single_cells(folder), [], ())
  return folders.read(folder, '', '')


def _common_classes(folder: str, tables: dict[str, types.Table]) -> tuple[str, ...]:
  taught = {
    name: tuple(t.class_names[k] for k in np.unique(t.label[t.split == 'TRAIN']))
    for name, t in tables.items()
  }
  first = next(iter(taught.values()))
  common = tuple(c for c in first if all(names.match_number(c, other) for other in taught.values()))
  if len(common) < 2:
    listed = '; '.join(f'{name} has {", ".join(classes) or "none"}' for name, classes in taught.items())
    raise types.UserError(
      f'{folder}: the laboratories share {len(common)} classes, and a network needs two or more: {listed}; give equal '
      'classes equal names'
    )
  return common


def _prefixed(name: str, table: types.Table, common: tuple[str, ...], has_validation: bool) -> types.Table:
  """The rows of the common classes, under the laboratory's name."""
  own = [names.match_number(c, common) for c in table.class_names]
  rows = np.flatnonzero([bool(own[k]) for k in table.label])
  table = table.take(rows)
  number_K = np.array([common.index(c) if c else -1 for c in own], np.int32)
  split = table.split if has_validation else np.where(table.split == 'VALIDATION', 'TRAIN', table.split)
  file, photograph, group = (
    np.char.add(f'{name}/', column.astype(str)) for column in (table.file, table.source, table.group)
  )
  return dataclasses.replace(
    table,
    file=file,
    source=photograph,
    group=group,
    label=number_K[table.label],
    class_names=common,
    split=split,
  )


def _joined(tables: list[types.Table], common: tuple[str, ...], name: str) -> types.Table:
  columns = {
    column: np.concatenate([getattr(t, column) for t in tables])
    for column in ('file', 'label', 'source', 'group', 'split', 'digest')
  }
  content = tuple(each for t in tables for each in t.content)
  return types.Table(content=content, class_names=common, name=name, synthetic=False, **columns)


def _counts(table: types.Table) -> str:
  return ', '.join(
    f'{split} {int((table.split == split).sum()):,} images of {len(set(table.group[table.split == split])):,} groups'
    for split in sorted(set(table.split.tolist()))
  )


def _read(settings: source.Settings) -> source.Reading:
  for key in ('groups_csv', 'labels_csv'):
    if getattr(settings, key):
      raise types.UserError(
        f'data.{key} is for one folder of images, and data.source is {NAME!r}; leave it empty, and sort the images of '
        'each laboratory into class folders'
      )
  return read(settings.dir)


SOURCE = source.Source(
  title='a folder of laboratories, each a folder of class folders or the unpacked Kaggle data set',
  is_synthetic=False,
  needs_dir=True,
  reads_lists=False,
  splits='Those of each laboratory; validation is held out by groups of images where one has none.',
  licence='the images: as their owners say, for each laboratory',
  read=_read,
  photographs=source.one_of_each_photograph(_read),
)
