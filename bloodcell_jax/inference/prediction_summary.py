"""What `predict` prints at its end: the count, what was left out, and what must be known to read them."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from bloodcell_jax.inference import classifier, differential_count, overlays
from bloodcell_jax.reports import report
from bloodcell_jax.runs import unlike_measure
from bloodcell_jax.stats import calibration, unlike
from bloodcell_jax.storage import prediction_folder, workdir

_MOST_PROBLEMS = 20


def lines(
  target: pathlib.Path, folder: workdir.Workdir, loaded: classifier.Classifier, about: dict[str, Any]
) -> Iterator[str]:
  """The lines, in order.

  Args:
    target: the folder of the prediction.
    folder: of the run.
    loaded: what predicted.
    about: what `predict.json` holds.
  """
  difference, problems = about['differential'], about['problems']
  for problem in problems[:_MOST_PROBLEMS]:
    yield f'left out: {problem}'
  if len(problems) > _MOST_PROBLEMS:
    yield f'and {len(problems) - _MOST_PROBLEMS:,} more, in {target / prediction_folder.FILE}'
  if first := unlike.line(difference['unlike']):
    yield first
  for name, entry in difference['classes'].items():
    share = '' if entry['share'] is None else f' {entry["share"]:.1%}'
    if share and entry['low'] is not None:
      share += f' [{entry["low"]:.1%}, {entry["high"]:.1%}]'
    yield f'  {name}: {entry["count"]:,}{share}'
  for line in differential_count.left_for_review(difference):
    yield f'  {line}'
  if loaded.measure is None:
    yield unlike_measure.missing(folder)
  if loaded.rule is None:
    yield 'the run has no calibration.json, so every cell is accepted; evaluate the run to calibrate it'
  yield from filter(
    None,
    (
      differential_count.duplicates(difference),
      differential_count.not_counted(difference),
      *differential_count.warnings(difference),
      calibration.left_for_review(loaded.rule),
      loaded.note,
    ),
  )
  more = ', overlays/' if (target / overlays.FOLDER).is_dir() else ''
  yield f'{target / "predictions.csv"}, differential.csv, review.html, count.html, count.csv{more}'
  yield report.RESEARCH_ONLY
