"""Trains the runs of a study one after the other; one that fails leaves its line and does not stop the others."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.ensemble_runs import entry
from bloodcell_jax.heads import trees
from bloodcell_jax.runs import cost as cost_lib
from bloodcell_jax.runs import deep_trees, saved_run, tree_features
from bloodcell_jax.storage import workdir
from bloodcell_jax.study import budget as budget_lib
from bloodcell_jax.study import images as images_lib
from bloodcell_jax.study import plan as plan_lib
from bloodcell_jax.study import run_folder, study_progress
from bloodcell_jax.system import console, lock, memory
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


def run(
  runs: Sequence[run_folder.StudyRun],
  budget: budget_lib.Budget,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  on_end: Callable[[], None],
  debug: bool,
) -> int:
  """Trains or continues the runs that are not complete; returns the number of those that failed.

  **Guarantees**: called again after an interruption at any moment, each run continues from its newest checkpoint with
  the length that it had begun with, to the same bits as without the interruption.

  Args:
    runs: in order.
    budget: for those that have not begun; the time of a budget in minutes begins now, before the images are read.
    stop: polled between batches.
    progress: where progress is printed.
    on_end: called after each run.
    debug: raises what a run raises, in place of its line.

  Raises:
    UserError: the images of the first run cannot be read, or the budget is too small; nothing has been trained.
    signals.Stopped: a stop was requested; the same call continues.
  """
  began = time.monotonic()
  pending = [one for one in runs if one.state() != run_folder.COMPLETE]
  if not pending:
    return 0
  images = images_lib.Images()
  timed, plan = _plan(pending, budget, began, images, stop, progress, debug)
  progress.line(study_progress.left(plan))
  failed = len(pending) - len(timed)
  for number, one in enumerate(timed, 1):
    stop.poll()
    name = f'run {number} of {len(timed)}: {one}'
    # Trees of both kinds are fitted together, with the first row that has one of them.
    if one.state() == run_folder.COMPLETE:
      progress.line(f'{name}: complete, fitted with another row')
      one.note_failure('')
      plan.leave_out(one)
      continue
    length = plan.begin(one)
    progress.line(f'{name}{f", {length} updates" if length else ""}')
    own = study_progress.StudyProgress(plan, one.row.name)
    has_failed = not attempt(one, length, one.folder.cache, images, stop, own, debug)
    failed += has_failed
    plan.end(one, length, has_failed)
    on_end()
    if number < len(timed):
      progress.line(study_progress.left(plan))
  return failed


def attempt(
  one: run_folder.StudyRun,
  length: budget_lib.Length | None,
  cache: pathlib.Path,
  images: images_lib.Images,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  debug: bool,
) -> bool:
  """Trains or continues a run, or keeps the line of what it raised; whether it is complete.

  Args:
    one: the run.
    length: of its training; None for trees.
    cache: where features of frozen blocks are kept.
    images: of all runs.
    stop: polled between batches.
    progress: of the run.
    debug: raises what the run raises, in place of its line.

  Raises:
    signals.Stopped: a stop was requested.
  """
  if length and length != budget_lib.read_length(one.row.flat):
    progress.length_flag = '--budget'
  line = ''
  try:
    _train(one, length, cache, images, stop, progress)
  except signals.Stopped:
    raise
  # Whatever a run raises, the others are not to wait for its repair.
  except Exception as error:
    progress.close()
    if debug:
      raise
    line = _told(one, error, progress)
  one.note_failure(line)
  return not line


def folder(one: run_folder.StudyRun, cache: pathlib.Path) -> workdir.Workdir:
  """The run's, with its cache elsewhere."""
  return workdir.Workdir(one.folder.path, cache)


def _plan(
  pending: Sequence[run_folder.StudyRun],
  budget: budget_lib.Budget,
  began: float,
  images: images_lib.Images,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  debug: bool,
) -> tuple[list[run_folder.StudyRun], plan_lib.Plan]:
  """The runs whose networks can be timed, and their plan; a run whose network cannot be keeps the line of it."""
  first = pending[0]
  exp = experiment.from_flat({**first.row.flat, 'seed': first.seed})
  data = images.read(exp, first.folder, stop, progress)
  counts = cost_lib.count(data, exp.evaluate_splits)
  costs: dict[str, cost_lib.Cost] = {}
  timed = []
  for one in pending:
    each = experiment.from_flat(one.row.flat)
    if (key := cost_lib.key(each)) not in costs:
      stop.poll()
      try:
        costs[key] = cost_lib.measure(each, data.table.class_names, stop)
      except signals.Stopped:
        raise
      # As in `attempt`. A later run of an equal network is timed itself: its optimizer may need less memory.
      except Exception as error:
        if debug:
          raise
        one.note_failure(_told(one, error, progress))
        continue
      updates = ', '.join(f'{seconds:.3g}' for seconds in costs[key].update_seconds)
      progress.line(
        f'timed {one.row.name}: {updates} s an update, {costs[key].image_seconds:.3g} s a prediction'
      )
    timed.append(one)
  return timed, plan_lib.Plan(timed, costs, counts, budget, began)


def _train(
  one: run_folder.StudyRun,
  length: budget_lib.Length | None,
  cache: pathlib.Path,
  images: images_lib.Images,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> None:
  if length is None:
    _fit_trees(one, images, stop, progress)
    return
  own = folder(one, cache)
  lock.take(own.path)
  config = budget_lib.with_length({**one.row.flat, 'seed': one.seed}, length)
  with console.copied(own.log):
    entry.run(config, own, stop, progress, images.read)


def _fit_trees(
  one: run_folder.StudyRun, images: images_lib.Images, stop: signals.Stop, progress: progress_lib.Progress
) -> None:
  """Fits the kinds of trees of a network that are not complete; each may be a row."""
  network = one.network
  if not network.report.exists():
    raise types.UserError(f'needs the run {network.path}, which is not complete')
  lock.take(network.path)
  exp = saved_run.read_experiment(network, None)
  data = images.read(exp, network, stop, progress)
  of_kind = {
    kind: dataclasses.replace(one, row=dataclasses.replace(one.row, trees=kind)) for kind in trees.KINDS
  }
  kinds = [kind for kind, each in of_kind.items() if each.state() != run_folder.COMPLETE]
  deep_trees.run(network, exp, data, tree_features.FEATURES[0], kinds, stop, progress)


def _told(one: run_folder.StudyRun, error: Exception, progress: progress_lib.Progress) -> str:
  """Prints that the run has failed; returns the line to keep."""
  line = _line(error)
  progress.line(f'{one} failed: {line}')
  return line


def _line(error: Exception) -> str:
  """One line for an error of a run."""
  if memory.is_short(error):
    return f'out of memory; lower train.batch_size or data.image_size of the row. {memory.KEPT}'
  text = ' '.join(str(error).split()) or type(error).__name__
  known = isinstance(error, types.UserError | types.RunError | OSError)
  return text if known else f'{type(error).__name__}: {text}'
