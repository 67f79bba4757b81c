"""What stands above the tables of a study's page: how much of it there is, its images, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.reports import report
from bloodcell_jax.study import run_folder, table


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
    for split, name in (('train', 'training'), ('validation', 'validation'), *table.TITLES.items())
    if split in counts
  ]
  return f'{data["name"]}: {"; ".join(parts)}.'


def notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
  """What a reader needs before the figures."""
  found = list(dict.fromkeys(entry['note'] for entry in entries if entry['note']))
  if any('ynthetic' in note for note in found):
    found.append("They cannot be compared with the study's; this page only shows that every row works.")
  if mixed := _evaluated_differently(entries):
    found.append(f'Rows or seeds were evaluated differently, and their figures do not compare: {mixed}.')
  if collapsed := [entry for entry in entries if entry['collapsed']]:
    found.append(f'{"; ".join(map(_collapse, collapsed))}: nothing was learned there.')
  short = [entry for entry in entries if (share := table.share(entry)) is not None and share < 0.9]
  if short:
    least = min(share for entry in short if (share := table.share(entry)) is not None)
    rows, own, they = ('row is', 'its', 'it is') if len(short) == 1 else ('rows are', 'their', 'they are')
    found.append(
      f'{len(short)} {rows} shorter than {own} whole length, the shortest with {table.percent(least)} of it: '
      f'{they} not trained to the end.'
    )
  if uneven := [entry for entry in entries if len(table.shares(entry)) > 1]:
    found.append(
      f'{"; ".join(map(_lengths, uneven))}: these seeds differ in length, and their means mix that.'
    )
  return [*found, report.RESEARCH_ONLY]


def _evaluated_differently(entries: Sequence[Mapping[str, Any]]) -> str:
  """The keys of `evaluate` in which complete runs differ, each with its values; empty where they differ in none."""
  every = [keys for entry in entries for keys in entry['evaluations']]
  values = {
    key: [keys[key] for keys in every if key in keys] for key in dict.fromkeys(k for e in every for k in e)
  }
  return '; '.join(
    f'{key} is {" and ".join(dict.fromkeys(str(value) for value in some))}'
    for key, some in values.items()
    if any(value != some[0] for value in some)
  )


def _lengths(entry: Mapping[str, Any]) -> str:
  of_seeds = (f'seed {seed} has {length}' for seed, length in entry['length']['by_seed'].items())
  return f'{entry["title"]}, {", ".join(of_seeds)}'


def _collapse(entry: Mapping[str, Any]) -> str:
  seeds, names = entry['collapsed'], dict.fromkeys(entry['collapsed'].values())
  return f'{entry["title"]}, seed {", ".join(seeds)}: every image is predicted as {" or ".join(names)}'
