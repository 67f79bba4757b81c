"""The lines that an audit prints, from its numbers."""

from __future__ import annotations

import pathlib
from typing import Any

from bloodcell_jax.audit import near_duplicates
from bloodcell_jax.base import shell, wording
from bloodcell_jax.data.sources import remarks


def lines(summary: dict[str, Any], folder: pathlib.Path) -> list[str]:
  """The numbers of `summary.compute` in words; leaks come last.

  Args:
    summary: the numbers.
    folder: of the audit's files.
  """
  texts = []
  for split, classes in summary['counts'].items():
    parts = ', '.join(
      f'{name} {wording.counted(n["images"], "image")} in {wording.counted(n["groups"], "group")}'
      for name, n in classes.items()
      if n['images']
    )
    texts.append(f'{split}: {parts}')
  for key, name in (('equal_bytes', 'identical files'), ('equal_pixels', 'identical pixels')):
    texts.append(_repeats(name, summary[key]))
  texts += _near_duplicates(summary)
  known = summary['known_groups']
  if known:
    texts.append(
      f'compared with the {wording.counted(known["groups"], "group")} of the data: precision {known["precision"]:.4f} '
      f'and recall {known["recall"]:.4f} of pairs; {len(known["joined"]):,} of the groups found merge several of these'
    )
  division = summary['division']
  if division['made']:
    texts.append(
      'dividing this data for training by its own groups would split '
      f'{wording.counted(division["groups_parted"], "group")} of near-duplicates'
    )
  else:
    texts.append(f'this data cannot be divided for training: {division["reason"]}')
  if inner := summary['subfolders']:
    texts.append(
      f'{inner["images"]:,} images lie in {inner["folders"]:,} sub-folders of their classes, such as '
      f'{inner["examples"][0]}; if each is a patient or a slide, train with '
      f'--config.data.groups_csv={shell.word(folder / remarks.GROUPS_FILE)}: '
      f'{wording.counted(inner["groups"], "group")} in place of {inner["groups_without_folders"]:,}'
    )
  for rule, names in summary['file_names'].items():
    if 'groups_parted' in names:
      texts.append(_file_names(rule, names))
  texts.append(_colour(summary['colour_nearest_neighbour']))
  # A figure without pairs is not written.
  figures = ', figures' if any((folder / 'figures').glob('*.png')) else ''
  texts.append(f'written to {folder}: audit.json, pairs.csv, groups.csv{figures}')
  if summary['note']:
    texts.append(summary['note'])
  for split, n in summary['shared_images'].items():
    if n['shared']:
      texts.append(
        f'LEAK: {n["shared"]:,} of the {n["images"]:,} images of {split} show the same field or cell as images '
        'that are used to train or to choose the epoch'
      )
  if not summary['leak']:
    texts.append(_without_leak(summary))
  return texts


def _without_leak(summary: dict[str, Any]) -> str:
  """The last line where no leak was found; it says so only if every image was compared."""
  n = summary['not_compared']
  has_splits = len(summary['counts']) > 1
  if not n['images']:
    return 'no leak found between splits' if has_splits else 'no splits to compare'
  reasons = [
    f'{n[key]:,} {text}'
    for key, text in (
      ('outside_sample', 'outside the sample'),
      ('few_keypoints', 'with too few keypoints'),
      ('left_out', 'left out'),
    )
    if n[key]
  ]
  advice = ', and '.join(
    (['audit without --max_images'] if n['outside_sample'] else [])
    + (
      [f'look at the files that audit.json names under not_compared, such as {n["files"][0]}']
      if n['files']
      else []
    )
  )
  rest = 'a leak among them would not be found' if has_splits else 'copies among them would not be found'
  return f'NOT COMPARED: {wording.counted(n["images"], "image")} ({", ".join(reasons)}); {rest}: {advice}'


def _repeats(name: str, n: dict[str, Any]) -> str:
  if not n['sets']:
    return f'{name}: none'
  return (
    f'{name}: {wording.counted(n["images"], "image")} in {wording.counted(n["sets"], "set")}; sets in several splits: '
    f'{n["sets_between_splits"]:,}, sets with different labels: {n["sets_of_several_labels"]:,}'
  )


def _near_duplicates(summary: dict[str, Any]) -> list[str]:
  near = summary['near_duplicates']
  texts = [
    f'near-duplicates: {near["images_in_them"]:,} of {summary["images"]:,} images have one, in '
    f'{wording.counted(near["groups_of_several"], "group")}; {summary["conflicting_labels"]["number"]:,} of the groups '
    'have different labels'
  ]
  if near['touching']:
    texts.append(
      f'{wording.counted(near["touching"], "further pair")} of fields overlap by less than '
      f'{near_duplicates.LEAST_OVERLAP:.0%}, {near["touching_between_splits"]:,} of them in different splits; they are '
      'not joined: see figures/touching.png'
    )
  if near['images_with_few_keypoints']:
    texts.append(
      f'{wording.counted(near["images_with_few_keypoints"], "image")} with too few keypoints: compared for identical '
      'pixels and reduced copies only'
    )
  return texts


def _file_names(rule: str, n: dict[str, Any]) -> str:
  split, several = n['groups_parted'], n['groups_of_several']
  if not n['leaks']:
    return f'grouping by {rule} would keep every group of near-duplicates together'
  return f'grouping by {rule} would leak: it splits {split:,} of {wording.counted(several, "group")} of near-duplicates'


def _colour(n: dict[str, Any]) -> str:
  parts = [
    f'{_percent(n[key])} {name}'
    for key, name in (
      ('random_80_20', 'on a random fifth of TRAIN'),
      ('train_to_test', 'on TEST'),
      ('by_groups', 'on TRAIN, cross-validated by groups'),
    )
    if n[key] is not None
  ]
  largest = n['largest_class'].get('TRAIN')
  if largest is not None:
    parts.append(f'for comparison, {_percent(largest)} of TRAIN belong to its largest class')
  figures = ', '.join(parts) or 'too few images to measure it'
  return f'accuracy from colour alone, without morphology: {figures}'


def _percent(share: float) -> str:
  return f'{100 * share:.2f} %'
