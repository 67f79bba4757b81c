"""The report's section about one split: classes, calibration and abstention, misclassified images and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import types, wording
from bloodcell_jax.reports import page, review_images, selection
from bloodcell_jax.stats import by_laboratory, calibration, metrics, unlike
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

# Classes that a sentence names one by one.
MOST_CLASSES = 20
# Rows of the table of the groups with most errors.
MAX_GROUPS = 10
_KINDS = (
  (review_images.MISTAKE, 'Most confident mistakes', 'The network may be wrong, or the label.'),
  (review_images.UNCERTAIN, 'Least confident predictions', 'Correct or not.'),
)

# By key of `by_group` in metrics.json.
_VOTES = {'majority': 'majority vote', 'mean_probability': 'mean probability'}


def section(
  folder: workdir.Workdir,
  name: str,
  entry: dict[str, Any],
  is_first: bool,
  chosen: Mapping[str, Sequence[str]],
) -> str:
  """The section of a split as HTML.

  Args:
    folder: the run's.
    name: the split's.
    entry: its figures, from metrics.json.
    is_first: whether to include the tables of images and groups.
    chosen: as from `selection.choices`.
  """
  choice = selection.sentence(name, chosen)
  parts = [
    page.heading(f'split-{name}', title(name)),
    *([f'<p class="note">{page.text(choice)}</p>'] if choice else []),
    _images(entry),
    _classes(name, entry),
    _laboratories(name, entry),
    _votes(entry),
    _exceptions(entry),
    _unlike(entry),
    _calibration(name, entry, selection.calibrated_on(chosen)),
    _at_prevalence(name, entry),
    '<div class="pair">',
    *(
      page.picture(folder.figures / f'{kind}_{name}.png', f'{what} on {name}')
      for kind, what in (
        ('confusion', 'confusion matrix'),
        ('reliability', 'reliability diagram'),
        ('reliability_calibrated', 'reliability diagram after temperature scaling'),
        ('risk_coverage', 'risk-coverage curve: error rate against the share of accepted images'),
      )
    ),
    '</div>',
  ]
  if is_first:
    parts += [_thumbnails(folder, name), _worst_groups(folder, name)]
  return '\n'.join(part for part in parts if part)


def _images(entry: dict[str, Any]) -> str:
  """Where the images of a scored folder lie, and whether the run has seen them; empty for a split of the run."""
  if 'images' not in entry:
    return ''
  source = ', '.join(f'{key} {value}' for key, value in entry['images'].items() if value)
  return f'<p>Images: {page.text(source)}. {page.text(entry["seen_note"])}</p>'


def title(name: str) -> str:
  """The heading of a split's section."""
  return f'Split: {name}'


def figure(entry: dict[str, float | None] | None) -> str:
  """A figure with its interval; n/a if the run was scored by a version without this figure."""
  if entry is None:
    return number(None)
  value, low, high = entry['value'], entry['low'], entry['high']
  if value is None or low is None or high is None:
    return number(value)
  return f'{value:.3f} [{low:.3f}, {high:.3f}]'


def number(value: float | None) -> str:
  """A figure without an interval."""
  return 'n/a' if value is None else f'{value:.3f}'


def _classes(name: str, entry: dict[str, Any]) -> str:
  columns = metrics.PER_CLASS
  rows = [
    (k, f'{v["num_groups"]:,}', f'{v["num_images"]:,}', *(figure(v.get(column.name)) for column in columns))
    for k, v in entry['per_class'].items()
  ]
  titles = (column.title for column in columns)
  return page.table(f'figures of each class on {name}', ('class', 'groups', 'images', *titles), rows)


def _laboratories(name: str, entry: dict[str, Any]) -> str:
  """The figures of each laboratory; empty for a run of one."""
  if not (entries := entry.get('by_laboratory')):
    return ''
  columns = [f for f in metrics.FIGURES if f.name in by_laboratory.FIGURES]
  rows = [
    (
      laboratory,
      f'{v["num_groups"]:,}',
      f'{v["num_images"]:,}',
      *(figure(v[column.name]) for column in columns),
      figure(v.get('named')),
      figure(v.get('error')),
    )
    for laboratory, v in entries.items()
  ]
  titles = (*(column.title for column in columns), 'accepted images', 'error rate of accepted images')
  return page.table(
    f'figures of each laboratory on {name}', ('laboratory', 'groups', 'images', *titles), rows
  )


def _votes(entry: dict[str, Any]) -> str:
  votes = '; '.join(
    f'by {_VOTES.get(rule, rule.replace("_", " "))} {vote["num_right"]} of {vote["num_groups"]} ({figure(vote)})'
    for rule, vote in entry['by_group'].items()
  )
  return f'<p>Groups classified correctly by all their images together: {page.text(votes)}.</p>'


def _exceptions(entry: dict[str, Any]) -> str:
  exceptions = entry['interval']['exceptions']
  if not exceptions:
    return ''
  methods = '; '.join(
    f'{_figure_names([key for key, used in exceptions.items() if used == method], len(entry["per_class"]))}: {method}'
    for method in dict.fromkeys(exceptions.values())
  )
  remarks = ''
  if any('Clopper-Pearson' in method for method in exceptions.values()):
    remarks = (
      ' The Clopper-Pearson interval is exact for the proportion of groups of which most images are classified '
      'correctly, which is not the proportion of images; it is an approximation.'
    )
  if 'ece' in exceptions:
    remarks += ' The interval of ECE covers the true value less often than its nominal level.'
  return f'<p class="small">Intervals computed by other methods: {page.text(methods)}.{remarks}</p>'


def _figure_names(keys: Sequence[str], num_classes: int) -> str:
  """Keys such as `ece` and `per_class.NEUTROPHIL.recall` in words, classes of one figure together."""
  titles = {f.name: f.title for f in metrics.FIGURES}
  of_classes = {f.name: f.title for f in metrics.PER_CLASS}
  classes: dict[str, list[str]] = {}
  names = []
  for key in keys:
    if key.startswith('per_class.'):
      class_name, name = key.removeprefix('per_class.').rsplit('.', 1)
      classes.setdefault(name, []).append(class_name)
    else:
      names.append(titles.get(key, key))
  for name, members in classes.items():
    which = 'each class' if len(members) == num_classes else ', '.join(members)
    if MOST_CLASSES < len(members) < num_classes:
      which = f'{len(members):,} of {num_classes:,} classes'
    names.append(f'{of_classes.get(name, name)} of {which}')
  return ', '.join(names)


def _unlike(entry: dict[str, Any]) -> str:
  line = unlike.line(entry.get('unlike'))
  return f'<p class="note">{page.text(wording.capital(line))}.</p>' if line else ''


def _calibration(name: str, entry: dict[str, Any], fitted_on: str) -> str:
  summary = entry.get('doubt')
  if not summary:
    return ''
  fitted = 'Temperature, threshold and sets were fitted on these same images. ' if name == fitted_on else ''
  threshold = summary['threshold']
  rule = (
    f'No confidence threshold reached the target error rate on {fitted_on}: every image is left for review. Reaching '
    f'it takes {calibration.least_groups(summary["max_error"])} groups or more that are accepted without an error.'
    if threshold is None
    else f'Predictions with a confidence of at least {threshold:.3f} are accepted; all others are left for review.'
  )
  sizes = ', '.join(
    f'{wording.counted(count, "set")} of {size}' for size, count in enumerate(summary['set_sizes']) if count
  )
  size = summary['mean_set_size']
  titles = {f.name: f.title for f in metrics.FIGURES}
  rows = [
    (f'{titles.get(key, key)} after temperature scaling', figure(value), f'before: {figure(entry.get(key))}')
    for key, value in summary['calibrated'].items()
  ]
  rows += [
    ('accepted images (coverage)', figure(summary['named']), f'{summary["num_named"]:,} images'),
    ('error rate of accepted images', figure(summary['error']), f'target: {summary["max_error"]:.3f}'),
    (
      'conformal sets that contain the label',
      figure(summary['covered']),
      f'target: {1 - summary["miscoverage"]:.3f}',
    ),
    ('classes per conformal set, mean', 'n/a' if size is None else f'{size:.2f}', sizes),
  ]
  return f'<h3>Calibration and abstention</h3><p>{fitted}{rule}</p>' + page.table(
    f'calibration and abstention on {name}, temperature {summary["temperature"]:.2f}',
    ('figure', 'value', 'for comparison'),
    rows,
  )


def _at_prevalence(name: str, entry: dict[str, Any]) -> str:
  summary = entry.get('at_prevalence')
  if not summary:
    return ''
  shares = ', '.join(f'{k} {share:.1%}' for k, share in summary['prevalence'].items())
  whole = [(f.title, figure(summary[f.name])) for f in metrics.FIGURES if f.name in summary]
  columns = [f for f in metrics.PER_CLASS if all(f.name in v for v in summary['per_class'].values())]
  classes = [(k, *(figure(v[f.name]) for f in columns)) for k, v in summary['per_class'].items()]
  return (
    f'<h3>Reweighted to another class prevalence</h3><p>Assumed prevalence: {page.text(shares)}.</p>'
    + page.table(f'figures on {name} at this prevalence', ('figure', 'value'), whole)
    + page.table(
      f'figures of each class on {name} at this prevalence', ('class', *(f.title for f in columns)), classes
    )
  )


def _thumbnails(folder: workdir.Workdir, name: str) -> str:
  items, parts = review_images.read(folder.review(name)), []
  for kind, heading, remark in _KINDS:
    chosen = [item for item in items if item.kind == kind]
    if not chosen:
      continue
    cells = ''.join(map(_thumbnail, chosen))
    parts.append(
      f'<h3>{heading}</h3><p class="small">At most one image per group. {remark}</p><ul class="thumbs">{cells}</ul>'
    )
  return ''.join(parts)


def _thumbnail(item: review_images.Item) -> str:
  image = page.image(item.jpeg, 'jpeg', f'{item.file}, labelled {item.label}')
  return (
    f'<li>{image}<strong>{page.text(item.predicted)}</strong> {item.confidence:.0%}<br>labelled '
    f'{page.text(item.label)}<br><span class="small">{page.text(item.file)}</span></li>'
  )


def _worst_groups(folder: workdir.Workdir, name: str) -> str:
  path = folder.groups(name)
  if not path.exists():
    return ''
  try:
    columns, *table = atomic.read_csv(path)
  except ValueError:
    raise types.UserError(f'{path}: changed since it was written; evaluate the run again') from None
  rows = [dict(zip(columns, cells, strict=False)) for cells in table[:MAX_GROUPS]]
  worst = [
    (
      r['group'],
      r['label'],
      r['num_images'],
      r['num_right'],
      r['majority'],
      r['mean_vote'],
      r['label_probability'],
    )
    for r in rows
    if r['num_right'] != r['num_images']
  ]
  if not worst:
    return ''
  head = (
    'group',
    'label',
    'images',
    'correct',
    'majority vote',
    'vote of the mean probability',
    'mean probability of the label',
  )
  return (
    '<h3>Groups with the most errors</h3>'
    f'<p class="small">Complete table: {page.text(str(path.relative_to(folder.path)))}</p>'
    + page.table(f'groups with most errors on {name}', head, worst)
  )
