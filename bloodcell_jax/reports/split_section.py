"""The part of the report about one split: classes, doubt, the images and photographs that went wrong."""

from __future__ import annotations

import csv
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.reports import page, review_images
from bloodcell_jax.stats import metrics
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

# Photographs named in the table of the weakest.
NUM_WEAKEST = 10
_KINDS = (
  (review_images.MISTAKE, 'Surest mistakes', 'The label may be wrong as well as the network.'),
  (review_images.UNCERTAIN, 'Least certain images', 'Right or wrong.'),
)


def section(folder: workdir.Workdir, name: str, entry: dict[str, Any], is_first: bool, choice: str) -> str:
  """The section of a split.

  Args:
    folder: the run's.
    name: the split's.
    entry: its figures, from metrics.json.
    is_first: whether it has thumbnails and photographs.
    choice: what the split chose, in a sentence; empty where it chose nothing.
  """
  parts = [
    page.heading(f'split-{name}', name),
    *([f'<p class="note">{page.text(choice)}</p>'] if choice else []),
    _classes(name, entry),
    _votes(entry),
    _exceptions(entry),
    _doubt(name, entry),
    _at_prevalence(name, entry),
    '<div class="pair">',
    *(
      page.picture(folder.figures / f'{kind}_{name}.png', f'{what} of {name}')
      for kind, what in (
        ('confusion', 'confusion matrix'),
        ('reliability', 'reliability diagram'),
        ('reliability_calibrated', 'reliability diagram after temperature scaling'),
        ('risk_coverage', 'errors against the share of images that are named'),
      )
    ),
    '</div>',
  ]
  if is_first:
    parts += [_thumbnails(folder, name), _weakest(folder, name)]
  return '\n'.join(part for part in parts if part)


def figure(entry: dict[str, float | None] | None) -> str:
  """A figure with its interval; n/a where the run was scored by a version that did not have it."""
  if entry is None:
    return number(None)
  value, low, high = entry['value'], entry['low'], entry['high']
  if value is None or low is None or high is None:
    return number(value)
  return f'{value:.3f} [{low:.3f}, {high:.3f}]'


def number(value: float | None) -> str:
  """A figure without one."""
  return 'n/a' if value is None else f'{value:.3f}'


def _classes(name: str, entry: dict[str, Any]) -> str:
  columns = metrics.PER_CLASS
  rows = [
    (k, f'{v["num_groups"]:,}', f'{v["num_images"]:,}', *(figure(v.get(column.name)) for column in columns))
    for k, v in entry['per_class'].items()
  ]
  titles = [column.title for column in columns]
  return page.table(f'classes of {name}', ('class', 'groups', 'images', *titles), rows)


def _votes(entry: dict[str, Any]) -> str:
  votes = '; '.join(
    f'by {how.replace("_", " ")} {vote["num_right"]} of {vote["num_groups"]} ({figure(vote)})'
    for how, vote in entry['by_group'].items()
  )
  return f'<p>Groups named right by a vote of their images: {page.text(votes)}.</p>'


def _exceptions(entry: dict[str, Any]) -> str:
  exceptions = entry['interval']['exceptions']
  methods = '; '.join(
    f'{", ".join(key for key, used in exceptions.items() if used == method)}: {method}'
    for method in dict.fromkeys(exceptions.values())
  )
  if not methods:
    return ''
  what = ''
  if any('Clopper-Pearson' in method for method in exceptions.values()):
    what = (
      ' Clopper-Pearson is exact for the share of groups of which most images are right, which is not the share of '
      'images: it stands in for the interval of the figure and is widened to hold it.'
    )
  if 'ece' in exceptions:
    what += ' The interval of ECE covers less often than it says.'
  return f'<p class="small">Other methods: {page.text(methods)}.{what}</p>'


def _doubt(name: str, entry: dict[str, Any]) -> str:
  found = entry.get('doubt')
  if not found:
    return ''
  own = 'They were fitted on these very images. ' if name == 'validation' else ''
  if found['threshold'] is None:
    rule = 'At no confidence were the errors on validation as few as wanted: every image is left for review.'
  else:
    rule = (
      f'Images of a confidence of {found["threshold"]:.3f} or more are named, the others left for review.'
    )
  sizes = ', '.join(f'{size} in {count:,}' for size, count in enumerate(found['set_sizes']) if count)
  rows = [
    (
      f'{key}, at a temperature of {found["temperature"]:.2f}',
      figure(value),
      f'before: {figure(entry.get(key))}',
    )
    for key, value in found['calibrated'].items()
  ]
  rows += [
    ('share of images named', figure(found['named']), f'{found["num_named"]:,} images'),
    ('errors among the named', figure(found['error']), f'wanted: {found["max_error"]:.3f}'),
    (
      'sets of classes that hold the label',
      figure(found['covered']),
      f'wanted: {1 - found["miscoverage"]:.3f}',
    ),
    ('classes in a set, mean', f'{found["mean_set_size"]:.2f}', sizes),
  ]
  return f'<h3>Doubt</h3><p>{own}{rule}</p>' + page.table(
    f'doubt of {name}', ('what', 'figure', 'beside'), rows
  )


def _at_prevalence(name: str, entry: dict[str, Any]) -> str:
  found = entry.get('at_prevalence')
  if not found:
    return ''
  shares = ', '.join(f'{k} {share:.1%}' for k, share in found['prevalence'].items())
  whole = [(f.title, figure(found[f.name])) for f in metrics.FIGURES if f.name in found]
  columns = [f for f in metrics.PER_CLASS if all(f.name in v for v in found['per_class'].values())]
  classes = [(k, *(figure(v[f.name]) for f in columns)) for k, v in found['per_class'].items()]
  return (
    f'<h3>Where the classes are as frequent as {page.text(shares)}</h3>'
    + page.table(f'figures of {name} at that prevalence', ('figure', 'value'), whole)
    + page.table(f'classes of {name} at that prevalence', ('class', *(f.title for f in columns)), classes)
  )


def _thumbnails(folder: workdir.Workdir, name: str) -> str:
  items, parts = review_images.read(folder.review(name)), []
  for kind, title, remark in _KINDS:
    chosen = [item for item in items if item.kind == kind]
    if not chosen:
      continue
    cells = ''.join(map(_thumbnail, chosen))
    parts.append(
      f'<h3>{title}</h3><p class="small">One of each group. {remark}</p><ul class="thumbs">{cells}</ul>'
    )
  return ''.join(parts)


def _thumbnail(item: review_images.Item) -> str:
  shown = page.image(item.jpeg, 'jpeg', f'{item.file}, labelled {item.label}')
  return (
    f'<li>{shown}<strong>{page.text(item.predicted)}</strong> {item.confidence:.0%}<br>labelled '
    f'{page.text(item.label)}<br><span class="small">{page.text(item.file)}</span></li>'
  )


def _weakest(folder: workdir.Workdir, name: str) -> str:
  path = folder.groups(name)
  if not path.exists():
    return ''
  try:
    rows = list(csv.DictReader(atomic.read_text(path).splitlines()))
  except ValueError:
    raise types.UserError(f'{path}: changed since it was written; evaluate the run again') from None
  shown = [
    (
      r['group'],
      r['label'],
      r['num_images'],
      r['num_right'],
      r['majority'],
      r['mean_vote'],
      r['label_probability'],
    )
    for r in rows[:NUM_WEAKEST]
    if r['num_right'] != r['num_images']
  ]
  if not shown:
    return ''
  head = ('group', 'label', 'images', 'right', 'most are called', 'mean vote', 'probability of the label')
  return (
    f'<h3>Weakest groups</h3><p class="small">All: {page.text(str(path.relative_to(folder.path)))}</p>'
    + page.table(f'the weakest groups of {name}', head, shown)
  )
