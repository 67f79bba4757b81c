"""The tables and sentences of a study's page, from the entries of `study.json` alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bloodcell_jax.reports import report, split_section
from bloodcell_jax.study import run_folder

TITLES = {
  'test_clean': 'TEST-clean',
  'test': 'TEST',
  'test_simple': 'TEST_SIMPLE',
}
NONE = '–'
TITLE = 'The study, row by row'
READING = (
  'TEST is the published test split. TEST-clean leaves out the images of TEST whose photographed field is also in '
  'training: it is the figure to read first. TEST_SIMPLE is the 71 images that the study held out.',
  'In brackets: confidence intervals from resampling photographed fields. Hundreds of images show one field, so an '
  'interval that counted images would be far too narrow.',
  'Training and validation are at the scored epoch, the one with the best validation figure. Validation holds other '
  'photographs than training; because it chose the epoch, its figure is optimistic.',
  "The study's figures are mostly training accuracy, or are on its 71 held-out images, or it does not say. Compare "
  'them with the column that they belong to, not with TEST-clean.',
)


@dataclasses.dataclass(frozen=True)
class Table:
  """A table: rows of cells under headings, in parts with a heading each."""

  caption: str
  head: tuple[str, ...]
  parts: Sequence[tuple[str, Sequence[Sequence[str]]]]  # (heading or '', rows)


@dataclasses.dataclass(frozen=True)
class Section:
  """A section of the page."""

  name: str  # for links
  title: str
  paragraphs: Sequence[str]
  tables: Sequence[Table]
  has_curves: bool = False


def sections(entries: Sequence[Mapping[str, Any]]) -> list[Section]:
  """The sections of the page, in order."""
  return [
    Section('results', 'Results', READING, [_results(entries)]),
    Section('meaning', 'What the differences mean', [], [_meanings(entries)]),
    Section('pairs', 'Rows compared in pairs', [PAIRS], [_pairs(entries)]),
    Section('curves', 'Curves', [CURVES], [], has_curves=True),
    Section('time', 'Length, time and parameters', [TIME], [_time(entries)]),
    *([Section('seeds', 'Seeds', [SEEDS], [_seeds(entries)])] if any(e['spread'] for e in entries) else []),
    Section('chosen', 'What was chosen on which images', [CHOSEN], [_chosen(entries)]),
    Section('runs', 'Runs', [RUNS], [_runs(entries)]),
  ]


PAIRS = (
  'Both rows on the same images: the accuracy of the row minus that of the one it is compared with. Intervals and p '
  'come from photographed fields, p from swapping the two rows within fields. Rows differ in length, see below.'
)
CURVES = (
  'Accuracy by update. Training accuracy is taken during the epoch, with dropout and augmentation on. Where training '
  'climbs and validation does not, the network learns its photographs by heart. Several lines: seeds, or the members '
  'of an ensemble. Trees have no epochs.'
)
TIME = (
  "Epochs (of each stage) x updates an epoch, of each network; the whole length is the study's where it gives one. The "
  'seconds are of training alone, the median epoch; those of a whole epoch are for its number of updates, beside what '
  'it took the study. Frozen blocks of VGG16 are computed once for all rows and are not in the seconds; the study '
  'computed them for each update.'
)
SEEDS = 'Accuracy of each seed. A seed draws other weights, another order and another validation split.'
CHOSEN = (
  'Nothing was chosen or fitted on TEST, TEST-clean or TEST_SIMPLE: these figures are evidence. Figures on a split '
  'that chose something are not.'
)
RUNS = (
  'Each is an ordinary run: evaluate, predict, explain and export work on its folder, and it has a report.'
)


def headline(entries: Sequence[Mapping[str, Any]]) -> str:
  """How much of the study there is."""
  states = [entry['state'] for entry in entries]
  counts = {state: states.count(state) for state in dict.fromkeys(states)}
  others = ', '.join(f'{number} {state}' for state, number in counts.items() if state != run_folder.COMPLETE)
  return f'{counts.get(run_folder.COMPLETE, 0)} of {len(entries)} rows complete' + (
    f'; {others}' if others else ''
  )


def images(data: Mapping[str, Any]) -> str:
  """The images of the study: photographs and images of each split; empty before the first run."""
  if not data:
    return ''
  counts = {
    split: [sum(column) for column in zip(*classes.values(), strict=True)]
    for split, classes in data['counts'].items()
  }
  parts = [
    f'{name} {counts[split][1]:,} photographs, {counts[split][0]:,} images'
    for split, name in (('train', 'training'), ('validation', 'validation'), *TITLES.items())
    if split in counts
  ]
  return f'{data["name"]}: {"; ".join(parts)}.'


def notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
  """What a reader needs before the figures."""
  found = list(dict.fromkeys(entry['note'] for entry in entries if entry['note']))
  if any('ynthetic' in note for note in found):
    found.append("They cannot be compared with the study's; this page only shows that every row works.")
  short = [entry for entry in entries if (share := _share(entry)) is not None and share < 0.9]
  if short:
    least = min(share for entry in short if (share := _share(entry)) is not None)
    found.append(
      f"{len(short)} rows are shorter than the study's own length, the shortest has {_percent(least)} of it: such rows "
      'are not finished networks.'
    )
  return [*found, report.RESEARCH_ONLY]


def groups(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
  """The entries under their headings, in the order of the first of each."""
  for name in dict.fromkeys(entry['group'] for entry in entries):
    yield name, [entry for entry in entries if entry['group'] == name]


def _table(caption: str, head: Sequence[str], entries: Sequence[Mapping[str, Any]], cells: Any) -> Table:
  """A table with a row an entry; `cells` gives the cells of an entry after its title."""
  parts = [(name, [(e['title'], *cells(e)) for e in some]) for name, some in groups(entries)]
  return Table(caption, ('row', *head), parts)


def splits(entries: Sequence[Mapping[str, Any]]) -> list[str]:
  """The test splits that any row has figures of."""
  return [split for split in TITLES if any(split in entry['metrics'] for entry in entries)] or ['test']


def _results(entries: Sequence[Mapping[str, Any]]) -> Table:
  known = splits(entries)

  def cells(entry: Mapping[str, Any]) -> list[str]:
    figures = [accuracy(entry, split) for split in known]
    if not entry['metrics']:
      figures[0] = entry['state']
    return [_published(entry), *figures, _at_epoch(entry, 'accuracy'), _at_epoch(entry, 'val_accuracy')]

  head = (
    "the study's figure",
    *(f'ours, {TITLES[split]}' for split in known),
    'ours, training',
    'ours, validation',
  )
  return _table('accuracy of each row', head, entries, cells)


def _published(entry: Mapping[str, Any]) -> str:
  study = entry['study']
  if not study['accuracy']:
    return study['images']
  loss = f', loss {study["loss"]:.2f}' if study['loss'] else ''
  return f'{study["accuracy"]:.3g}{loss} ({study["images"]})'


def accuracy(entry: Mapping[str, Any], split: str) -> str:
  """The accuracy with its interval; with several seeds that of the first and the mean of all."""
  if split not in entry['metrics']:
    return NONE
  text = split_section.figure(entry['metrics'][split]['accuracy'])
  spread = entry['spread'].get(split)
  if not spread or spread['accuracy']['mean'] is None:
    return text
  figures = spread['accuracy']
  return f'{text}; mean of {len(figures["values"])} seeds {figures["mean"]:.3f} (sd {figures["sd"]:.3f})'


def _at_epoch(entry: Mapping[str, Any], name: str) -> str:
  values = [figures[name] for figures in entry['training'].values()]
  return f'{sum(values) / len(values):.3f}' if values else NONE


def _meanings(entries: Sequence[Mapping[str, Any]]) -> Table:
  return _table(
    'what the difference to the study means',
    ('the difference',),
    entries,
    lambda entry: [entry['meaning'] or NONE],
  )


def _pairs(entries: Sequence[Mapping[str, Any]]) -> Table:
  titles = {entry['name']: entry['title'] for entry in entries}
  known = splits(entries)

  def cells(entry: Mapping[str, Any]) -> list[str]:
    comparison = entry['comparison']
    figures = [_difference(comparison, split) for split in known]
    if not comparison:
      figures[0] = 'not run' if entry['state'] == run_folder.NOT_RUN else 'no common run'
    return [titles.get(entry['reference'], NONE), *figures]

  head = ('compared with', *(f'accuracy gained, {TITLES[split]}' for split in known))
  return _table('paired comparisons', head, [entry for entry in entries if entry['reference']], cells)


def _difference(comparison: Mapping[str, Any], split: str) -> str:
  if split not in comparison.get('splits', {}):
    return NONE
  entry = comparison['splits'][split]['accuracy']
  bounds = '' if entry['low'] is None else f' [{entry["low"]:+.3f}, {entry["high"]:+.3f}]'
  return f'{entry["difference"]:+.3f}{bounds}, p {entry["p_value"]:.3f}'


def _time(entries: Sequence[Mapping[str, Any]]) -> Table:
  head = (
    'parameters', 'networks', 'epochs x updates', 'whole length', 'share', 'seconds an epoch',
    'seconds a whole epoch', 'in the study, seconds',
  )  # fmt: skip
  return _table('length, time and parameters', head, entries, _times)


def _times(entry: Mapping[str, Any]) -> list[str]:
  length, seconds, share = entry['length'], entry['seconds_per_epoch'], _share(entry)
  own = length['own']
  whole = NONE
  if seconds is not None and own and entry['updates_per_epoch']:
    whole = _seconds_text(seconds / entry['updates_per_epoch'] * own['steps_per_epoch'])
  published = entry['study']['seconds']
  return [
    NONE if entry['num_parameters'] is None else f'{entry["num_parameters"]:,}',
    str(length['networks']) if own else 'trees',
    ', '.join(dict.fromkeys(length['by_seed'].values())) or NONE,
    f'{" + ".join(map(str, own["epochs"]))} x {own["steps_per_epoch"]}' if own else NONE,
    NONE if share is None else _percent(share),
    NONE if seconds is None else _seconds_text(seconds),
    whole,
    f'{published[0]} to {published[1]}' if published else NONE,
  ]


def _percent(share: float) -> str:
  return f'{share:.1%}' if share >= 0.001 else 'less than 0.1%'


def _seconds_text(seconds: float) -> str:
  return f'{seconds:.0f}' if seconds >= 10 else f'{seconds:.2g}'


def _share(entry: Mapping[str, Any]) -> float | None:
  """The updates of a row as a share of its own."""
  length = entry['length']
  return length['updates'] / length['own']['updates'] if length['own'] and length['updates'] else None


def _seeds(entries: Sequence[Mapping[str, Any]]) -> Table:
  known = splits(entries)

  def values(entry: Mapping[str, Any], split: str) -> str:
    figures = entry['spread'].get(split, {}).get('accuracy', {'values': []})
    return ', '.join(map(split_section.number, figures['values'])) or NONE

  def cells(entry: Mapping[str, Any]) -> list[str]:
    return [', '.join(map(str, entry['seeds'])), *(values(entry, split) for split in known)]

  head = ('seeds', *(TITLES[split] for split in known))
  return _table('accuracy by seed', head, [entry for entry in entries if entry['spread']], cells)


def _chosen(entries: Sequence[Mapping[str, Any]]) -> Table:
  def cells(entry: Mapping[str, Any]) -> list[str]:
    if not entry['chosen']:
      return [entry['state'], NONE]
    return [', '.join(entry['chosen'].get(split, ())) or 'nothing' for split in ('train', 'validation')]

  return _table('what was fitted or chosen', ('on training', 'on validation'), entries, cells)


def _runs(entries: Sequence[Mapping[str, Any]]) -> Table:
  parts = []
  for name, some in groups(entries):
    rows: list[Sequence[str]] = []
    for entry in some:
      if not entry['runs']:
        rows.append((entry['title'], entry['name'], NONE, NONE, run_folder.NOT_RUN))
      for run in entry['runs']:
        state = run['state'] + (f': {run["reason"]}' if run['reason'] else '')
        if run['state'] == run_folder.BEGUN:
          state += f', {run["epochs_done"]} epochs done'
        rows.append((entry['title'], entry['name'], str(run['seed']), run['folder'], state))
    parts.append((name, rows))
  return Table('runs', ('row', 'name', 'seed', 'folder', 'state'), parts)
