"""Classified cells of unlabelled photographs, and their differential count."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import cell, types, wording
from bloodcell_jax.data.images import image_files
from bloodcell_jax.fields import detector
from bloodcell_jax.stats import calibration, conformal, differential, unlike
from bloodcell_jax.system import atomic

UNCLASSIFIED = 'unclassified'
UNLIKE = unlike.WITHHELD
# Cells with these marks are classified but not counted: a class is told from the whole cell.
LEFT_OUT = (detector.CUT, detector.SMUDGED)
# If more than this share is left for review, the shares of the accepted cells can be further from those of all cells
# than the sampling error of 200 cells.
MOST_LEFT = 0.05


@dataclasses.dataclass(frozen=True)
class ClassifiedCells:
  """Cells with their calibrated probabilities and classes."""

  cells: tuple[cell.Cell, ...]  # N
  probs_NK: np.ndarray  # calibrated if the run has a temperature
  likeliest: tuple[str, ...]  # N
  predicted: tuple[
    str, ...
  ]  # N: the likeliest class; UNCLASSIFIED below the run's threshold; UNLIKE if withheld
  sets: tuple[
    tuple[str, ...], ...
  ]  # N: the conformal set; empty if the run is not calibrated or the cell is unlike
  class_names: tuple[str, ...]  # K
  calibrated: bool
  judgement: unlike.Judgement | None  # None if the run has no measure of unlike images
  # N: the row of the same cell in an overlapping photograph, which is counted in place of this one; None for none.
  repeat_of: tuple[int | None, ...]

  def __len__(self) -> int:
    return len(self.cells)

  @property
  def has_boxes(self) -> bool:
    """Whether a photograph may hold several cells."""
    return any(one.box is not None for one in self.cells)

  @property
  def countable(self) -> list[int]:
    """The rows that a count is of, in order: every cell once, those with a mark of LEFT_OUT not at all."""
    first: dict[str, int] = {}
    for row, one in enumerate(self.cells):
      if self.repeat_of[row] is None and not is_left_out(one):
        first.setdefault(one.key, row)
    return list(first.values())


def is_left_out(one: cell.Cell) -> bool:
  """Whether the cell is seen too badly to be counted."""
  return any(mark in LEFT_OUT for mark in one.marks)


def classify(
  cells: Sequence[cell.Cell],
  probs_NK: np.ndarray,
  names: Sequence[str],
  rule: calibration.Calibration | None,
  judgement: unlike.Judgement | None,
) -> ClassifiedCells:
  """Applies a run's calibration to its predictions.

  Args:
    cells: N.
    probs_NK: as the network gives them.
    names: K classes.
    rule: the run's calibration; without one every cell is accepted and no set is given.
    judgement: how unlike the training the cells are; None if it is not known.
  """
  nothing = np.zeros(len(cells), np.str_)
  scaled = types.Predictions(probs_NK, np.zeros(len(cells), np.int32), nothing, nothing, tuple(names))
  if rule is not None:
    scaled = calibration.scaled(scaled, rule.temperature)
  accepted_N = np.ones(len(cells), bool) if rule is None else calibration.is_accepted(rule, scaled)
  nowhere_N = np.zeros(len(cells), bool)
  unlike_N, withheld_N = (
    (nowhere_N, nowhere_N) if judgement is None else (judgement.is_unlike_N, judgement.withheld_N)
  )
  likeliest = tuple(names[k] for k in scaled.probs_NK.argmax(1))
  if rule is None:
    sets: tuple[tuple[str, ...], ...] = ((),) * len(cells)
  else:
    inside_NK = conformal.sets(rule.conformal, scaled.probs_NK)
    # No set of an unlike image is valid, whether its class is named or not.
    inside_NK &= ~unlike_N[:, None]
    sets = tuple(tuple(name for name, inside in zip(names, row, strict=True) if inside) for row in inside_NK)
  predicted = tuple(
    UNLIKE if withheld else name if sure else UNCLASSIFIED
    for name, sure, withheld in zip(likeliest, accepted_N, withheld_N, strict=True)
  )
  return ClassifiedCells(
    tuple(cells), scaled.probs_NK, likeliest, predicted, sets, tuple(names), rule is not None, judgement,
    (None,) * len(cells),
  )  # fmt: skip


def count(classified: ClassifiedCells, confidence: float) -> dict[str, Any]:
  """The differential count of the `countable` cells: two files with the same bytes are one photograph.

  Returns:
    `classes`: by class `{count, share, low, high, likeliest}`, the first four of the accepted cells (`num_named`), the
    last of all that are counted by likeliest class; `low` and `high` are None where unlike cells are named.
    `num_images` and `num_cells` count photographs with cells and the cells to be counted, `num_repeats` cells that an
    overlapping photograph shows again, `left_out` those with a mark of LEFT_OUT by mark, `num_unclassified` the cells
    in doubt, `num_unlike` those withheld as unlike, both left for review, `num_duplicates` the files that repeat the
    bytes of another one. `unlike` is `unlike.summary` of the cells to be counted, its folders with all cells; None
    without a measure.
  """
  rows = classified.countable
  predicted, likeliest = (
    [column[row] for row in rows] for column in (classified.predicted, classified.likeliest)
  )
  counts = [predicted.count(name) for name in classified.class_names]
  total = sum(counts)
  bounds_K2 = differential.intervals(counts, confidence)
  judgement = classified.judgement
  about = None
  if judgement is not None:
    about = {**unlike.summary(judgement.take(rows)), unlike.COUNTED: 'cells'}
  # The interval is of cells of the training's kind.
  holds = not (about and about['kept'])
  num_images = len({one.digest for one in classified.cells})
  return {
    'num_images': num_images,
    'num_cells': len(rows),
    'num_repeats': len(
      {one.key for one, row in zip(classified.cells, classified.repeat_of, strict=True) if row is not None}
    ),
    'left_out': left_out(classified),
    'num_duplicates': len({(one.file, one.digest) for one in classified.cells}) - num_images,
    'num_named': total,
    'num_unclassified': predicted.count(UNCLASSIFIED),
    'num_unlike': predicted.count(UNLIKE),
    'unlike': about,
    'confidence': confidence,
    'classes': {
      name: {
        'count': num,
        'share': num / total if total else None,
        'low': float(low) if holds else None,
        'high': float(high) if holds else None,
        'likeliest': likeliest.count(name),
      }
      for name, num, (low, high) in zip(classified.class_names, counts, bounds_K2, strict=True)
    },
  }


def left_out(classified: ClassifiedCells) -> dict[str, int]:
  """How many cells are not counted, by the first of their marks in LEFT_OUT; cells counted elsewhere are not here."""
  seen = {
    one.key: next(mark for mark in LEFT_OUT if mark in one.marks)
    for one, repeated in zip(classified.cells, classified.repeat_of, strict=True)
    if repeated is None and is_left_out(one)
  }
  marks = list(seen.values())
  return {mark: marks.count(mark) for mark in LEFT_OUT if mark in marks}


def warnings(counted: dict[str, Any]) -> list[str]:
  """Warnings about a count of few cells, or one that leaves many cells for review."""
  lines = []
  num, few = counted['num_named'], differential.LEAST_CELLS
  if not counted['num_cells']:
    return ['There is no cell to count.']
  if not num:
    return ['No cell was accepted; the count begins with your labels.']
  if num < few:
    lines.append(
      f'{num} {"cell was" if num == 1 else "cells were"} accepted, fewer than {few}: too few for a differential count, '
      'as the width of the intervals shows.'
    )
  left = (counted['num_unclassified'] + counted['num_unlike']) / max(1, counted['num_cells'])
  if left > MOST_LEFT:
    lines.append(
      f'{left:.0%} of the cells are left for review. The network abstains on some classes more often than on others, '
      'so the shares of the accepted cells are not a differential count until the rest is reviewed.'
    )
  return lines


def left_for_review(counted: dict[str, Any]) -> list[str]:
  """Lines about the cells without a class, of both kinds, and about all of them."""
  kinds = {UNCLASSIFIED: counted['num_unclassified'], UNLIKE: counted['num_unlike']}
  lines = [f'{name}: {num:,}' for name, num in kinds.items() if num]
  left = sum(kinds.values())
  again = '; review.html counts again with your labels' if left else ''
  return [*lines, f'left for review: {left:,} of {counted["num_cells"]:,}{again}']


def duplicates(counted: dict[str, Any]) -> str:
  """A line about the files that are not counted because another one has the same bytes; '' if there are none."""
  num = counted['num_duplicates']
  if not num:
    return ''
  repeats = '1 file repeats another file' if num == 1 else f'{num:,} files repeat other files'
  return f'{repeats} byte for byte; each cell is counted once.'


def not_counted(counted: dict[str, Any]) -> str:
  """A line about what is not counted: cells that another photograph shows as well, and marked ones; '' for none."""
  repeats, marked = counted['num_repeats'], sum(counted['left_out'].values())
  lines = []
  if repeats:
    what = '1 repeat of a cell' if repeats == 1 else f'{repeats:,} repeats of cells'
    lines.append(f'not counted: {what} in overlapping photographs of one field')
  if marked:
    by_mark = ', '.join(f'{num:,} {mark}' for mark, num in counted['left_out'].items())
    lines.append(f'not counted, because a class is told from a whole cell: {by_mark}')
  return '. '.join(wording.capital(line) for line in lines) + ('.' if lines else '')


def write_predictions(path: str | os.PathLike[str], classified: ClassifiedCells) -> None:
  """`predictions.csv`, one line per cell.

  Its columns are `file, predicted, likeliest, confidence, set, prob_<CLASS>..., unlike, unlike_reason, sha256_16`;
  `unlike` is empty where the run has no measure of it.

  Where photographs hold several cells, `cell, left, top, right, bottom` follow `file`, in pixels of the photograph, and
  `marks` and `repeat_of` come last: what makes a cell doubtful, and FILE#CELL of the same cell in an overlapping
  photograph, which is counted in its place. Marks and the classes of a set are separated by semicolons.
  """
  columns = _columns(classified)
  rows: list[list[Any]] = [list(columns)]
  rows += ([cell_of(i) for cell_of in columns.values()] for i in range(len(classified)))
  atomic.write_csv(path, rows)


def _columns(classified: ClassifiedCells) -> dict[str, Callable[[int], Any]]:
  """By name of a column of `predictions.csv`, in order: the cell of a row."""
  cells, probs_NK, judgement = classified.cells, classified.probs_NK, classified.judgement
  places: dict[str, Callable[[int], Any]] = {'cell': lambda i: cells[i].number}
  places |= {side: functools.partial(_side, cells, side) for side in ('left', 'top', 'right', 'bottom')}
  last: dict[str, Callable[[int], Any]] = {
    'marks': lambda i: ';'.join(cells[i].marks),
    'repeat_of': lambda i: _name(cells, classified.repeat_of[i]),
  }
  return {
    'file': lambda i: cells[i].file,
    **(places if classified.has_boxes else {}),
    'predicted': lambda i: classified.predicted[i],
    'likeliest': lambda i: classified.likeliest[i],
    'confidence': lambda i: f'{probs_NK[i].max():.6f}',
    'set': lambda i: ';'.join(classified.sets[i]),
    **{
      f'prob_{name}': functools.partial(_probability, probs_NK, k)
      for k, name in enumerate(classified.class_names)
    },
    'unlike': lambda i: f'{judgement.unlike_N[i]:.4f}' if judgement else '',
    'unlike_reason': lambda i: judgement.reason_N[i] if judgement else '',
    'sha256_16': lambda i: image_files.marked(cells[i].digest),
    **(last if classified.has_boxes else {}),
  }


def _name(cells: Sequence[cell.Cell], row: int | None) -> str:
  return '' if row is None else f'{cells[row].file}#{cells[row].number}'


def _side(cells: Sequence[cell.Cell], side: str, i: int) -> int | str:
  box = cells[i].box
  return getattr(box, side) if box else ''


def _probability(probs_NK: np.ndarray, k: int, i: int) -> str:
  return f'{probs_NK[i, k]:.6f}'


def write_count(path: str | os.PathLike[str], counted: dict[str, Any]) -> None:
  """`differential.csv`: `class, count, share, low, high, likeliest`; unlike cells first, if any, unclassified
  after the classes, cells that are not counted last."""
  rows: list[list[Any]] = [['class', 'count', 'share', 'low', 'high', 'likeliest']]
  if counted['num_unlike']:
    rows.append([UNLIKE, counted['num_unlike'], '', '', '', ''])
  for name, entry in counted['classes'].items():
    shares = ['' if entry[key] is None else f'{entry[key]:.4f}' for key in ('share', 'low', 'high')]
    rows.append([name, entry['count'], *shares, entry['likeliest']])
  rows.append([UNCLASSIFIED, counted['num_unclassified'], '', '', '', ''])
  rows += ([f'not counted: {mark}', num, '', '', '', ''] for mark, num in counted['left_out'].items())
  if counted['num_repeats']:
    rows.append(['not counted: shown again', counted['num_repeats'], '', '', '', ''])
  atomic.write_csv(path, rows)
