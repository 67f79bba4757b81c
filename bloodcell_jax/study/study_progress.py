"""Progress of a study: that of the run in hand, and how much of all of them is left."""

from __future__ import annotations

import time

from bloodcell_jax.study import plan as plan_lib
from bloodcell_jax.train import history
from bloodcell_jax.train import progress as progress_lib

# Least time between two lines on the whole study, within a run.
SECONDS_BETWEEN_LINES = 60.0


class StudyProgress(progress_lib.Progress):
  """As `Progress`, each line with the name of its run; now and then a line on the whole study.

  Args:
    plan: knows what is left.
    name: of the run, put before each of its lines.
  """

  def __init__(self, plan: plan_lib.Plan, name: str):
    super().__init__()
    self.name = f'{name}: '
    self._plan, self._last = plan, time.monotonic()

  def end_epoch(self, record: history.Record) -> None:
    """Prints the figures of an epoch, and what is left of the study."""
    super().end_epoch(record)
    if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
      self._last = time.monotonic()
      self.line(left(self._plan))


def left(plan: plan_lib.Plan) -> str:
  """A line on the whole study."""
  return f'study: {plan.num_done} of {plan.total} runs done, about {plan_lib.minutes(plan.left())} left'
