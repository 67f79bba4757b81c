"""The count as a laboratory reads it: so many cells in the order of the photographs, corrected for errors."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.inference import differential_count, error_rates, reviewers
from bloodcell_jax.stats import corrected_shares, unlike
from bloodcell_jax.system import atomic


@dataclasses.dataclass(frozen=True)
class Wanted:
  """What the user asks for."""

  num: int  # cells; 0 for all
  reviewers: reviewers.Lists | None  # to be compared; None for none


@dataclasses.dataclass(frozen=True)
class Count:
  """So many cells by class."""

  wanted: int  # 0: all
  rows: tuple[int, ...]  # of the cells that were counted
  num_files: int  # in which these are
  num_photographs: int  # with cells, counted or not
  num_countable: int  # cells, of which `rows` are the first
  class_names: tuple[str, ...]  # K
  count_K: np.ndarray  # named by the network
  num_unclassified: int
  num_unlike: int
  confidence: float
  holds: bool  # whether the error rates apply to these cells
  # None where the error rates are not known or do not hold, or no cell is named.
  shares: corrected_shares.Shares | None
  rates: error_rates.ErrorRates | None
  reviewers: reviewers.Reviewers | None

  @property
  def num_named(self) -> int:
    return int(self.count_K.sum())


def check(wanted: int) -> None:
  """Raises UserError for a number of cells below 0."""
  if wanted < 0:
    raise types.UserError(
      f'count is {wanted}; name how many cells to count, such as 100 or 200, or 0 for all'
    )


def count(
  classified: differential_count.ClassifiedCells,
  wanted: int,
  rates: error_rates.ErrorRates | None,
  compared: reviewers.Reviewers | None,
  confidence: float,
  seed: int,
) -> Count:
  """Counts the first cells.

  Args:
    classified: all cells.
    wanted: how many, those left for review included, as a laboratory counts; 0 for all.
    rates: of the network's errors, of all laboratories that trained it; None where they are not known.
    compared: two reviewers' labels; None for none.
    confidence: in (0, 1), of each interval.
    seed: of the draws.
  """
  countable = classified.countable
  rows = countable[: wanted or None]
  predicted = [classified.predicted[row] for row in rows]
  names = classified.class_names
  count_K = np.array([predicted.count(name) for name in names])
  num_unclassified = predicted.count(differential_count.UNCLASSIFIED)
  num_unlike = predicted.count(differential_count.UNLIKE)
  judgement = classified.judgement
  # The rates are of cells like the training's: a few others, not named, are left out as elsewhere.
  holds = judgement is None or not (
    unlike.is_foreign(unlike.summary(judgement)) or (judgement.keep and judgement.is_unlike_N[rows].any())
  )
  shares = None
  if rates is not None and holds and count_K.any():
    rates = error_rates.of_cells(rates, judgement and judgement.take(rows))
    outcome_J = np.append(count_K, num_unclassified)
    shares = corrected_shares.estimate(outcome_J, rates.outcome_GKJ, confidence, seed)
  files = {classified.cells[row].digest for row in rows}
  photographs = {one.digest for one in classified.cells}
  return Count(
    wanted, tuple(rows), len(files), len(photographs), len(countable), names, count_K, num_unclassified, num_unlike,
    confidence, holds, shares, rates, compared,
  )  # fmt: skip


def remarks(counted: Count) -> list[str]:
  """What must be read beside the figures, lines for people."""
  lines = []
  num = len(counted.rows)
  if counted.wanted and num < counted.wanted:
    lines.append(f'{counted.wanted:,} cells were asked for; there are {num:,} to count.')
  left = counted.num_unclassified + counted.num_unlike
  if left:
    lines.append(
      f'{left:,} of {num:,} cells are left for a person: choose "left for review" on review.html, which counts all '
      'cells again with your labels.'
    )
  if counted.shares is not None and counted.rates is not None:
    groups = len(counted.rates.outcome_GKJ)
    lines.append(
      f'The corrected shares and their {100 * counted.confidence:g} % intervals allow for how often the network errs '
      f'and abstains, measured on the {groups:,} groups of its {counted.rates.split} split'
      f'{_of_laboratory(counted.rates)}, and for the sampling of the cells. They hold if it errs as often on these '
      'photographs.'
    )
  elif len(counted.class_names) > corrected_shares.MOST_CLASSES:
    lines.append(
      f'Shares of more than {corrected_shares.MOST_CLASSES} classes are not corrected for the errors of the network.'
    )
  elif counted.rates is None:
    lines.append('The run keeps no predictions of labelled images, so its errors are not known here.')
  elif not counted.holds:
    lines.append(
      'The cells look like those of another laboratory, or cells unlike the training images were named all the same, '
      'so the error rates of the network do not hold.'
    )
  elif counted.rows:
    lines.append('No cell was named, so there are no shares to correct.')
  if counted.reviewers is not None:
    lines.append(agreed(counted.reviewers, counted.confidence))
  return lines


def _of_laboratory(rates: error_rates.ErrorRates) -> str:
  """Of which laboratories the groups are; '' where the run knows one alone."""
  known = np.unique(rates.laboratory_G).tolist()
  if known == ['']:
    return ''
  return (
    f' of {known[0]}, which most of the cells look like' if len(known) == 1 else f' of {" and ".join(known)}'
  )


def agreed(compared: reviewers.Reviewers, confidence: float) -> str:
  """A line about how far two reviewers agree, and which of their labels are of other cells."""
  found = compared.agreement
  one, other = compared.names
  left_out = ''
  if any(compared.others):
    numbers = ', '.join(
      f'{name} {num:,}' for name, num in zip(compared.names, compared.others, strict=True) if num
    )
    left_out = f' Labels of cells that are not in this prediction are left out: {numbers}.'
  if found is None:
    without = [name for name, num in zip(compared.names, compared.numbers, strict=True) if not num]
    reason = f'no cell of this prediction is labelled in {" or in ".join(without) or "both"}'
    return (
      f'{one} and {other} are not compared: {reason}. Give lists that its review.html exported.{left_out}'
    )
  interval = (
    'no interval'
    if np.isnan(found.low)
    else f'{100 * confidence:g} % interval {found.low:.2f} to {found.high:.2f}, resampling {found.unit}'
  )
  kappa = (
    'not defined, as there is only one label' if np.isnan(found.kappa) else f'{found.kappa:.2f} ({interval})'
  )
  return (
    f'{one} and {other} both labelled {found.num:,} cells of this prediction and agree on {found.share:.0%} of '
    f"them; Cohen's kappa is {kappa}.{left_out}"
  )


def table(counted: Count) -> list[list[str]]:
  """A row for each class: name, count, share of the named, corrected share, low, high; '' where not known."""
  rows = []
  for k, name in enumerate(counted.class_names):
    num = int(counted.count_K[k])
    share = f'{num / counted.num_named:.4f}' if counted.num_named else ''
    corrected: Sequence[str] = ('', '', '')
    if counted.shares is not None:
      of_class = (counted.shares.value_K[k], counted.shares.low_K[k], counted.shares.high_K[k])
      corrected = tuple(f'{value:.4f}' for value in of_class)
    rows.append([name, str(num), share, *corrected])
  return rows


def write(path: str | os.PathLike[str], counted: Count) -> None:
  """`count.csv`: `class, count, share, corrected, low, high`; cells without a class last."""
  rows: list[list[Any]] = [['class', 'count', 'share', 'corrected', 'low', 'high'], *table(counted)]
  rows.append([differential_count.UNCLASSIFIED, counted.num_unclassified, '', '', '', ''])
  if counted.num_unlike:
    rows.append([differential_count.UNLIKE, counted.num_unlike, '', '', '', ''])
  atomic.write_csv(path, rows)
