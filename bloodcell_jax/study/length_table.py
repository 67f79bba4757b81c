"""The section of a study's page on length, time and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.study import table
from bloodcell_jax.study.table import NONE

TEXT = (
  "Length: epochs of each stage x updates an epoch, of each network. The whole length is the study's where it gives "
  'one.',
  'Seconds are of training alone: the median epoch, and in brackets the fastest. Other work on the machine makes '
  'epochs slower; the fastest is nearest to what it can do. Where seeds differ in updates an epoch, the epochs with '
  'the most updates are timed.',
  'An epoch of the whole length has more updates than one of a shorter run: its seconds are those of an update times '
  "their number, and stand beside the study's.",
  'The frozen blocks of VGG16 are computed once for all rows that share them and are not in these seconds; the study '
  'computed them anew for each update. Its seconds are from a computer without a usable GPU, of another make.',
)


def section(entries: Sequence[Mapping[str, Any]]) -> table.Section:
  """The section."""
  head = (
    'parameters', 'networks', 'epochs x updates', 'whole length', 'share', 'seconds an epoch',
    'seconds an epoch of the whole length', 'seconds an epoch in the study',
  )  # fmt: skip
  return table.Section(
    'time',
    'Length, time and parameters',
    TEXT,
    [table.by_row('length, time and parameters', head, entries, _cells)],
  )


def cell(entry: Mapping[str, Any]) -> str:
  """The lengths of a row's runs, each with the share of its own, for a cell of another table."""
  return ', '.join(f'{text} ({table.percent(share)})' for text, share in table.shares(entry).items()) or NONE


def _cells(entry: Mapping[str, Any]) -> list[str]:
  length, shares = entry['length'], table.shares(entry)
  own, updates = length['own'], entry['updates_per_epoch']
  median, fastest = entry['seconds_per_epoch'], entry['fastest_epoch']
  factor = own['steps_per_epoch'] / updates if own and updates else None
  published = entry['study']['seconds']
  return [
    NONE if entry['num_parameters'] is None else f'{entry["num_parameters"]:,}',
    str(length['networks']) if own else 'trees',
    ', '.join(shares) or NONE,
    f'{" + ".join(map(str, own["epochs"]))} x {own["steps_per_epoch"]}' if own else NONE,
    ', '.join(map(table.percent, shares.values())) or NONE,
    _seconds(median, fastest),
    NONE if factor is None or median is None else _seconds(median * factor, fastest * factor),
    f'{published[0]:,} to {published[1]:,}' if published else NONE,
  ]


def _seconds(median: float | None, fastest: float | None) -> str:
  return NONE if median is None or fastest is None else f'{_number(median)} ({_number(fastest)})'


def _number(seconds: float) -> str:
  return f'{seconds:,.0f}' if seconds >= 10 else f'{seconds:.2g}'
