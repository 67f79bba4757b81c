"""The numbers of an audit: leaks, duplicates, label conflicts, and how well simple shortcuts work."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np

from bloodcell_jax.audit import colour_nn, file_names, grouping, near_duplicates, scan
from bloodcell_jax.base import groups, rng, types
from bloodcell_jax.data import reading
from bloodcell_jax.data.division import leaks, splits
from bloodcell_jax.data.sources import remarks
from bloodcell_jax.runs import scoring

# All other splits are one side: overlap among test splits is not a leak.
SIDES = {'TRAIN': 'TRAIN', 'VALIDATION': 'VALIDATION'}
TEST_SIDE = 'TEST'
_MOST_NAMED = 1_000  # groups or sets that are listed
_MOST_COMPARED = 20_000  # images of the nearest-neighbour baseline, whose time is quadratic
_NUM_FOLDS = 5
_MOST_EXAMPLES = 3


def compute(
  scanned: scan.Scan,
  duplicates: near_duplicates.Duplicates,
  proposed_N: np.ndarray,
  spec: reading.Spec,
  seed: int,
  num_outside: int,
) -> dict[str, Any]:
  """All numbers, as a JSON value.

  Args:
    scanned: the images.
    duplicates: the groups found.
    proposed_N: the groups found, merged with those of the data.
    spec: of the division that training would use.
    seed: of the division, and of the samples drawn here.
    num_outside: number of images of the data outside the sample that was scanned.
  """
  table = scanned.table
  side_N = sides(table)
  leaking = grouping.with_several(proposed_N, side_N)
  conflicts = grouping.with_several(duplicates.group_N, table.label)
  several = grouping.repeated(duplicates.group_N)
  return {
    'name': table.name,
    'note': scoring.note(table.synthetic, leaks.NONE),
    'class_names': list(table.class_names),
    'leak': bool(leaking),
    'not_compared': not_compared(scanned, duplicates.group_N, num_outside),
    'equal_bytes': repeats(table, table.digest),
    'equal_pixels': repeats(table, scanned.pixels_N),
    'near_duplicates': {
      'groups_of_several': len(several),
      'images_in_them': sum(map(len, several)),
      'images_with_few_keypoints': int((np.diff(scanned.points.start) < near_duplicates.LEAST).sum()),
      'links': len(duplicates.links),
      'touching': len(duplicates.touching),
      'touching_between_splits': sum(bool(side_N[link.a] != side_N[link.b]) for link in duplicates.touching),
      'pairs_tried': duplicates.num_tried,
    },
    'leaking_groups': {'number': len(leaking), 'groups': describe(table, leaking)},
    'shared_images': shared_images(table, proposed_N),
    'conflicting_labels': {'number': len(conflicts), 'groups': describe(table, conflicts)},
    'counts': counts(table, proposed_N),
    'known_groups': known(table, duplicates.group_N),
    'division': division(table, duplicates.group_N, spec, seed),
    'subfolders': subfolders(table, proposed_N),
    'file_names': names(table, scanned.histogram_ND, duplicates.group_N, seed),
    'colour_nearest_neighbour': colour(table, scanned.histogram_ND, proposed_N, seed),
  }


def sides(table: types.Table) -> np.ndarray:
  """[N] str: TRAIN, VALIDATION or TEST, which includes TEST_SIMPLE and ORIGINALS."""
  return np.array([SIDES.get(split, TEST_SIDE) for split in table.split.tolist()], np.str_)


def counts(table: types.Table, group_N: np.ndarray) -> dict[str, dict[str, dict[str, int]]]:
  """By split and class: the numbers of images and groups."""
  return {
    split: {
      name: {'images': int(chosen.sum()), 'groups': len(np.unique(group_N[chosen]))}
      for k, name in enumerate(table.class_names)
      for chosen in [(table.split == split) & (table.label == k)]
    }
    for split in dict.fromkeys(table.split.tolist())
  }


def not_compared(scanned: scan.Scan, found_N: np.ndarray, num_outside: int) -> dict[str, Any]:
  """The images that were not compared: left out, outside the sample, or alone with too few keypoints.

  Those outside the sample are counted and not named.
  """
  is_few_N = np.diff(scanned.points.start) < near_duplicates.LEAST
  alone_N = np.ones(len(scanned.table), bool)
  for rows in grouping.repeated(found_N):
    alone_N[rows] = False
  few = scanned.table.file[is_few_N & alone_N].tolist()
  left_out = [problem.file for problem in scanned.problems]
  return {
    'images': num_outside + len(few) + len(left_out),
    'outside_sample': num_outside,
    'few_keypoints': len(few),
    'left_out': len(left_out),
    'files': [*left_out, *few][:_MOST_NAMED],
  }


def by_folder(table: types.Table, group_N: np.ndarray) -> np.ndarray | None:
  """[N] int64: groups that leave neither `group_N` nor the folders inside the classes apart; None without such folders.

  A folder of the same name in several classes, such as `patient_1`, is one.
  """
  inner_N = remarks.subfolders(table)
  if len(np.unique(inner_N[inner_N != ''])) < 2:
    return None
  alone = np.array([f'{row}' for row in range(len(table))])
  return grouping.united(group_N, np.where(inner_N == '', alone, np.char.add('/', inner_N)))


def subfolders(table: types.Table, group_N: np.ndarray) -> dict[str, Any] | None:
  """How many groups the folders inside the classes make; None without several such folders."""
  united_N = by_folder(table, group_N)
  if united_N is None:
    return None
  inner_N = remarks.subfolders(table)
  is_inside = inner_N != ''
  folders = sorted(set(inner_N[is_inside].tolist()))
  return {
    'folders': len(folders),
    'images': int(is_inside.sum()),
    'examples': folders[:_MOST_EXAMPLES],
    'groups': len(np.unique(united_N)),
    'groups_without_folders': len(np.unique(group_N)),
  }


def repeats(table: types.Table, value_N: np.ndarray) -> dict[str, Any]:
  """Sets of images with equal values, such as the digests of their bytes."""
  sets, side_N = grouping.repeated(value_N), sides(table)
  return {
    'sets': len(sets),
    'images': sum(map(len, sets)),
    'sets_between_splits': sum(len(set(side_N[rows].tolist())) > 1 for rows in sets),
    'sets_of_several_labels': sum(len(set(table.label[rows].tolist())) > 1 for rows in sets),
    'files': [table.file[rows].tolist() for rows in sets[:_MOST_NAMED]],
  }


def describe(table: types.Table, parts: list[np.ndarray]) -> list[dict[str, Any]]:
  """For each group: the number of images, and the first file, of each split and class."""
  descriptions = []
  for rows in parts[:_MOST_NAMED]:
    cells = [f'{table.split[i]} {table.class_names[table.label[i]]}' for i in rows]
    first = {where: str(table.file[i]) for i, where in reversed(list(zip(rows.tolist(), cells, strict=True)))}
    descriptions.append({'images': {where: cells.count(where) for where in sorted(first)}, 'examples': first})
  return descriptions


def shared_images(table: types.Table, group_N: np.ndarray) -> dict[str, dict[str, int]]:
  """For each split except TRAIN: its images, and those that share a group with other images of TRAIN or VALIDATION."""
  side_N, shared = sides(table), {}
  for split in dict.fromkeys(table.split.tolist()):
    if split != 'TRAIN':
      own = table.split == split
      others = (side_N != TEST_SIDE) & ~own
      shared[split] = {'images': int(own.sum()), 'shared': int(np.isin(group_N[own], group_N[others]).sum())}
  return shared


def known(table: types.Table, found_N: np.ndarray) -> dict[str, Any] | None:
  """Compares the groups found with those of the data; None if the data has no groups beyond identical files."""
  if len(np.unique(table.group)) >= len(np.unique(table.digest)):
    return None
  joined, parted = grouping.with_several(found_N, table.group), grouping.with_several(table.group, found_N)
  return {
    **dataclasses.asdict(grouping.agreement(found_N, table.group)),
    'groups': len(np.unique(table.group)),
    'groups_found': len(np.unique(found_N)),
    'joined': [sorted(set(table.group[rows].tolist())) for rows in joined[:_MOST_NAMED]],
    'parted': sorted(str(table.group[rows[0]]) for rows in parted[:_MOST_NAMED]),
  }


def division(table: types.Table, found_N: np.ndarray, spec: reading.Spec, seed: int) -> dict[str, Any]:
  """Whether the division into training and validation, by the groups of the data, splits a group that was found."""
  try:
    rows = splits.rows(table, spec.validation_fraction, spec.test_fraction, seed)
  except types.UserError as error:
    return {'made': False, 'reason': str(error)}
  present = [name for name in ('train', 'validation', 'test') if name in rows]
  part_N = np.full(len(table), '', dtype='<U10')
  for name in present:
    part_N[rows[name]] = name
  inside = part_N != ''
  parted = grouping.with_several(found_N[inside], part_N[inside])
  between = [set(part_N[inside][part].tolist()) for part in parted]
  return {
    'made': True,
    'splits': {name: len(rows[name]) for name in present},
    'groups_parted': len(parted),
    'between_train_and_validation': sum({'train', 'validation'} <= names for names in between),
  }


def names(table: types.Table, histogram_ND: np.ndarray, found_N: np.ndarray, seed: int) -> dict[str, Any]:
  """For each rule: the groups by file name, and how many of the groups found they split."""
  by_rule: dict[str, Any] = {}
  for rule in file_names.RULES:
    key_N = file_names.keys(table.file, rule)
    num_keys = len(np.unique(key_N))
    if num_keys == len(table):
      by_rule[rule] = {'groups': num_keys, 'leaks': False}
      continue
    several, parted = grouping.repeated(found_N), grouping.with_several(found_N, key_N)
    by_rule[rule] = {
      'groups': num_keys,
      'leaks': bool(parted),
      'groups_of_several': len(several),
      'groups_parted': len(parted),
      'colour_accuracy': _by_group_folds(table, histogram_ND, key_N, seed)[0],
    }
  return by_rule


def colour(table: types.Table, histogram_ND: np.ndarray, group_N: np.ndarray, seed: int) -> dict[str, Any]:
  """Accuracy of the nearest neighbour by colour under three divisions of the images; None if one is impossible."""
  generator = rng.generator(seed, 'audit colours')
  train = _sample(np.flatnonzero(table.split == 'TRAIN'), generator)
  test = _sample(np.flatnonzero(table.split == 'TEST'), generator)
  is_held_out = np.zeros(len(train), bool)
  is_held_out[generator.permutation(len(train))[: len(train) // 5]] = True
  grouped, num_folds = _by_group_folds(table, histogram_ND, group_N, seed)

  def accuracy(fit: np.ndarray, test: np.ndarray) -> float | None:
    if not len(fit) or not len(test):
      return None
    return colour_nn.accuracy(histogram_ND, table.label, fit, test)

  return {
    'random_80_20': accuracy(train[~is_held_out], train[is_held_out]),
    'train_to_test': accuracy(train, test),
    'by_groups': grouped,
    'num_folds': num_folds,
    'largest_class': {
      name: float(np.bincount(table.label[rows]).max() / len(rows))
      for name, rows in (('TRAIN', train), ('TEST', test))
      if len(rows)
    },
  }


def _by_group_folds(
  table: types.Table, histogram_ND: np.ndarray, group_N: np.ndarray, seed: int
) -> tuple[float | None, int]:
  """The accuracy over TRAIN, cross-validated by group, and the number of folds; (None, 0) if a class has one group."""
  train = _sample(np.flatnonzero(table.split == 'TRAIN'), rng.generator(seed, 'audit folds'))
  label, group = table.label[train], group_N[train]
  fewest = min((len(np.unique(group[label == k])) for k in np.unique(label)), default=0)
  num_folds = min(_NUM_FOLDS, fewest)
  if num_folds < 2:
    return None, 0
  with warnings.catch_warnings(action='ignore'):
    # num_folds already says that a class has fewer groups than _NUM_FOLDS.
    fold = groups.folds(label, group, num_folds, seed)
  return colour_nn.cross_validated(histogram_ND[train], label, fold), num_folds


def _sample(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
  if len(rows) <= _MOST_COMPARED:
    return rows
  return np.sort(generator.permutation(rows)[:_MOST_COMPARED])
