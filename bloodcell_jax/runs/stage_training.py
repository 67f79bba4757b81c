"""Trains the stages of a run in turn; each starts from the weights at the end of the previous one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import stages
from bloodcell_jax.models import summary
from bloodcell_jax.optim import keras, staged
from bloodcell_jax.runs import frozen_features, host_state, output_layer, resident_updates, saved_run
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import (
  agreed_stop,
  checkpoint,
  checkpoint_folder,
  events,
  history,
  hosts,
  loop,
  plan,
  signals,
)
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import state as state_lib

OnEpoch = Callable[[list[history.Record]], None]


def run(
  job: job_lib.Job, initial: Any, folder: workdir.Workdir, progress: progress_lib.Progress
) -> list[history.Record]:
  """Trains a run to its end from its newest checkpoint; returns its records, one an epoch.

  Args:
    job: the job.
    initial: the initial parameters of the run; None to initialize them anew, or for a run that continues.
    folder: the run's.
    progress: where progress is printed.

  Raises:
    signals.Stopped: a stop was requested; the state is saved.
    types.RunError: a loss was not finite, or a frozen weight has changed.
  """
  exp = job.experiment
  # One for all stages: hosts count the polls of a run, and one that is announced in a stage may be due in the next.
  stop = agreed_stop.agree(job.stop, hosts.current())
  with _opened(job, folder) as (store, on_epoch, latest):
    saved = host_state.spread('newest checkpoint', latest, job.template)
    names = [stage.fit.name for stage in exp.stages]
    for stage in exp.stages[names.index(saved.stage_info.stage) if saved else 0 :]:
      at = saved
      if at is None or at.stage_info.stage != stage.fit.name:
        begun = begin(job, stage, saved, initial, folder, progress) if hosts.current().is_first else None
        at = host_state.spread(f'beginning of {stage.fit.name}', begun, job.template)
        assert at is not None, 'host 0 has begun'
      if len(names) > 1 and not stage.fit.is_finished(at.records):
        _print_stage(job, stage, at.state.params, progress)
      saved = _train(job, stage, at, folder, progress, store, on_epoch, stop)
    assert saved is not None, 'a run has a stage'
    return saved.records


@contextlib.contextmanager
def _opened(
  job: job_lib.Job, folder: workdir.Workdir
) -> Iterator[tuple[plan.Store, OnEpoch, checkpoint.Saved | None]]:
  """As `opened`, with the newest checkpoint; host 0 alone has any."""
  if not hosts.current().is_first:
    yield host_state.Unsaved(), lambda records: None, None
    return
  with opened(job, folder) as (store, on_epoch):
    yield store, on_epoch, store.latest(lambda stage_info: job.template(stage_info.stage))


@contextlib.contextmanager
def opened(job: job_lib.Job, folder: workdir.Workdir) -> Iterator[tuple[checkpoint.Store, OnEpoch]]:
  """The checkpoints of a run and the callback that writes its history; both are flushed and closed at the end."""
  store = saved_run.open_store(folder, job.experiment)
  # Each is closed even if closing the other fails.
  with contextlib.closing(store), contextlib.closing(events.Events(folder.path)) as board:

    def on_epoch(records: list[history.Record]) -> None:
      history.write(folder.history, records)
      board.write(records)

    yield store, on_epoch


def begin(
  job: job_lib.Job,
  stage: stages.Stage,
  before: checkpoint.Saved | None,
  initial: Any,
  folder: workdir.Workdir,
  progress: progress_lib.Progress,
) -> checkpoint.Saved:
  """The start of a stage: the parameters of the previous stage and a new optimizer.

  A fitted head depends on those parameters and the images only: a run that is interrupted before the first checkpoint
  of the stage fits it again to the same bits.
  """
  fresh = job.params if before is None and initial is None else initial
  params, step = (before.state.params, int(before.state.step)) if before else (fresh, 0)
  if stage.output_layer:
    features = frozen_features.build(job, stage, params, folder.cache, progress)
    params = output_layer.fit(job, stage, params, features, progress)
  stage_info = checkpoint_folder.StageInfo(
    stage.fit.name, _frozen(job, stage, params), dataclasses.asdict(job.transform.standardize)
  )
  return checkpoint.Saved(
    job.initial_state(stage, params, step), before.records if before else [], 0.0, stage_info
  )


def _train(
  job: job_lib.Job,
  stage: stages.Stage,
  at: checkpoint.Saved,
  folder: workdir.Workdir,
  progress: progress_lib.Progress,
  store: plan.Store,
  on_epoch: OnEpoch,
  stop: signals.Stop,
) -> checkpoint.Saved:
  """Trains a stage to its end; returns the state of the run after it."""
  if stage.fit.is_finished(at.records):
    # Rewrites the history, in case its file is missing.
    on_epoch(at.records)
    return at
  features = frozen_features.build(job, stage, at.state.params, folder.cache, progress)
  state, records = loop.fit(
    at, stage.fit, job.loop_spec, parts(job, stage, features, progress, store, on_epoch, stop)
  )
  check_frozen(job, stage, at, state, progress)
  return checkpoint.Saved(state, records, 0.0, at.stage_info)


def parts(
  job: job_lib.Job,
  stage: stages.Stage,
  features: frozen_features.Features | None,
  progress: progress_lib.Progress,
  store: plan.Store,
  on_epoch: OnEpoch,
  stop: signals.Stop,
) -> plan.Parts:
  """The functions that the loop calls in a stage, on images or on cached `features`; host 0 evaluates for all.

  `stop` is polled after each update, the same one in all stages of a run.
  """
  group, resident = hosts.current(), resident_updates.build(job, stage, features)
  on_host = features.evaluate if features else job.evaluator(stage)
  evaluate = resident.evaluate if resident else on_host
  return plan.Parts(
    step=job.train_step(stage, features.model if features else job.model),
    many=resident.many if resident else None,
    batches=(resident or features or job).batches,
    evaluate=lambda params: group.from_first('figures of an epoch', lambda: evaluate(params)),
    learning_rate=keras.schedule(stage.weights.optimizer),
    batch_size=job.experiment.batch_size,
    key=job.dropout_key(),
    store=store,
    stop=stop,
    progress=progress,
    on_epoch=on_epoch,
  )


def check_frozen(
  job: job_lib.Job,
  stage: stages.Stage,
  at: checkpoint.Saved,
  state: state_lib.State,
  progress: progress_lib.Progress,
) -> None:
  """Checks that the frozen weights of a stage are unchanged, in the moving average too.

  Raises:
    RunError: one has changed.
  """
  if at.stage_info.frozen:
    used = (state.params, state_lib.inference_params(state))
    if any(_frozen(job, stage, params) != at.stage_info.frozen for params in used):
      raise types.RunError(f'stage {stage.fit.name}: a weight that should be frozen has changed')
    progress.line(f'{stage.fit.name}: every frozen weight is bitwise unchanged ({at.stage_info.frozen})')


def _frozen(job: job_lib.Job, stage: stages.Stage, params: Any) -> str:
  """The fingerprint of the stage's frozen weights; empty where there are none."""
  is_trained = tree.names(staged.trainable(stage.weights, job.shapes))
  kept = {name: leaf for name, leaf in tree.names(params).items() if not is_trained[name]}
  return tree.fingerprint(tree.nest(kept)) if kept else ''


def _print_stage(job: job_lib.Job, stage: stages.Stage, params: Any, progress: progress_lib.Progress) -> None:
  """Prints the settings of a stage and its trainable and frozen weights."""
  is_trained = staged.trainable(stage.weights, job.shapes)
  rate = stage.weights.optimizer.learning_rate
  progress.line(
    f'stage {stage.fit.name}: {stage.fit.epochs} epochs of {job.loop_spec.steps_per_epoch} updates, '
    f'{stage.weights.optimizer.name}, learning rate {rate:g}'
  )
  progress.line(summary.trained(params, is_trained))
