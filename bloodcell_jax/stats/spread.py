"""What several runs of one kind say together: mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def of(values: Sequence[float | None]) -> dict[str, Any]:
  """`values`, their `mean` and their standard deviation `sd` (ddof 1); both None where a value is None.

  Args:
    values: two or more.

  Example:
    >>> of([0.5, 0.75])['mean']
    0.625
  """
  known = [value for value in values if value is not None]
  whole = len(known) == len(values)
  return {
    'values': list(values),
    'mean': float(np.mean(known)) if whole else None,
    'sd': float(np.std(known, ddof=1)) if whole else None,
  }
