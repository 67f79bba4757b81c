"""Two people's labels of the same cells, as the review page exports them, compared."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from bloodcell_jax.base import types, wording
from bloodcell_jax.data.sources import csv_rows
from bloodcell_jax.stats import agreement

_BOX = ('left', 'top', 'right', 'bottom')
_ADVICE = 'give two lists that the review page exported: --reviewers=A.csv,B.csv'


@dataclasses.dataclass(frozen=True)
class Reviewers:
  """Two reviewers and how far they agree."""

  names: tuple[str, str]  # of their files, without the extension
  numbers: tuple[int, int]  # cells that each labelled
  agreement: agreement.Agreement


def check(paths: Sequence[str]) -> None:
  """Raises UserError unless there are two paths of different files, or none."""
  if paths and (len(paths) != 2 or len({str(pathlib.Path(path).resolve()) for path in paths}) != 2):
    raise types.UserError(f'reviewers names {wording.counted(len(paths), "file")}; {_ADVICE}')


def compare(paths: Sequence[str], confidence: float, seed: int) -> Reviewers:
  """The agreement on the cells that both have labelled.

  Args:
    paths: of two lists with the columns `sha256_16` and `human_label`, and those of a box where there are boxes.
    confidence: in (0, 1), of the interval.
    seed: of the resamples.

  Raises:
    UserError: a list cannot be read, labels a cell twice, or there is no cell that both have labelled.
  """
  check(paths)
  first, second = (_read(path) for path in paths)
  both = [key for key in first if key in second]
  if not both:
    raise types.UserError(f'{paths[0]} and {paths[1]}: no cell is labelled in both')
  compared = agreement.compare(
    [first[key] for key in both],
    [second[key] for key in both],
    [key.split('#')[0] for key in both],
    confidence,
    seed,
  )
  names = [pathlib.Path(path).stem for path in paths]
  return Reviewers((names[0], names[1]), (len(first), len(second)), compared)


def _read(path: str) -> dict[str, str]:
  labels: dict[str, str] = {}
  for where, row in csv_rows.read(path, ('sha256_16', 'human_label'), _ADVICE):
    box = [row.get(side, '').strip() for side in _BOX]
    key = f'{row["sha256_16"].strip()}#{",".join(box)}'
    label = row['human_label'].strip()
    if not label:
      continue
    if labels.setdefault(key, label) != label:
      raise types.UserError(f'{where} labels a cell {label} that is {labels[key]} above; keep one of them')
  return labels
