"""Two people's labels of the same cells, as the review page exports them, compared."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from bloodcell_jax.base import cell, types, wording
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import csv_rows
from bloodcell_jax.stats import agreement

_BOX = ('left', 'top', 'right', 'bottom')
_ADVICE = 'give two lists that the review page exported: --reviewers=A.csv,B.csv'


@dataclasses.dataclass(frozen=True)
class Lists:
  """Two reviewers' lists."""

  names: tuple[str, str]  # of the files, without the extension
  labels: tuple[dict[str, str], dict[str, str]]  # by `cell.Cell.key`


@dataclasses.dataclass(frozen=True)
class Reviewers:
  """Two reviewers and how far they agree on the cells of a prediction."""

  names: tuple[str, str]  # of their files, without the extension
  numbers: tuple[int, int]  # cells of the prediction that each labelled
  others: tuple[int, int]  # other cells that each labelled, which are left out
  agreement: agreement.Agreement | None  # None where no cell of the prediction is labelled in both lists


def read(paths: Sequence[str]) -> Lists | None:
  """The labels of two lists; None for no path.

  Args:
    paths: of two lists with the columns `sha256_16` and `human_label`, and those of a box where there are boxes.

  Raises:
    UserError: there are not two different files, a list cannot be read or labels a cell twice, or there is no cell
      that both have labelled.
  """
  if not paths:
    return None
  if len(paths) != 2 or len({str(pathlib.Path(path).resolve()) for path in paths}) != 2:
    raise types.UserError(f'reviewers names {wording.counted(len(paths), "file")}; {_ADVICE}')
  first, second = (_read(path) for path in paths)
  if not first.keys() & second.keys():
    raise types.UserError(f'{paths[0]} and {paths[1]}: no cell is labelled in both')
  one, other = (pathlib.Path(path).stem for path in paths)
  return Lists((one, other), (first, second))


def compare(lists: Lists, cells: Iterable[cell.Cell], confidence: float, seed: int) -> Reviewers:
  """The agreement on the cells of a prediction that both have labelled.

  Args:
    lists: of the two.
    cells: of the prediction.
    confidence: in (0, 1), of the interval.
    seed: of the resamples.
  """
  known = {one.key for one in cells}
  first, second = ({key: name for key, name in each.items() if key in known} for each in lists.labels)
  both = [key for key in first if key in second]
  compared = agreement.compare(
    [first[key] for key in both],
    [second[key] for key in both],
    [key.split('#')[0] for key in both],
    confidence,
    seed,
  )
  one, other = (len(each) for each in lists.labels)
  return Reviewers(
    lists.names,
    (len(first), len(second)),
    (one - len(first), other - len(second)),
    compared if both else None,
  )


def _read(path: str) -> dict[str, str]:
  """The labels of a list, by `cell.Cell.key`."""
  labels: dict[str, str] = {}
  for where, row in csv_rows.read(path, ('sha256_16', 'human_label'), _ADVICE):
    box = [row.get(side, '').strip() for side in _BOX]
    digest = row['sha256_16'].strip().casefold().removeprefix(image_files.MARK)
    key = f'{digest}#{",".join(box)}' if any(box) else digest
    label = row['human_label'].strip()
    if not label:
      continue
    if labels.setdefault(key, label) != label:
      raise types.UserError(f'{where} labels a cell {label} that is {labels[key]} above; keep one of them')
  return labels
