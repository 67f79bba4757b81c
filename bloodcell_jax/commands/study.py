"""Run every row of a study, or those asked for, and write its table beside the study's own figures."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import host_flags
from bloodcell_jax.config import study as study_config
from bloodcell_jax.runs import adopted, host_state
from bloodcell_jax.study import budget as budget_lib
from bloodcell_jax.study import divided, run_folder, running, study_page
from bloodcell_jax.system import console, lock
from bloodcell_jax.train import agreed_stop, host_plan, signals, work_queue
from bloodcell_jax.train import progress as progress_lib

CONFIG = 'configs/study.py'  # without --config
EXIT_FAILED = 1
# What to do where the results cannot be written.
WHERE_ELSE = (
  'name a writable folder with --workdir; with --report_only, copy the study to such a folder and name that'
)


def define_flags() -> None:
  """How long, which rows and seeds, or the page only."""
  flags.DEFINE_string(
    'budget',
    '1',
    "a share of each row's own length such as 0.05, or a time for all rows together: 30m, 6h; 1 for the whole study",
  )
  flags.DEFINE_string('seeds', '1', 'number of seeds of each row, or the seeds: 0,1')
  flags.DEFINE_list(
    'rows', [], 'rows to run, by name or pattern such as cnn_b-*, separated by commas; empty for all'
  )
  flags.DEFINE_bool('report_only', False, 'write the page again from the folders of the runs; train nothing')
  host_flags.define()


def run(request: commands.Request, stop: signals.Stop) -> int | None:
  """Trains or continues the runs, and writes study.html, study.md and study.json as it goes on; 1 if one failed."""
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: study takes no paths; name the folder with --config.data.source=folders --config.data.dir'
    )
  progress, root = progress_lib.Progress(), pathlib.Path(request.workdir or 'runs/study')
  rows = study_config.resolve(request.config)
  joined = host_flags.read()
  if flags.FLAGS.report_only:
    host_flags.check_alone(joined, '--report_only')
    if not root.is_dir():
      raise types.UserError(f'{root}: no study here; run one first')
    run_folder.check_rows(rows, root)
    lock.take(root)
    _write(rows, root, progress)
    return None
  budget, seeds = budget_lib.parse(flags.FLAGS.budget), budget_lib.seeds(flags.FLAGS.seeds)
  names = budget_lib.select(flags.FLAGS.rows, [row.name for row in rows])
  chosen = [row for row in rows if row.name in names]
  wanted = run_folder.runs(chosen, seeds, root)
  lengths = {row.name: budget_lib.read_length(row.flat) for row in chosen if not row.trees}
  budget_lib.check(budget, lengths, run_folder.num_trainings(wanted))
  if joined:
    divided.check(budget)
    failed = _run_divided(joined, rows, wanted, budget, root, stop, progress)
  else:
    run_folder.check(wanted, rows, root, budget)
    lock.take(root)
    console.keep(root / 'log.txt')
    pages = study_page.Pages(rows, root)
    failed = running.run(wanted, budget, stop, progress, pages.write_now_and_then, flags.FLAGS.debug)
    _write(rows, root, progress)
  if failed:
    progress.line(
      f'{failed} of {len(wanted)} runs failed; the page says why, and the same command tries them again'
    )
  return EXIT_FAILED if failed else None


def _run_divided(
  joined: host_plan.Plan,
  rows: Sequence[study_config.Row],
  wanted: Sequence[run_folder.StudyRun],
  budget: budget_lib.Budget,
  root: pathlib.Path,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> int:
  """As `running.run`, of this host's share; host 0 writes the page."""
  group = host_flags.connect_apart(joined, 'rows of a study')
  with group.together():
    asked = {'--budget': str(budget), 'runs': [str(one) for one in wanted]}
    host_state.agree(json.loads(json.dumps({**asked, **divided.settings(rows)})), 'study', group)
    # Trees are fitted on host 0, on networks that others may train.
    run_folder.check([one for one in wanted if group.is_first or not one.row.trees], rows, root, budget)
    if group.is_first:
      lock.take(root)
      console.keep(root / 'log.txt')
    stop = agreed_stop.shared(stop, group)
    queue = work_queue.Queue(group, root, lambda new: adopted.put_places(new, divided.places(rows)))
    pages = study_page.Pages(rows, root)
    failed = divided.run(wanted, budget, queue, stop, progress, pages.write_now_and_then, flags.FLAGS.debug)
    if group.is_first:
      _write(rows, root, progress)
    group.from_first('end', lambda: None)
  return failed


def _write(rows: Sequence[study_config.Row], root: pathlib.Path, progress: progress_lib.Progress) -> None:
  study_page.write(rows, root)
  progress.line(f'study: {root / study_page.PAGE}')
