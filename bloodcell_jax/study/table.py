"""A table and a section of a study's page, and how lengths and shares are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# The test splits, the one to read first before the others.
TITLES = {
  'test_clean': 'TEST-clean',
  'test': 'TEST',
  'test_simple': 'TEST_SIMPLE',
}
NONE = '–'


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


def groups(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
  """The entries under their headings, in the order of the first of each."""
  for name in dict.fromkeys(entry['group'] for entry in entries):
    yield name, [entry for entry in entries if entry['group'] == name]


def by_row(
  caption: str,
  head: Sequence[str],
  entries: Sequence[Mapping[str, Any]],
  cells: Callable[[Mapping[str, Any]], Sequence[str]],
) -> Table:
  """A table with a line for each row of the study; `cells` gives those of an entry after its title."""
  parts = [(name, [(e['title'], *cells(e)) for e in some]) for name, some in groups(entries)]
  return Table(caption, ('row', *head), parts)


def splits(entries: Sequence[Mapping[str, Any]]) -> list[str]:
  """The test splits that any row has figures of."""
  return [split for split in TITLES if any(split in entry['metrics'] for entry in entries)] or ['test']


def share(entry: Mapping[str, Any]) -> float | None:
  """The updates of a row's shortest run as a share of its own; None before the first run, and for trees."""
  return min(shares(entry).values(), default=None)


def shares(entry: Mapping[str, Any]) -> dict[str, float]:
  """The lengths that the runs of a row have, each with its updates as a share of the row's own; empty for trees."""
  length = entry['length']
  return {
    text: length['updates_by_seed'][seed] / length['own']['updates']
    for seed, text in length['by_seed'].items()
  }


def percent(value: float) -> str:
  """A share for people.

  Example:
    >>> percent(1.0), percent(0.052), percent(0.0004)
    ('100%', '5.2%', 'less than 0.1%')
  """
  if value < 0.001:
    return 'less than 0.1%'
  return f'{value:.0%}' if value >= 0.0995 else f'{value:.1%}'
