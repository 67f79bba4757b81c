"""How long each run of a study will be, and what is left: a budget in minutes is divided anew before each run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import cost as cost_lib
from bloodcell_jax.study import budget as budget_lib
from bloodcell_jax.study import run_folder

# How far the least time may exceed the budget before the study is refused: estimates are rough.
TOLERANCE = 2.0
# A share is kept, so that rows have the same, while what it needs stays within these shares of the time that is left.
KEPT = (0.7, 1.1)
# Seconds of estimate that count for the estimates being right, so that one short run does not turn them over.
_TRUST = 60.0


class Plan:
  """The lengths of the runs that are still to do, and the time that they will take.

  Args:
    runs: those to do, in order.
    costs: by `cost.key` of a run's experiment.
    counts: by run name and seed, the images of the data.
    budget: for all of them.
    began: when a budget in minutes began, by the clock.
    now: the clock, in seconds.

  Raises:
    UserError: the budget is a time in which even the shortest runs will not end.
  """

  def __init__(
    self,
    runs: Sequence[run_folder.StudyRun],
    costs: Mapping[str, cost_lib.Cost],
    counts: cost_lib.Counts,
    budget: budget_lib.Budget,
    began: float,
    now: Callable[[], float] = time.monotonic,
  ):
    self._runs, self._costs, self._counts, self._budget, self._now = list(runs), costs, counts, budget, now
    self._began, self._run_began = began, now()
    self._estimated = self._taken = _TRUST
    self.num_done, self._share = 0, 0.0
    self._exps = {run: experiment.from_flat(run.row.flat) for run in runs}
    self._begun = {run: length for run in runs if (length := run.length())}
    # The share of each that was trained before.
    self._done = {run: _share_done(run, length) for run, length in self._begun.items()}
    self._compiling = {run: self._compile_seconds(run) for run in runs}
    least = sum(self._seconds(run, None, 0.0) for run in runs)
    if budget.seconds and least > TOLERANCE * budget.seconds:
      take = (
        '1 run of a few updates takes' if len(runs) == 1 else f'{len(runs)} runs of a few updates each take'
      )
      about = f'{math.ceil(least)} s' if least < 60 else minutes(least)
      raise types.UserError(
        f'budget is {budget}, and {take} about {about}; give more, or choose fewer --rows'
      )

  @property
  def total(self) -> int:
    """The number of runs, done and to do."""
    return self.num_done + len(self._runs)

  def begin(self, run: run_folder.StudyRun) -> budget_lib.Length | None:
    """The length of the run, which starts now: the one it has begun with, or its share; None for trees."""
    self._run_began = self._now()
    if run.row.trees:
      return None
    self._begun[run] = run.length() or self._length(run, self.share())
    return self._begun[run]

  def end(self, run: run_folder.StudyRun, length: budget_lib.Length | None, has_failed: bool) -> None:
    """Notes that the run has ended; what it took corrects the estimates of the others."""
    if not has_failed:
      self._estimated += self._seconds(run, length, 1.0)
      self._taken += self._now() - self._run_began
    self._runs.remove(run)
    self.num_done += 1

  def leave_out(self, run: run_folder.StudyRun) -> None:
    """Notes that another run has done the work of this one."""
    self._runs.remove(run)
    self.num_done += 1

  def share(self) -> float:
    """The share of its own length that each run not begun gets now: about the largest that ends within the budget."""
    if self._budget.share:
      return self._budget.share
    left = self._budget.seconds - (self._run_began - self._began)
    low, high = KEPT
    if self._share and low * left <= self._needed(self._share) <= high * left:
      return self._share
    low, high = 0.0, 1.0
    if self._needed(high) <= left:
      low = high
    for _ in range(30):
      middle = (low + high) / 2
      low, high = (middle, high) if self._needed(middle) <= left else (low, middle)
    self._share = low
    return low

  def left(self) -> float:
    """Seconds until all runs have ended, estimated."""
    return max(0.0, self._needed(self.share()) - (self._now() - self._run_began))

  def _needed(self, share: float) -> float:
    return sum(self._seconds(run, None, share) for run in self._runs) * self._taken / self._estimated

  def _seconds(self, run: run_folder.StudyRun, length: budget_lib.Length | None, share: float) -> float:
    exp = self._exps[run]
    cost = self._costs[cost_lib.key(exp)]
    if run.row.trees:
      if self._is_fitted_before(run):
        return 0.0
      # Every image once through the network, and two kinds of trees.
      return 2 * cost_lib.OVERHEAD + cost.image_seconds * (self._counts.train + self._counts.scored)
    trainings = budget_lib.num_trainings(run.row.flat)
    length = length or self._begun.get(run) or self._length(run, share)
    whole = cost_lib.seconds(
      exp, cost, length.steps, length.epochs, trainings, self._counts, self._has_features(run)
    )
    return self._compiling[run] + whole * (1 - self._done.get(run, 0.0))

  def _is_fitted_before(self, run: run_folder.StudyRun) -> bool:
    """Whether a run before this one fits its trees as well: both kinds of a network are fitted together."""
    before = self._runs[: self._runs.index(run)]
    return any(other.row.trees and other.network.path == run.network.path for other in before)

  def _length(self, run: run_folder.StudyRun, share: float) -> budget_lib.Length:
    """The length of a run: of a time, even where none is left, a few epochs of one update."""
    own = budget_lib.read_length(run.row.flat)
    return budget_lib.scaled(own, share if self._budget.share else max(share, budget_lib.shortest(own)))

  def _compile_seconds(self, run: run_folder.StudyRun) -> float:
    """What the run waits for its program: nothing where a run before has it, or where it was timed and so compiled."""
    exp = self._exps[run]
    before = self._runs[: self._runs.index(run)]
    key = cost_lib.key(exp)
    if run.row.trees or all(cost_lib.key(self._exps[other]) != key for other in before):
      return 0.0
    if any(cost_lib.program(self._exps[other]) == cost_lib.program(exp) for other in before):
      return 0.0
    return self._costs[key].compile_seconds

  def _has_features(self, run: run_folder.StudyRun) -> bool:
    """Whether a run before this one computes the same features of frozen blocks."""
    exp = self._exps[run]
    for other in self._exps:
      if other is run:
        return False
      same = (self._exps[other].data, other.seed, self._exps[other].weights) == (
        exp.data,
        run.seed,
        exp.weights,
      )
      if same and self._costs[cost_lib.key(self._exps[other])].is_cached:
        return True
    return False


def _share_done(run: run_folder.StudyRun, length: budget_lib.Length) -> float:
  """The share of its epochs that a run has trained, at most 0.95: the rest of it takes time too."""
  whole = budget_lib.num_trainings(run.row.flat) * sum(length.epochs)
  return min(0.95, sum(len(records) for records in run.records()) / whole)


def minutes(seconds: float) -> str:
  """A time for people.

  Example:
    >>> minutes(20), minutes(400), minutes(9000)
    ('1 min', '7 min', '2 h 30 min')
  """
  whole = max(1, round(seconds / 60))
  return f'{whole} min' if whole < 60 else f'{whole // 60} h {whole % 60} min'
