"""What the review page says above the cells: where they come from, the differential count, files left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bloodcell_jax.inference import differential_count
from bloodcell_jax.reports import page, report
from bloodcell_jax.storage import prediction_folder, workdir

_MOST_PATHS = 5


def sources(about: dict[str, Any]) -> str:
  """A line about where the images and the network come from."""
  run = about[prediction_folder.RUN]
  line = f'Images: {paths(about)}. Run: {run} (fingerprint {about[prediction_folder.MODEL]}).'
  return f'<p class="small file">{page.text(line)}</p>'


def paths(about: dict[str, Any]) -> str:
  """The first paths that were predicted, and how many more there are."""
  named = about[prediction_folder.PATHS]
  more = len(named) - _MOST_PATHS
  return ', '.join(named[:_MOST_PATHS]) + (f' and {more:,} more' if more > 0 else '')


def differential(difference: dict[str, Any]) -> str:
  """The differential count as a table."""
  rows = [
    (
      name,
      f'{entry["count"]:,}',
      'n/a' if entry['share'] is None else f'{entry["share"]:.1%}',
      'n/a' if entry['low'] is None else f'{entry["low"]:.1%} to {entry["high"]:.1%}',
      f'{entry["likeliest"]:,}',
    )
    for name, entry in difference['classes'].items()
  ]
  if difference['num_unlike']:
    rows.insert(0, (differential_count.UNLIKE, f'{difference["num_unlike"]:,}', '', '', ''))
  rows.append((differential_count.UNCLASSIFIED, f'{difference["num_unclassified"]:,}', '', '', ''))
  confidence = f'{100 * difference["confidence"]:g} %'
  duplicates = ' '.join(
    filter(None, (differential_count.duplicates(difference), differential_count.not_counted(difference)))
  )
  return (
    '<h2>Differential count</h2>'
    + page.table(
      'cells by class',
      ('class', 'accepted', 'share of accepted', f'{confidence} interval', 'all, by likeliest class'),
      rows,
    )
    + (f'<p class="small">{page.text(duplicates)}</p>' if duplicates else '')
    + '<p class="small">The intervals (Goodman 1965) are simultaneous and describe the sampling of cells. They do not '
    'allow for the errors of the network; those in count.html do.</p>'
  )


def performance(folder: workdir.Workdir) -> str:
  """A line about the figures of the network on labelled images; '' if the run has none."""
  if not folder.metrics.exists():
    return ''
  line = report.performance(folder)
  return f'<p>{page.text(line)}</p>' if line else ''


def problems(lines: Sequence[str]) -> str:
  """The files that were left out; '' if there are none."""
  if not lines:
    return ''
  items = ''.join(f'<li>{page.text(line)}</li>' for line in lines[:100])
  more = f'<p>and {len(lines) - 100:,} more, in predict.json</p>' if len(lines) > 100 else ''
  return f'<h2>Files left out: {len(lines):,}</h2><ul class="small">{items}</ul>{more}'
