"""The runs of a study, divided over hosts of which each trains its own alone; host 0 gets all and fits the trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.config import study as study_config
from bloodcell_jax.runs import host_state
from bloodcell_jax.storage import config_keys
from bloodcell_jax.study import budget as budget_lib
from bloodcell_jax.study import images as images_lib
from bloodcell_jax.study import run_folder, running
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals, work_queue


def check(budget: budget_lib.Budget) -> None:
  """Refuses a budget that several hosts cannot keep.

  Raises:
    UserError: it is a time, which is divided anew before each run by what the runs before it took on one host.
  """
  if budget.seconds:
    raise types.UserError(
      f'--budget={budget} is a time, which one host divides over its runs as it goes; give a share such as '
      '--budget=0.05, or leave out --coordinator'
    )


def settings(rows: Sequence[study_config.Row]) -> dict[str, Any]:
  """What must be the same on all hosts: every key of every row but for the places of the images."""
  return {
    f'{key} of row {row.name}': value
    for row in rows
    for key, value in row.flat.items()
    if key not in config_keys.PLACES
  }


def run(
  runs: Sequence[run_folder.StudyRun],
  budget: budget_lib.Budget,
  queue: work_queue.Queue,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  on_end: Callable[[], None],
  debug: bool,
) -> int:
  """As `running.run` on each of the hosts; on host 0 it returns once all runs are there.

  Args:
    runs: in order, the same on all hosts.
    budget: a share of each row's own length.
    queue: of the runs.
    stop: polled between batches.
    progress: where progress is printed.
    on_end: called on host 0 after each of its runs.
    debug: raises what a run raises, in place of its line.

  Returns:
    The number of runs that failed on any host.

  Raises:
    UserError: the images cannot be read, or are not the same on all hosts.
    RunError: another host has failed or is gone.
    signals.Stopped: a stop was requested on any of the hosts; the same commands continue.
  """
  group, images = queue.group, images_lib.Images()
  first = group.index == 0
  cache = runs[0].root / run_folder.CACHE
  own_cache = cache if first else cache / f'host_{group.index}'
  exp = experiment.from_flat({**runs[0].row.flat, 'seed': runs[0].seed})
  data = images.read(exp, running.folder(runs[0], own_cache), stop, progress)
  host_state.agree({'fingerprint': data.fingerprint()}, 'images', group)
  networks = [one for one in runs if not one.row.trees]

  def attempt(one: run_folder.StudyRun) -> None:
    own = progress_lib.Progress()
    own.name = f'{one.row.name}: '
    length = None if one.row.trees else _length(one, budget)
    progress.line(f'{one}{f", {length} updates" if length else ""}')
    running.attempt(one, length, own_cache, images, stop, own, debug)
    if first:
      on_end()

  pieces = [work_queue.Piece(str(one), one.folder.path, _state(one)) for one in networks]
  queue.run(pieces, lambda i: attempt(networks[i]), stop, progress)
  if first:
    for one in runs:
      stop.poll()
      if one.row.trees and one.state() != run_folder.COMPLETE:
        attempt(one)
  return group.from_first('runs that failed', lambda: sum(one.state() == run_folder.FAILED for one in runs))


def _length(one: run_folder.StudyRun, budget: budget_lib.Budget) -> budget_lib.Length:
  return one.length() or budget_lib.scaled(budget_lib.read_length(one.row.flat), budget.share)


def _state(one: run_folder.StudyRun) -> int:
  if one.state() == run_folder.COMPLETE:
    return work_queue.DONE
  return work_queue.BEGUN if one.folder.has_results() else work_queue.NEW


def places(rows: Sequence[study_config.Row]) -> Mapping[str, Any]:
  """Where this host has the images of all rows."""
  return {key: value for key, value in rows[0].flat.items() if key in config_keys.PLACES}
