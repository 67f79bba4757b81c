"""`count.html`: the count on a page to print, with room for the people who review it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from bloodcell_jax.base import types, wording
from bloodcell_jax.inference import (
  classifier,
  differential_count,
  error_rates,
  file_predictions,
  laboratory_count,
  page_sections,
  reviewers,
)
from bloodcell_jax.reports import page, report
from bloodcell_jax.stats import calibration, unlike
from bloodcell_jax.storage import prediction_folder, workdir
from bloodcell_jax.system import atomic

_STYLE = """<style>
.count table { font-size: 1rem; } .count { margin: 1rem 0; }
.sign { display: grid; grid-template-columns: repeat(2, 1fr); gap: 3rem 2rem; margin-top: 3rem; }
.sign div { border-top: 1px solid #1c1c1c; padding-top: .25rem; font-size: .85rem; }
@page { size: A4; margin: 18mm; }
@media print { body { font-size: 10.5pt; padding: 0; } .count table { font-size: 10.5pt; } .sign {
  break-inside: avoid; } }
</style>"""


def write(
  target: pathlib.Path,
  folder: workdir.Workdir,
  loaded: classifier.Classifier,
  classified: differential_count.ClassifiedCells,
  about: dict[str, Any],
  wanted: laboratory_count.Wanted,
) -> laboratory_count.Count:
  """Writes `count.html` and `count.csv`; returns the count that they show.

  Args:
    target: folder of the prediction.
    folder: of the run.
    loaded: what predicted.
    classified: all cells.
    about: what `predict.json` holds.
    wanted: what the user asked for.
  """
  confidence, seed = loaded.job.experiment.intervals.confidence, loaded.job.experiment.seed
  counted = laboratory_count.count(
    classified,
    wanted.num,
    error_rates.read(folder, loaded.class_names, loaded.rule, loaded.job.experiment.data.source),
    reviewers.compare(wanted.reviewers, classified.cells, confidence, seed) if wanted.reviewers else None,
    confidence,
    seed,
  )
  laboratory_count.write(target / 'count.csv', counted)
  facts = [
    ('Photographs', page_sections.paths(about)),
    ('Network', f'{folder.path.name}, fingerprint {about[prediction_folder.MODEL]}'),
    # Of all photographs, however many cells are counted.
    ('Of all photographs', differential_count.not_counted(about['differential']) or 'every cell is counted'),
  ]
  first = unlike.line(about['differential']['unlike'])
  notes = [
    *(wording.capital(line) for line in (first, calibration.left_for_review(loaded.rule))),
    without_cells(about['photographs']),
    loaded.note,
    report.RESEARCH_ONLY,
  ]
  text = render(counted, f'Differential count of {target.name}', facts, list(filter(None, notes)))
  atomic.write_text(target / 'count.html', text)
  return counted


def photographs(
  predictions: file_predictions.CellPredictions, left_out: Sequence[types.Problem]
) -> dict[str, int]:
  """How many photographs were `read`, in how many of them there is `no_cell`, and how many files are `unusable`.

  Args:
    predictions: of all files.
    left_out: files that were named and are no image.
  """
  no_cell = sum(problem.reason == file_predictions.NO_CELL for problem in predictions.problems)
  return {
    'read': len({one.file for one in predictions.cells}) + no_cell,
    'no_cell': no_cell,
    'unusable': len(left_out) + len(predictions.problems) - no_cell,
  }


def without_cells(numbers: dict[str, int]) -> str:
  """A line about the photographs in which nothing was counted; '' if there is none.

  Args:
    numbers: as from `photographs`.
  """
  read, no_cell, unusable = numbers['read'], numbers['no_cell'], numbers['unusable']
  lines = []
  if no_cell:
    lines.append(f'{wording.counted(read, "photograph")} searched, {no_cell:,} of them without a white cell')
  if unusable:
    lines.append(f'{wording.counted(unusable, "file")} could not be used, named in {prediction_folder.FILE}')
  return '; '.join(lines) + ('.' if lines else '')


def render(
  counted: laboratory_count.Count, title: str, facts: Sequence[tuple[str, str]], notes: Sequence[str]
) -> str:
  """The page, self-contained.

  Args:
    counted: what was counted.
    title: of the page.
    facts: (what, which) of the prediction, such as its images and its network.
    notes: what must be read first.
  """
  num = len(counted.rows)
  all_files = counted.num_photographs
  cells = f'{wording.counted(num, "cell")} in '
  if counted.num_files == all_files:
    cells += wording.counted(all_files, 'photograph')
  else:
    cells += f'{counted.num_files:,} of {all_files:,} photographs with white cells'
  order = (
    f'the first {num:,} of {counted.num_countable:,} in the order of the photographs'
    if num < counted.num_countable
    else 'all that can be counted'
  )
  named = [f'{counted.num_named:,} named']
  named += [f'{counted.num_unclassified:,} in doubt'] if counted.num_unclassified else []
  named += [f'{counted.num_unlike:,} withheld as unlike the training images'] if counted.num_unlike else []
  parts = [
    _STYLE,
    f'<h1>{page.text(title)}</h1>',
    f'<p><strong>{page.text(cells)}</strong>, {order}: {page.text(", ".join(named))}.</p>'
    if num
    else '<p><strong>There is no cell to count.</strong></p>',
    *(f'<p class="note" role="note">{page.text(note)}</p>' for note in notes),
    f'<div class="count">{_table(counted)}</div>',
    *(f'<p>{page.text(line)}</p>' for line in laboratory_count.remarks(counted)),
    '<dl class="small">'
    + ''.join(
      f'<dt><strong>{page.text(what)}</strong></dt><dd>{page.text(which)}</dd>' for what, which in facts
    )
    + '</dl>',
    '<div class="sign">'
    + ''.join(f'<div>{words}</div>' for words in ('Reviewed by, date', 'Reviewed by, date'))
    + '</div>',
  ]
  return page.whole(title, parts)


def _table(counted: laboratory_count.Count) -> str:
  # From the figures themselves: those of count.csv are rounded, and would be rounded again.
  rows = []
  for k, name in enumerate(counted.class_names):
    num, shares = int(counted.count_K[k]), counted.shares
    share = f'{num / counted.num_named:.1%}' if counted.num_named else 'n/a'
    corrected, interval = 'n/a', 'n/a'
    if shares is not None:
      corrected, interval = f'{shares.value_K[k]:.1%}', f'{shares.low_K[k]:.1%} to {shares.high_K[k]:.1%}'
    rows.append((name, str(num), share, corrected, interval))
  rows.append((differential_count.UNCLASSIFIED, str(counted.num_unclassified), '', '', ''))
  if counted.num_unlike:
    rows.append((differential_count.UNLIKE, str(counted.num_unlike), '', '', ''))
  rows.append(('all', str(len(counted.rows)), '', '', ''))
  percent = f'{100 * counted.confidence:g} %'
  head = ('class', 'cells', 'share of named cells', 'corrected for errors', f'{percent} interval')
  return page.table('white blood cells by class', head, rows)
