"""What an audit prints, from its numbers."""

from __future__ import annotations

import pathlib
from typing import Any

from bloodcell_jax.audit import near_duplicates


def lines(told: dict[str, Any], folder: pathlib.Path) -> list[str]:
  """The numbers in words, the gravest last."""
  said = []
  for split, classes in told['counts'].items():
    parts = ', '.join(
      f'{name} {n["images"]:,} in {n["groups"]:,}' for name, n in classes.items() if n['images']
    )
    said.append(f'{split}, images in groups: {parts}')
  for key, what in (('equal_bytes', 'equal bytes'), ('equal_pixels', 'equal pixels')):
    n = told[key]
    said.append(
      f'{what}: {n["sets"]:,} sets of {n["images"]:,} images, {n["sets_between_splits"]:,} between splits, '
      f'{n["sets_of_several_labels"]:,} with several labels'
    )
  near = told['near_duplicates']
  said.append(
    f'near-duplicates: {near["images_in_them"]:,} of {told["images"]:,} images are in {near["groups_of_several"]:,} '
    f'groups of several; {told["conflicting_labels"]["number"]:,} groups have several labels'
  )
  if near['touching']:
    said.append(
      f'{near["touching"]:,} further pairs of fields overlap by less than {near_duplicates.LEAST_OVERLAP:.0%}, '
      f'{near["touching_between_splits"]:,} of them between splits: not joined; see figures/touching.png'
    )
  if near['images_with_few_keypoints']:
    said.append(
      f'{near["images_with_few_keypoints"]:,} images show too little to be compared other than exactly'
    )
  if told['known_groups']:
    n = told['known_groups']
    said.append(
      f'against the {n["groups"]:,} groups that the data knows: precision {n["precision"]:.4f}, recall '
      f'{n["recall"]:.4f} of pairs; {len(n["joined"]):,} groups found join several known ones'
    )
  n = told['division']
  if n['made']:
    said.append(
      f'the division that training makes, with the groups the data has, parts {n["groups_parted"]:,} groups'
    )
  else:
    said.append(f'training could not divide this data: {n["reason"]}')
  for rule, n in told['file_names'].items():
    if 'groups_parted' in n:
      verdict = 'it leaks' if n['leaks'] else 'it parts none'
      said.append(
        f'grouping by {rule} parts {n["groups_parted"]:,} of {n["groups_of_several"]:,} groups: {verdict}'
      )
  n = told['colour_nearest_neighbour']
  said.append(
    f'colour alone, no morphology, is right for: random 80/20 of TRAIN {_percent(n["random_80_20"])}, '
    f'TRAIN to TEST {_percent(n["train_to_test"])}, by groups {_percent(n["by_groups"])}; the largest class is '
    f'{_percent(n["largest_class"].get("TRAIN"))} of TRAIN'
  )
  said.append(f'{folder}/audit.json, pairs.csv, groups.csv, figures')
  if told['note']:
    said.append(told['note'])
  for split, n in told['shared_images'].items():
    if n['shared']:
      said.append(
        f'LEAK: {n["shared"]:,} of the {n["images"]:,} images of {split} show what is trained or chosen on'
      )
  if not told['leak']:
    said.append('no leak found between splits' if len(told['counts']) > 1 else 'no splits to compare')
  return said


def _percent(share: float | None) -> str:
  return 'cannot be asked' if share is None else f'{100 * share:.2f} %'
