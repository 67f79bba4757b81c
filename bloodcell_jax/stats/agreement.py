"""How far two people who labelled the same cells agree."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np

from bloodcell_jax.base import rng
from bloodcell_jax.stats import intervals

_DRAWS = 1000
# With fewer photographs, cells are resampled: the interval is then too narrow if those of a photograph are alike.
LEAST_GROUPS = 10


@dataclasses.dataclass(frozen=True)
class Agreement:
  """Two labels of each of N cells compared."""

  num: int
  share: float  # of cells with equal labels
  kappa: float  # NaN where both always give one and the same label
  low: float
  high: float
  unit: str  # what was resampled: photographs or cells


def compare(
  a_N: Sequence[str], b_N: Sequence[str], group_N: Sequence[str], confidence: float, seed: int
) -> Agreement:
  """Cohen's kappa, agreement beyond chance, with a percentile interval over resampled photographs.

  Args:
    a_N: labels by one person.
    b_N: by the other, of the same cells.
    group_N: their photographs.
    confidence: in (0, 1).
    seed: of the resamples.

  Source: Cohen 1960, "A coefficient of agreement for nominal scales"; scikit-learn `cohen_kappa_score`.

  Example:
    >>> found = compare(list('AABB' * 10), list('AABA' * 10), [str(i // 4) for i in range(40)], 0.95, 0)
    >>> found.num, found.share, round(found.kappa, 2), found.unit
    (40, 0.75, 0.5, 'photographs')
  """
  names = sorted({*a_N, *b_N})
  code_N2 = np.array([[names.index(a), names.index(b)] for a, b in zip(a_N, b_N, strict=True)]).reshape(-1, 2)
  _, group_of = np.unique(np.asarray(group_N), return_inverse=True)
  unit = 'photographs' if len(code_N2) and group_of.max() + 1 >= LEAST_GROUPS else 'cells'
  if unit == 'cells':
    group_of = np.arange(len(code_N2))
  rows_of = [np.flatnonzero(group_of == g) for g in range(int(group_of.max()) + 1)] if len(code_N2) else []
  generator = rng.generator(seed, 'agreement')
  drawn = [
    _kappa(code_N2[np.concatenate([rows_of[g] for g in generator.integers(len(rows_of), size=len(rows_of))])])
    for _ in range(_DRAWS if rows_of else 0)
  ]
  low, high = intervals.percentile(np.array(drawn), confidence)
  share = float((code_N2[:, 0] == code_N2[:, 1]).mean()) if len(code_N2) else np.nan
  return Agreement(len(code_N2), share, _kappa(code_N2), float(low), float(high), unit)


def _kappa(code_N2: np.ndarray) -> float:
  # Imported here: scikit-learn takes a second to load.
  from sklearn import metrics

  if not len(code_N2) or len(np.unique(code_N2)) < 2:
    return np.nan
  with warnings.catch_warnings(action='ignore'):
    return float(metrics.cohen_kappa_score(code_N2[:, 0], code_N2[:, 1]))
