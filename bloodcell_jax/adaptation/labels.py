"""The labelled images of another laboratory, checked against the run that is to be adapted to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from bloodcell_jax.base import shell, types, wording
from bloodcell_jax.data.sources import folders, misspelling, names

# Fewest groups of a class that is labelled: cross-fitting leaves one out. A new class rests on these labels alone.
LEAST_GROUPS, LEAST_GROUPS_NEW = 2, 5
# Fewest classes that are labelled.
LEAST_CLASSES = 2


def read(
  data_dir: str,
  labels_csv: str,
  groups_csv: str,
  class_names: Sequence[str],
  new_classes: Sequence[str],
  seen: Collection[str],
  shown: str,
) -> types.Table:
  """The labelled images, with the classes of the adapted run: those of the run and the new ones, in alphabetical order.

  Args:
    data_dir: the folder of the new laboratory.
    labels_csv: as for `label_csv.paths`.
    groups_csv: which of the labelled images show the same field; '' where each is a group of its own.
    class_names: of the run.
    new_classes: that the labels have and the run does not know.
    seen: digests of the run's own images.
    shown: the list of labels, for people.

  Raises:
    UserError: as `folders.read`; a class is unknown or has too few labels, or the run has seen an image.
  """
  if both := sorted(set(new_classes) & set(class_names)):
    raise types.UserError(f'--new_classes={both[0]}: the run knows this class; leave it out')
  given = folders.read(data_dir, groups_csv, labels_csv).table
  every = (*class_names, *new_classes)
  if pair := names.alike(every) or names.differ_in_number(every):
    raise types.UserError(
      f'--new_classes={pair[1]}: reads like {pair[0]}, a class that the run knows; label with that'
    )
  meant = []
  for name in given.class_names:
    known = name if name in every else names.match_number(name, every)
    if not known:
      raise types.UserError(_unknown(shown, name, class_names))
    meant.append(known)
  _check_seen(shown, given, seen)
  own = tuple(sorted(every))
  label_N = np.array([own.index(meant[k]) for k in given.label], np.int32)
  table = dataclasses.replace(given, label=label_N, class_names=own)
  _check_number(shown, table, new_classes)
  return table


def line(table: types.Table) -> str:
  """How many images of each class are labelled, and of which none is."""
  count_K = np.bincount(table.label, minlength=len(table.class_names))
  num_groups = len(np.unique(table.group))
  parts = [f'{name} {num:,}' for name, num in zip(table.class_names, count_K, strict=True) if num]
  without = [name for name, num in zip(table.class_names, count_K, strict=True) if not num]
  rest = f'; none of {", ".join(without)}, which rest on the old images' if without else ''
  return f'labels: {len(table):,} images of {num_groups:,} groups: {", ".join(parts)}{rest}'


def _unknown(shown: str, name: str, class_names: Sequence[str]) -> str:
  near = misspelling.of(name, class_names)
  meant = (
    f'did you mean {near}? Correct the label, or add'
    if near
    else f'it knows {", ".join(class_names)}. Take its images out of the list, or add'
  )
  return (
    f'{shown}: the run knows no class {names.spelled(name)}; {meant} the class with '
    f'--new_classes={shell.word(name)}'
  )


def _check_seen(shown: str, given: types.Table, seen: Collection[str]) -> None:
  rows = [row for row, digest in enumerate(given.digest.tolist()) if digest in seen]
  if rows:
    raise types.UserError(
      f'{shown}: {len(rows):,} of {len(given):,} labelled images are images of the run itself, such as '
      f'{given.file[rows[0]]}; adapt is for another laboratory: leave them out, or train again with them'
    )


def _check_number(shown: str, table: types.Table, new_classes: Sequence[str]) -> None:
  num_of = {name: len(np.unique(table.group[table.label == k])) for k, name in enumerate(table.class_names)}
  are_grouped = len(np.unique(table.group)) < len(table)
  for name, num in num_of.items():
    least = LEAST_GROUPS_NEW if name in new_classes else LEAST_GROUPS
    if (num or name in new_classes) and num < least:
      kind = 'new class' if name in new_classes else 'class'
      num_images = int((table.label == table.class_names.index(name)).sum())
      if are_grouped:
        of = f'{wording.counted(num_images, "image")} in {wording.counted(num, "group")}'
        what = f'labels of {of} (cells of one photograph are one group); label it in {least} groups or more'
      else:
        what = f'labels of {num} independent {"image" if num == 1 else "images"}; label {least} or more'
      out = f', or take its {"label" if num_images == 1 else "labels"} out'
      rest = '' if name in new_classes else out
      raise types.UserError(f'{shown}: the {kind} {name} has {what}{rest}')
  if (num_classes := sum(num > 0 for num in num_of.values())) < LEAST_CLASSES:
    raise types.UserError(
      f'{shown}: has labels of {num_classes} class; label images of {LEAST_CLASSES} classes or more'
    )
