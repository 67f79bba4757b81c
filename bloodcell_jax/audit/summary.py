"""What an audit found, as numbers: of a table, of what was seen in its images, and of the groups found among them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np

from bloodcell_jax.audit import colour_nn, file_names, grouping, near_duplicates, scan
from bloodcell_jax.base import groups, rng, types
from bloodcell_jax.data import reading
from bloodcell_jax.data.division import leaks, splits
from bloodcell_jax.runs import scoring

# Splits of one side may show the same: each of them only judges.
SIDES = {'TRAIN': 'TRAIN', 'VALIDATION': 'VALIDATION'}
TEST_SIDE = 'TEST'
_MOST_NAMED = 1_000  # groups whose files are named
_MOST_COMPARED = 20_000  # images for the nearest neighbour, whose time grows with the square
_NUM_FOLDS = 5


def compute(
  seen: scan.Survey, found: near_duplicates.Found, proposed_N: np.ndarray, spec: reading.Spec, seed: int
) -> dict[str, Any]:
  """All of it, as a JSON value.

  Args:
    seen: the images.
    found: the groups found among them.
    proposed_N: the same, joined with those that the data knows.
    spec: how training would divide the images.
    seed: of that, and of what is drawn here.
  """
  table = seen.table
  side_N = sides(table)
  leaking = grouping.with_several(proposed_N, side_N)
  conflicts = grouping.with_several(found.group_N, table.label)
  several = grouping.repeated(found.group_N)
  return {
    'name': table.name,
    'note': scoring.note(table.synthetic, leaks.NONE),
    'class_names': list(table.class_names),
    'leak': bool(leaking),
    'equal_bytes': repeats(table, table.digest),
    'equal_pixels': repeats(table, seen.pixels_N),
    'near_duplicates': {
      'groups_of_several': len(several),
      'images_in_them': sum(map(len, several)),
      'images_with_few_keypoints': int((np.diff(seen.points.start) < near_duplicates.LEAST).sum()),
      'links': len(found.links),
      'touching': len(found.touching),
      'touching_between_splits': sum(bool(side_N[link.a] != side_N[link.b]) for link in found.touching),
      'pairs_tried': found.num_tried,
    },
    'leaking_groups': {'number': len(leaking), 'groups': described(table, leaking)},
    'shared_images': shared_images(table, proposed_N),
    'conflicting_labels': {'number': len(conflicts), 'groups': described(table, conflicts)},
    'counts': counts(table, proposed_N),
    'known_groups': known(table, found.group_N),
    'division': division(table, found.group_N, spec, seed),
    'file_names': names(table, seen.histogram_ND, found.group_N, seed),
    'colour_nearest_neighbour': colour(table, seen.histogram_ND, proposed_N, seed),
  }


def sides(table: types.Table) -> np.ndarray:
  """[N] str: TRAIN, VALIDATION or TEST, of which TEST_SIMPLE and ORIGINALS are parts."""
  return np.array([SIDES.get(split, TEST_SIDE) for split in table.split.tolist()], np.str_)


def counts(table: types.Table, group_N: np.ndarray) -> dict[str, dict[str, dict[str, int]]]:
  """By split and class: how many images, and in how many groups."""
  return {
    split: {
      name: {'images': int(chosen.sum()), 'groups': len(np.unique(group_N[chosen]))}
      for k, name in enumerate(table.class_names)
      for chosen in [(table.split == split) & (table.label == k)]
    }
    for split in dict.fromkeys(table.split.tolist())
  }


def repeats(table: types.Table, value_N: np.ndarray) -> dict[str, Any]:
  """Sets of images with one value, such as the digest of their bytes."""
  sets, side_N = grouping.repeated(value_N), sides(table)
  return {
    'sets': len(sets),
    'images': sum(map(len, sets)),
    'sets_between_splits': sum(len(set(side_N[rows].tolist())) > 1 for rows in sets),
    'sets_of_several_labels': sum(len(set(table.label[rows].tolist())) > 1 for rows in sets),
    'files': [table.file[rows].tolist() for rows in sets[:_MOST_NAMED]],
  }


def described(table: types.Table, parts: list[np.ndarray]) -> list[dict[str, Any]]:
  """Of each group: how many images by split, by class, and the first file of each split and class."""
  found = []
  for rows in parts[:_MOST_NAMED]:
    shown = [f'{table.split[i]} {table.class_names[table.label[i]]}' for i in rows]
    first = {where: str(table.file[i]) for i, where in reversed(list(zip(rows.tolist(), shown, strict=True)))}
    found.append({'images': {where: shown.count(where) for where in sorted(first)}, 'examples': first})
  return found


def shared_images(table: types.Table, group_N: np.ndarray) -> dict[str, dict[str, int]]:
  """Of each split but TRAIN: its images, and those that share a group with what was trained or chosen on."""
  side_N, found = sides(table), {}
  for split in dict.fromkeys(table.split.tolist()):
    if split != 'TRAIN':
      own = table.split == split
      others = (side_N != TEST_SIDE) & ~own
      found[split] = {'images': int(own.sum()), 'shared': int(np.isin(group_N[own], group_N[others]).sum())}
  return found


def known(table: types.Table, found_N: np.ndarray) -> dict[str, Any] | None:
  """How the groups found compare with those that the data knows; None where it knows none beyond equal bytes."""
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
  """Whether the division that training makes, with the data's own groups, parts a group that was found."""
  try:
    rows = splits.rows(table, spec.validation_fraction, spec.test_fraction, seed)
  except types.UserError as error:
    return {'made': False, 'reason': str(error)}
  seen = [name for name in ('train', 'validation', 'test') if name in rows]
  part_N = np.full(len(table), '', dtype='<U10')
  for name in seen:
    part_N[rows[name]] = name
  inside = part_N != ''
  parted = grouping.with_several(found_N[inside], part_N[inside])
  between = [set(part_N[inside][part].tolist()) for part in parted]
  return {
    'made': True,
    'splits': {name: len(rows[name]) for name in seen},
    'groups_parted': len(parted),
    'between_train_and_validation': sum({'train', 'validation'} <= names for names in between),
  }


def names(table: types.Table, histogram_ND: np.ndarray, found_N: np.ndarray, seed: int) -> dict[str, Any]:
  """By rule: the groups that file names would make, and how many of the groups found they part."""
  told: dict[str, Any] = {}
  for rule in file_names.RULES:
    key_N = file_names.keys(table.file, rule)
    num_keys = len(np.unique(key_N))
    if num_keys == len(table):
      told[rule] = {'groups': num_keys, 'leaks': False}
      continue
    several, parted = grouping.repeated(found_N), grouping.with_several(found_N, key_N)
    told[rule] = {
      'groups': num_keys,
      'leaks': bool(parted),
      'groups_of_several': len(several),
      'groups_parted': len(parted),
      'colour_accuracy': _folded(table, histogram_ND, key_N, seed)[0],
    }
  return told


def colour(table: types.Table, histogram_ND: np.ndarray, group_N: np.ndarray, seed: int) -> dict[str, Any]:
  """Accuracy of the nearest neighbour by colour, with the images divided in three ways; None where they cannot be."""
  drawn = rng.generator(seed, 'audit colours')
  train = _some(np.flatnonzero(table.split == 'TRAIN'), drawn)
  test = _some(np.flatnonzero(table.split == 'TEST'), drawn)
  held = np.zeros(len(train), bool)
  held[drawn.permutation(len(train))[: len(train) // 5]] = True
  grouped, num_folds = _folded(table, histogram_ND, group_N, seed)
  ask = colour_nn.accuracy
  return {
    'random_80_20': ask(histogram_ND, table.label, train[~held], train[held]) if held.any() else None,
    'train_to_test': ask(histogram_ND, table.label, train, test) if len(train) and len(test) else None,
    'by_groups': grouped,
    'num_folds': num_folds,
    'largest_class': {
      name: float(np.bincount(table.label[rows]).max() / len(rows))
      for name, rows in (('TRAIN', train), ('TEST', test))
      if len(rows)
    },
  }


def _folded(
  table: types.Table, histogram_ND: np.ndarray, group_N: np.ndarray, seed: int
) -> tuple[float | None, int]:
  """The accuracy over TRAIN in folds by group, and how many folds; (None, 0) where a class has only one group."""
  train = _some(np.flatnonzero(table.split == 'TRAIN'), rng.generator(seed, 'audit folds'))
  label, group = table.label[train], group_N[train]
  fewest = min((len(np.unique(group[label == k])) for k in np.unique(label)), default=0)
  num_folds = min(_NUM_FOLDS, fewest)
  if num_folds < 2:
    return None, 0
  with warnings.catch_warnings(action='ignore'):
    # A class smaller than the folds is said by num_folds.
    fold = groups.folds(label, group, num_folds, seed)
  return colour_nn.folded(histogram_ND[train], label, fold), num_folds


def _some(rows: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
  if len(rows) <= _MOST_COMPARED:
    return rows
  return np.sort(drawn.permutation(rows)[:_MOST_COMPARED])
