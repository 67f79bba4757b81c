"""The report's section about an adaptation: the run before and after, on labels left out and on old images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bloodcell_jax.reports import page, split_section
from bloodcell_jax.stats import metrics
from bloodcell_jax.storage import adaptation_file

_BEGINNINGS = {'before': 'the earlier layer', 'zero': 'zero'}
# The entry of the results that is there where the convolutions were trained.
_ALONE = 'alone'
SECTION = ('adaptation', 'Adaptation')


def section(entries: Mapping[str, Any]) -> str:
  """The section as HTML, of `adaptation.json`."""
  request, result = entries[adaptation_file.REQUEST], entries[adaptation_file.RESULT]
  new = result['new']
  labelled = ', '.join(f'{name} {num:,}' for name, num in result['labels'].items() if num)
  added = f' New classes: {", ".join(request["new_classes"])}.' if request['new_classes'] else ''
  titles = {figure.name: figure.title for figure in metrics.FIGURES}
  rows = []
  for where, one in _places(result):
    for name in one['before']:
      before, after = (split_section.figure(one[key][name]) for key in ('before', 'after'))
      rows.append((f'{where}: {titles[name]}', before, after, _change(one['change'].get(name))))
  return ''.join(
    [
      page.heading(*SECTION),
      f'<p>{page.text(_origin(request))} Labels: {new["num_images"]:,} images of {new["num_groups"]:,} groups ('
      f'{page.text(labelled)}).{page.text(added)} The output layer was fitted anew on them and on '
      f'{result["num_home"]:,} old training images. Both laboratories have the same weight, and so have the classes '
      f'within a laboratory. The layer was shrunk towards {_BEGINNINGS[result["beginning"]]} with strength '
      f'{result["strength"]:g}; both were chosen by cross-validation over groups.{_trained(result)}</p>',
      page.table('before and after', ('images: figure', 'before', 'after', 'change'), rows),
      f'<p class="small">New images are cross-fitted: each of {result["num_folds"]} folds of their groups is predicted '
      f'by a {_predicting(result)} without it. The run itself has learned from all '
      'of them, and is at least as well informed. In brackets: confidence intervals over groups, exact ones where '
      'there are few. They hold for images like the labelled ones; labels chosen because they are difficult make the '
      'figures lower than those of the folder.</p>',
    ]
  )


def lines(entries: Mapping[str, Any]) -> list[str]:
  """A line for the new images and one for each split of the old ones."""
  result = entries[adaptation_file.RESULT]
  said = []
  for where, one in _places(result):
    before, after = (split_section.figure(one[key]['balanced_accuracy']) for key in ('before', 'after'))
    said.append(f'{where}: balanced accuracy {before} before, {after} after ({one["num_images"]:,} images)')
  return said


def _places(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
  places = [('new images, held out', result['new'])]
  if _ALONE in result:
    places.append(('new images, compared with the output layer alone', result[_ALONE]))
  return places + [(f'old images, {split}', one) for split, one in result['home'].items()]


def _trained(result: Mapping[str, Any]) -> str:
  if _ALONE not in result:
    return ''
  return (
    f' Then all weights but those of the first convolution were trained for {result["updates"]:,} updates: half of the '
    'images came from each laboratory, and within a laboratory every class came equally often.'
  )


def _predicting(result: Mapping[str, Any]) -> str:
  if _ALONE not in result:
    return 'layer that was fitted, and whose strength was chosen,'
  return 'network that was trained'


def _origin(request: Mapping[str, Any]) -> str:
  return f'Adapted from {request["from"]} to {request["data_dir"]}.'


def _change(entry: Mapping[str, Any] | None) -> str:
  if entry is None:
    return ''
  low, high = entry['low'], entry['high']
  bounds = '' if low is None or high is None else f' [{low:+z.3f}, {high:+z.3f}]'
  return f'{entry["difference"]:+z.3f}{bounds}'
