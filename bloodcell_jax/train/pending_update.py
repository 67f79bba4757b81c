"""Updates that have been started and whose figures are still to be looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from bloodcell_jax.train import step as step_lib


@dataclasses.dataclass(frozen=True)
class PendingUpdate:
  """An update, or several of one call, that the device may still be computing."""

  report: step_lib.Report
  entries: range  # the run's entries in the report: of its member, or of each of its updates
  step: int  # the run's step count after the last of them
  num_images: int  # of each

  def is_ready(self) -> bool:
    """Whether the device has computed it."""
    loss: Any = self.report.loss
    return loss.is_ready()

  def values(self) -> Iterator[tuple[int, float, float, bool]]:
    """Step, loss, accuracy, and whether all is finite, of each update; waits for the device."""
    columns = [
      np.atleast_1d(np.asarray(leaf))[self.entries.start : self.entries.stop]
      for leaf in (self.report.loss, self.report.accuracy, self.report.finite)
    ]
    first = self.step - len(self.entries) + 1
    for number, (loss, accuracy, finite) in enumerate(zip(*columns, strict=True), first):
      yield number, float(loss), float(accuracy), bool(finite)
