"""Reads a run from its folder: its experiment and its checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from bloodcell_jax.base import run_format, shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import checkpoint, state


def read_experiment(folder: workdir.Workdir, config: Any) -> experiment.Experiment:
  """The experiment of the run in the folder; a `config` other than None may differ from it in free keys only.

  Raises:
    UserError: the folder holds no run, a combination of runs, or a run of another config.
  """
  saved = folder.read_config()
  if workdir.COMBINED in saved:
    raise types.UserError(
      f'{folder.path}: combines predictions of other runs and has no network of its own; name one of '
      + ', '.join(saved[workdir.COMBINED])
    )
  if config is None:
    return experiment.from_flat(saved)
  experiment.resolve(config)
  folder.check_config(experiment.flat(config))
  return experiment.from_flat(folder.with_format(experiment.flat(config)))


def changed(folder: workdir.Workdir, config: Any, changes: Mapping[str, Any]) -> Any:
  """The config given, or the run's own with some keys changed; None where neither is given.

  Raises:
    UserError: there are changes, and the folder holds no run.
  """
  if not changes:
    return config
  saved = folder.read_config()
  saved.pop(run_format.KEY)
  return experiment.nest({**saved, **changes})


def refuse_cross_validation(folder: workdir.Workdir, exp: experiment.Experiment, verb: str) -> None:
  """Raises UserError where the folder holds a cross-validation; `verb` is the command to use on one of its folds."""
  if exp.cross_validation.folds and not exp.cross_validation.fold:
    raise types.UserError(
      f'{folder.path}: is a cross-validation; {verb} one of its folds: '
      f'--workdir={shell.word(folder.path / "folds" / "1")}'
    )


def open_store(folder: workdir.Workdir, exp: experiment.Experiment) -> checkpoint.Store:
  """The checkpoints of a run, by the rules of its format; close it after use."""
  return checkpoint.Store(folder.checkpoints, exp.monitor, run_format.is_latest_best(exp.format))


@contextlib.contextmanager
def checkpoints(folder: workdir.Workdir, exp: experiment.Experiment) -> Iterator[checkpoint.Store]:
  """The checkpoints of a trained run; each is hashed once, however often it is read.

  Raises:
    UserError: the run has no checkpoints.
  """
  if not folder.checkpoints.is_dir():
    raise types.UserError(f'{folder.checkpoints}: no checkpoints; train the run first')
  with contextlib.closing(open_store(folder, exp)) as store:
    yield store


def best(folder: workdir.Workdir, job: job_lib.Job) -> tuple[Any, dict[str, int]]:
  """The parameters of the run's best checkpoint, and its origin: `best_epoch` and the number of `epochs`.

  Raises:
    UserError: the run has no finished epoch.
  """
  with checkpoints(folder, job.experiment) as store:
    return best_in(store, job)


def best_in(store: checkpoint.Store, job: job_lib.Job) -> tuple[Any, dict[str, int]]:
  """As `best`, from open checkpoints."""
  saved = store.best(lambda stage_info: job.template(stage_info.stage))
  origin = {'best_epoch': saved.records[-1].epoch, 'epochs': store.num_epochs()}
  return state.inference_params(saved.state), origin


def last(folder: workdir.Workdir, job: job_lib.Job) -> Any:
  """The parameters of the run's newest checkpoint. Raises UserError where the run has none."""
  store = open_store(folder, job.experiment)
  try:
    saved = store.latest(lambda stage_info: job.template(stage_info.stage))
  finally:
    store.close()
  if saved is None:
    raise types.UserError(f'{folder.checkpoints}: no checkpoint yet; train the run first')
  return saved.state.params
