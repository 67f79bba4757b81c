"""A run of the study: one row and one seed, its folder, and how far it is, read from the folder alone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from bloodcell_jax.base import shell, types
from bloodcell_jax.config import study as study_config
from bloodcell_jax.storage import config_keys, ensemble_file, workdir
from bloodcell_jax.study import budget as budget_lib
from bloodcell_jax.system import atomic
from bloodcell_jax.train import history

COMPLETE, BEGUN, FAILED, NOT_RUN = 'complete', 'begun', 'failed', 'not run'
# Holds the line of a row that failed, until it is tried again: in the row's folder, or in a folder beside the rows
# where that cannot be written.
FAILURE, FAILURES = 'failure.json', 'failures'
CACHE = 'cache'
# Keys of `data` that a row may have for itself.
_OWN_DATA = ('data.image_size', 'data.view', 'data.interpolation', 'data.stretch_brightness')


@dataclasses.dataclass(frozen=True, eq=False)
class StudyRun:
  """The run of a row with one seed."""

  row: study_config.Row
  seed: int
  root: pathlib.Path  # of the study

  def __str__(self) -> str:
    return f'{self.row.name}, seed {self.seed}'

  @property
  def folder(self) -> workdir.Workdir:
    """The run's; trees lie in that of the network whose features they are fitted on."""
    if self.row.trees:
      return workdir.Workdir(self.network.path / 'trees' / self.row.trees)
    return workdir.Workdir(self.root / self.row.name / f'seed_{self.seed}', self.root / CACHE)

  @property
  def network(self) -> workdir.Workdir:
    """The run that trees are fitted on."""
    return workdir.Workdir(self.root / self.row.features_of / f'seed_{self.seed}', self.root / CACHE)

  @property
  def failure(self) -> pathlib.Path:
    return self.root / self.row.name / f'seed_{self.seed}' / FAILURE

  @property
  def failure_beside(self) -> pathlib.Path:
    """The same, for a row whose folder cannot be written."""
    return self.root / FAILURES / self.row.name / f'seed_{self.seed}' / FAILURE

  def note_failure(self, line: str) -> None:
    """Keeps the line of a run that failed, and removes that of an earlier attempt; none for one that did not."""
    for file in (self.failure, self.failure_beside):
      # One that cannot be removed lies where no new line can be written either: that goes beside, and is read first.
      with contextlib.suppress(OSError):
        file.unlink()
    if not line:
      return
    try:
      atomic.write_json(self.failure, {'line': line})
    except OSError:
      atomic.write_json(self.failure_beside, {'line': line})

  def state(self) -> str:
    """One of COMPLETE, BEGUN, FAILED and NOT_RUN."""
    # The file that is written last.
    last = self.folder.path / 'trees.json' if self.row.trees else self.folder.report
    if last.exists() and self.folder.metrics.exists():
      return COMPLETE
    if self.failure.exists() or self.failure_beside.exists():
      return FAILED
    return BEGUN if self.folder.config.exists() and not self.row.trees else NOT_RUN

  def reason(self) -> str:
    """The line of a row that failed; empty for any other."""
    file = self.failure_beside if self.failure_beside.exists() else self.failure
    try:
      return str(json.loads(atomic.read_text(file))['line'])
    except FileNotFoundError:
      return ''
    except (ValueError, KeyError, TypeError):
      return f'{file}: damaged; type the command again'

  def length(self) -> budget_lib.Length | None:
    """The length that the run has begun with; None for one that has not begun.

    Raises:
      UserError: its config is damaged, or of a row that was another before.
    """
    if self.row.trees or not self.folder.config.exists():
      return None
    try:
      return budget_lib.read_length(self.folder.read_config())
    except KeyError as error:
      raise types.UserError(
        f'{self.folder.config}: has no {error.args[0]}, so it is not a run of row {self.row.name}; move the folder away'
      ) from None

  def records(self) -> list[list[history.Record]]:
    """The epochs of each network that the run has trained: one, or one a member; those of trees are the network's."""
    if self.row.trees:
      return []
    files = [self.folder.history] if self.folder.history.exists() else self._of_members()
    return [history.read(file) for file in files]

  def _of_members(self) -> list[pathlib.Path]:
    number = self.folder.read_config().get('ensemble.members', 0) if self.folder.config.exists() else 0
    files = [ensemble_file.member(self.folder, k) / 'history.jsonl' for k in range(1, number + 1)]
    return [file for file in files if file.exists()]


def runs(rows: Sequence[study_config.Row], seeds: Sequence[int], root: pathlib.Path) -> list[StudyRun]:
  """The runs of these rows, row by row: the seeds of a row share its images."""
  return [StudyRun(row, seed, root) for row in rows for seed in seeds]


def num_trainings(some: Sequence[StudyRun]) -> int:
  """The number of networks that runs train which are not complete; trees train none."""
  left = [run for run in some if not run.row.trees and run.state() != COMPLETE]
  return sum(budget_lib.num_trainings(run.row.flat) for run in left)


def seeds_on_disk(row: study_config.Row, root: pathlib.Path) -> list[int]:
  """The seeds that a folder of the row, or of the network of its trees, exists for."""
  names = {row.name, row.features_of} - {''}
  places = [place / name for place in (root, root / FAILURES) for name in names]
  folders = [path for place in places for path in place.glob('seed_*') if path.is_dir()]
  numbers = {int(path.name[5:]) for path in folders if path.name[5:].isdigit()}
  return sorted(seed for seed in numbers if StudyRun(row, seed, root).state() != NOT_RUN)


def check_rows(rows: Sequence[study_config.Row], root: pathlib.Path) -> None:
  """Refuses a folder of which the page would show one row's run as another's.

  Keys of `data` and `evaluate` that all rows share are not looked at: the page is written of any images.

  Args:
    rows: all of the study.
    root: its folder.

  Raises:
    UserError: the folder is that of a run, or a row's folder holds the run of another row or seed.
  """
  _refuse_run(root)
  for run in (StudyRun(row, seed, root) for row in rows for seed in seeds_on_disk(row, root)):
    if (begun := run.length()) is None:
      continue
    saved = run.folder.read_config()
    shared = {
      key: value
      for key, value in saved.items()
      if key.startswith(('data.', 'evaluate.')) and key not in _OWN_DATA
    }
    wanted = budget_lib.with_length({**run.row.flat, 'seed': run.seed, **shared}, begun)
    for key, old, new in config_keys.differences(saved, wanted):
      raise types.UserError(
        f'{run.folder.config}: has {key} {old!r} in place of {new!r}, so it is not a run of row {run}; '
        'move the folder away'
      )


def _refuse_run(root: pathlib.Path) -> None:
  if (root / 'config.json').exists():
    raise types.UserError(f'{root}: holds a single run, not a study; choose another --workdir')


def check(
  wanted: Sequence[StudyRun], rows: Sequence[study_config.Row], root: pathlib.Path, budget: budget_lib.Budget
) -> None:
  """Refuses a folder that holds runs of other settings, before anything is trained.

  Args:
    wanted: the runs to train or continue.
    rows: all of the study.
    root: its folder.
    budget: a share must be the one that a run has begun with; a time leaves what has begun as long as it was.

  Raises:
    UserError: as `check_rows`; the folder holds a run of another config, other data or another length, or one that was
      evaluated with other settings.
  """
  _refuse_run(root)
  data = {key: value for key, value in rows[0].flat.items() if key.startswith('data.')} if rows else {}
  for path in sorted(root.glob('*/seed_*/config.json')):
    folder = workdir.Workdir(path.parent)
    saved = folder.read_config()
    # The rows that are not asked for now share one table with these: their images must be the same.
    folder.check_config(
      {**saved, **{key: value for key, value in data.items() if key not in _OWN_DATA and key in saved}}
    )
  asked_for = {(run.row.name, run.seed) for run in wanted}
  for run in wanted:
    source = run.row.features_of
    if run.row.trees and (source, run.seed) not in asked_for and not run.network.report.exists():
      raise types.UserError(f'{run}: is fitted on the row {source}, which is not there; add it to --rows')
    if run.row.trees or not run.folder.config.exists():
      continue
    begun = run.length()
    assert begun is not None, 'it has a config'
    run.folder.check_config(budget_lib.with_length({**run.row.flat, 'seed': run.seed}, begun))
    own_length = budget_lib.read_length(run.row.flat)
    if budget.share and begun != (asked := budget_lib.scaled(own_length, budget.share)):
      raise types.UserError(
        f'{run.folder.path}: was begun with {begun} updates, and --budget={budget} of {own_length} is {asked}; '
        'give the same budget as before, or another --workdir'
      )
  check_rows(rows, root)
  for row in rows:
    for seed in seeds_on_disk(row, root):
      _check_evaluation(StudyRun(row, seed, root))


def _check_evaluation(run: StudyRun) -> None:
  """Refuses a complete run whose figures rest on other keys of `evaluate` than those of its row: it stays as it is."""
  if run.state() != COMPLETE:
    return
  # They are those of the figures, also after the command `evaluate`.
  saved = run.folder.read_config()
  wanted = json.loads(
    json.dumps({key: value for key, value in run.row.flat.items() if config_keys.is_of_figures(key)})
  )
  others = {key: value for key, value in wanted.items() if key in saved and saved[key] != value}
  if not others:
    return
  listed = '; '.join(f'{key} was {saved[key]!r} and is {value!r}' for key, value in others.items())
  path = run.folder.path
  if run.row.trees:
    again = f'move {shell.word(path)} away, and the study fits its trees again'
  else:
    given = ' '.join(shell.word(f'--config.{key}={_as_flag(value)}') for key, value in others.items())
    again = f'evaluate it anew: `evaluate --workdir={shell.word(path)} {given}`'
  raise types.UserError(
    f'{run.folder.path} was evaluated with other settings, and one table has all rows alike: {listed}. '
    f'Set these keys as they were, or {again}'
  )


def _as_flag(value: Any) -> str:
  """A value as `--config.KEY=` takes it."""
  return str(tuple(value)) if isinstance(value, list) else str(value)
