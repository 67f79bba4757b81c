"""Whether a network has collapsed: whether it predicts one class, whatever it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def predicted_class(figures: Mapping[str, Any]) -> str:
  """The class that all images of several classes are predicted as; empty where there is none.

  Args:
    figures: `confusion`, [K][K] with a row for each true class, and `class_names`; an entry of `metrics.json`.

  Example:
    >>> predicted_class({'confusion': [[0, 5], [0, 3]], 'class_names': ['A', 'B']})
    'B'
    >>> predicted_class({'confusion': [[1, 4], [0, 3]], 'class_names': ['A', 'B']})
    ''
  """
  confusion_KK = np.array(figures['confusion'])
  named_K = confusion_KK.sum(0)
  if np.count_nonzero(named_K) != 1 or np.count_nonzero(confusion_KK.sum(1)) < 2:
    return ''
  return str(figures['class_names'][int(named_K.argmax())])
