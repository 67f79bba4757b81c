"""The tables and sentences of a study's page, from the entries of `study.json` alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.reports import split_section
from bloodcell_jax.study import length_table, run_folder, table
from bloodcell_jax.study.table import NONE, TITLES

TITLE = 'The study, row by row'
READING = (
  'TEST is the published test split. TEST-clean leaves out the images of TEST whose photographed field is also in '
  'training: read it first. TEST_SIMPLE is the 71 images that the study held out.',
  'In brackets: {share} confidence intervals from resampling photographed fields. Hundreds of images show one field, '
  'so an interval that counted images would be far too narrow.',
  'Training and validation are at the scored epoch, the one with the best validation figure. Validation holds other '
  'photographs than training; because it chose the epoch, its figure is optimistic.',
  'Where a row has several seeds, figures with an interval are of the first seed; means over the seeds are named so.',
  "The study's figures are mostly training accuracy, or are on its 71 held-out images, or it does not say. Compare "
  'them with the column that they belong to, not with TEST-clean.',
  "The length is epochs x updates an epoch, and in brackets its share of the whole length, which is the study's where "
  'it gives one.',
)


def sections(
  entries: Sequence[Mapping[str, Any]], circumstances: Mapping[str, Sequence[str]]
) -> list[table.Section]:
  """The sections of the page, in order.

  Args:
    entries: the rows of `study.json`.
    circumstances: as from `circumstances.collect`.
  """
  section = table.Section
  reading = [*(line.format(share=_confidence(entries)) for line in READING), *_majority(entries)]
  return [
    section('results', 'Results', reading, [_results(entries), *_losses(entries)]),
    section('meaning', 'What the differences mean', [], [_meanings(entries)]),
    section('pairs', 'Rows compared in pairs', PAIRS, [_pairs(entries)]),
    section('curves', 'Curves', [CURVES], [], has_curves=True),
    length_table.section(entries),
    *([section('seeds', 'Seeds', [SEEDS], [_seeds(entries)])] if any(e['spread'] for e in entries) else []),
    section('chosen', 'What was chosen on which images', [CHOSEN], [_chosen(entries)]),
    section('runs', 'Runs', [RUNS, *_sentences(circumstances)], [_runs(entries)]),
  ]


PAIRS = (
  'Both rows answer for the same images: the accuracy of the row minus that of the one it is compared with, of the '
  'first seed that both have, and then of the others. Intervals and p come from photographed fields, p from swapping '
  'the two rows within fields.',
  'p is that of each comparison alone: of twenty without any difference, one is expected below 0.05. Rows differ in '
  'length, see below; a longer one may win by its length.',
)
CURVES = (
  'Accuracy by update. Training accuracy is taken during the epoch, with dropout and augmentation on. Where training '
  'climbs and validation does not, the network learns its photographs by heart. Several lines: seeds, or the members '
  'of an ensemble. Trees have no epochs.'
)
SEEDS = (
  'Accuracy of each seed. A seed draws other weights, another order and another validation split. The standard '
  'deviation over two or three seeds is rough, and is not an interval for new photographs.'
)
CHOSEN = (
  'No run chose or fitted anything on TEST, TEST-clean or TEST_SIMPLE; figures on a split that chose something are no '
  'evidence. A few decisions about the method itself were made after figures of TEST had been seen; docs/results.md '
  'lists them.'
)
RUNS = (
  'Each is an ordinary run: evaluate, predict, explain and export work on its folder, and it has a report.'
)


def _majority(entries: Sequence[Mapping[str, Any]]) -> list[str]:
  """What the accuracy is without any network; nothing before the first row is scored."""
  for split in TITLES:
    for entry in entries:
      if split in entry['metrics']:
        counts = [sum(line) for line in entry['metrics'][split]['confusion']]
        return [
          f'Naming every image of {TITLES[split]} as its most frequent class gives '
          f'{max(counts) / sum(counts):.3f}: a figure near it means that nothing was learned.'
        ]
  return []


def _confidence(entries: Sequence[Mapping[str, Any]]) -> str:
  """The confidence of the intervals; that of the default where there are none."""
  shares = {
    entry['metrics'][split]['interval']['confidence'] for entry in entries for split in entry['metrics']
  }
  return ' and '.join(f'{100 * share:g}%' for share in sorted(shares)) or '95%'


def _sentences(circumstances: Mapping[str, Sequence[str]]) -> list[str]:
  """When, where and how the runs were trained."""
  known = []
  if dates := circumstances['dates']:
    known.append(f'Trained on {dates[0]}.' if len(dates) == 1 else f'Trained from {dates[0]} to {dates[-1]}.')
  for name, title in (('machines', 'Machine'), ('versions', 'Versions'), ('commands', 'Command')):
    if found := circumstances[name]:
      known.append(f'{title}{"s" if len(found) > 1 and name != "versions" else ""}: {"; ".join(found)}.')
  return known


def _results(entries: Sequence[Mapping[str, Any]]) -> table.Table:
  known = table.splits(entries)

  def cells(entry: Mapping[str, Any]) -> list[str]:
    figures = [accuracy(entry, split) for split in known]
    if not entry['metrics']:
      figures[0] = entry['state']
    at_epoch = (_at_epoch(entry, name) for name in ('accuracy', 'val_accuracy'))
    return [published(entry), *figures, *at_epoch, length_table.cell(entry)]

  head = (
    "the study's figure",
    *(f'ours, {TITLES[split]}' for split in known),
    'ours, training',
    'ours, validation',
    'length',
  )
  return table.by_row('accuracy of each row', head, entries, cells)


def _losses(entries: Sequence[Mapping[str, Any]]) -> list[table.Table]:
  known = table.splits(entries)

  def cells(entry: Mapping[str, Any]) -> list[str]:
    return [
      f'{entry["study"]["loss"]:.2f}',
      *(_of_split(entry, split, 'log_loss') for split in known),
      *(_at_epoch(entry, name) for name in ('loss', 'val_loss')),
    ]

  head = (
    "the study's figure",
    *(f'ours, {TITLES[split]}' for split in known),
    'ours, training',
    'ours, validation',
  )
  of_study = [entry for entry in entries if entry['study']['loss']]
  title = 'cross-entropy in nats, of the rows for which the study gives it'
  return [table.by_row(title, head, of_study, cells)] if of_study else []


def published(entry: Mapping[str, Any]) -> str:
  """The study's figure and the images that it is on."""
  study = entry['study']
  if not study['accuracy']:
    return study['images']
  loss = f', loss {study["loss"]:.2f}' if study['loss'] else ''
  return f'{study["accuracy"]:.3g}{loss} ({study["images"]})'


def accuracy(entry: Mapping[str, Any], split: str) -> str:
  """The accuracy with its interval; with several seeds that of the first and the mean of all."""
  return _of_split(entry, split, 'accuracy')


def _of_split(entry: Mapping[str, Any], split: str, name: str) -> str:
  if split not in entry['metrics']:
    return NONE
  text = split_section.figure(entry['metrics'][split][name])
  spread = entry['spread'].get(split)
  if not spread or spread[name]['mean'] is None:
    return text
  figures = spread[name]
  return f'{text}; mean of {len(figures["values"])} seeds {figures["mean"]:.3f} (sd {figures["sd"]:.3f})'


def _at_epoch(entry: Mapping[str, Any], name: str) -> str:
  """The figure at the scored epoch; with several seeds the mean of all, named as one."""
  values = [figures[name] for figures in entry['training'].values()]
  if not values:
    return NONE
  mean = f'{statistics.fmean(values):.3f}'
  return mean if len(values) == 1 else f'mean of {len(values)} seeds {mean}'


def _meanings(entries: Sequence[Mapping[str, Any]]) -> table.Table:
  return table.by_row(
    'what the difference to the study means',
    ('the difference',),
    entries,
    lambda entry: [' '.join(filter(None, (_figures(entry), entry['meaning']))) or NONE],
  )


def _figures(entry: Mapping[str, Any]) -> str:
  """The study's accuracy and ours in a sentence; empty where one of them is missing."""
  study, split = entry['study']['accuracy'], next((s for s in TITLES if s in entry['metrics']), '')
  if not study or not split:
    return ''
  value, trained = entry['metrics'][split]['accuracy']['value'], list(entry['training'].values())
  spread, means = entry['spread'].get(split), ''
  if spread and spread['accuracy']['mean'] is not None:
    value, means = spread['accuracy']['mean'], f', means of {len(spread["accuracy"]["values"])} seeds'
  else:
    # Of the seed that the other figure is of.
    trained = trained[:1]
  ours = f'{split_section.number(value)} on {TITLES[split]}{means}'
  if trained:
    ours = f'{statistics.fmean(each["accuracy"] for each in trained):.3f} in training and {ours}'
  return f'{study:.3g} in the study; here {ours}.'


def _pairs(entries: Sequence[Mapping[str, Any]]) -> table.Table:
  titles = {entry['name']: entry['title'] for entry in entries}
  known = table.splits(entries)

  def cells(entry: Mapping[str, Any]) -> list[str]:
    comparison = entry['comparison']
    figures = [_difference(comparison, split) for split in known]
    if not comparison:
      figures[0] = 'not run' if entry['state'] == run_folder.NOT_RUN else 'no common run'
    return [titles.get(entry['reference'], NONE), *figures]

  head = ('compared with', *(f'accuracy gained, {TITLES[split]}' for split in known))
  return table.by_row('paired comparisons', head, [entry for entry in entries if entry['reference']], cells)


def _difference(comparison: Mapping[str, Any], split: str) -> str:
  if split not in comparison.get('splits', {}):
    return NONE
  texts: list[str] = []
  for one in (comparison, *comparison['other_seeds']):
    if split in one['splits']:
      entry = one['splits'][split]['accuracy']
      bounds = '' if entry['low'] is None else f' [{entry["low"]:+z.3f}, {entry["high"]:+z.3f}]'
      seed = f'seed {one["seed"]}: ' if texts else ''
      chance = 'p < 0.001' if entry['p_value'] < 0.0005 else f'p {entry["p_value"]:.3f}'
      texts.append(f'{seed}{entry["difference"]:+z.3f}{bounds}, {chance}')
  return '; '.join(texts)


def _seeds(entries: Sequence[Mapping[str, Any]]) -> table.Table:
  known = table.splits(entries)

  def values(entry: Mapping[str, Any], split: str) -> str:
    figures = entry['spread'].get(split, {}).get('accuracy', {'values': []})
    return ', '.join(map(split_section.number, figures['values'])) or NONE

  def cells(entry: Mapping[str, Any]) -> list[str]:
    return [', '.join(map(str, entry['seeds'])), *(values(entry, split) for split in known)]

  head = ('seeds', *(TITLES[split] for split in known))
  return table.by_row('accuracy by seed', head, [entry for entry in entries if entry['spread']], cells)


def _chosen(entries: Sequence[Mapping[str, Any]]) -> table.Table:
  def cells(entry: Mapping[str, Any]) -> list[str]:
    if not entry['chosen']:
      return [entry['state'], NONE]
    return [', '.join(entry['chosen'].get(split, ())) or 'nothing' for split in ('train', 'validation')]

  return table.by_row('what was fitted or chosen', ('on training', 'on validation'), entries, cells)


def _runs(entries: Sequence[Mapping[str, Any]]) -> table.Table:
  parts = []
  for name, some in table.groups(entries):
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
  return table.Table('runs', ('row', 'name', 'seed', 'folder', 'state'), parts)
