"""Mean and standard deviation of a figure over several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def summarize(values: Sequence[float | None]) -> dict[str, Any]:
  """`values`, their `mean` and their standard deviation `sd` (ddof 1); both None where a value is None.

  Args:
    values: two or more.

  Example:
    >>> summarize([0.5, 0.75])['mean']
    0.625
  """
  known = [value for value in values if value is not None]
  is_complete = len(known) == len(values)
  return {
    'values': list(values),
    'mean': float(np.mean(known)) if is_complete else None,
    'sd': float(np.std(known, ddof=1)) if is_complete else None,
  }
