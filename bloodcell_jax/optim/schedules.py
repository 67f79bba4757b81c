"""Learning rate schedules: functions of the number of updates so far."""

from __future__ import annotations

import optax


def time_based_decay(learning_rate: float, decay: float) -> optax.Schedule:
  """`learning_rate / (1 + decay * count)`, counted per update and not per epoch.

  Source: Keras 2, `decay` argument of every optimizer (`keras/optimizers.py`).

  Example:
    >>> float(time_based_decay(0.1, 1.0)(4))
    0.02...
  """
  return lambda count: learning_rate / (1.0 + decay * count)
