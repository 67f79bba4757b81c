"""What the report of a cross-validation says of its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.reports import page, split_section
from bloodcell_jax.stats import metrics

SECTION = ('folds', 'Folds')


def trained_on(folds: Mapping[str, Any]) -> str:
  """A sentence on the number of photographs and images that each network was trained on.

  Example:
    >>> trained_on({'num_folds': 2, 'trained_on': [[10, 98], [11, 98]]})
    'Each of 2 networks, one for each fold, was trained on 10 to 11 photographs, 98 images.'
  """
  networks = f'{folds["num_folds"]} networks, one for each fold'
  # Those of earlier versions do not say how many.
  if 'trained_on' not in folds:
    return f'Trained: {networks}.'
  photographs, images = zip(*folds['trained_on'], strict=True)
  return f'Each of {networks}, was trained on {_range(photographs)} photographs, {_range(images)} images.'


def _range(numbers: Sequence[int]) -> str:
  low, high = min(numbers), max(numbers)
  return f'{low:,}' if low == high else f'{low:,} to {high:,}'


def section(folds: Mapping[str, Any]) -> str:
  """The figures of each fold, their mean and their standard deviation, as HTML; `folds` as in `metrics.json`."""
  rows = []
  for split, figures in folds['splits'].items():
    known = [figure for figure in metrics.FIGURES if figure.name in figures]
    columns = [figures[figure.name] for figure in known]
    each = zip(*(column['values'] for column in columns), strict=True)
    rows += [(f'{split}, fold {k + 1}', *map(split_section.number, values)) for k, values in enumerate(each)]
    for name, title in (('mean', 'mean'), ('sd', 'standard deviation')):
      rows.append((f'{split}, {title}', *(split_section.number(column[name]) for column in columns)))
  head = ('split', *(figure.title for figure in known))
  return (
    page.heading(*SECTION)
    + f'<p>{folds["num_folds"]} networks, each trained without the images of its fold, '
    'on which nothing was chosen or fitted either. Each has its own report, folds/K/report.html.</p>'
    + page.table('figures of each fold', head, rows)
  )
