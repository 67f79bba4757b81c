"""The stages of a run, one after the other, each from where the one before it ended."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import stages
from bloodcell_jax.models import summary
from bloodcell_jax.optim import keras, staged
from bloodcell_jax.runs import frozen_features, job, output_layer
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import checkpoint, events, history, loop, plan, progress, shelf

OnEpoch = Callable[[list[history.Record]], None]


def run(
  made: job.Job, initial: Any, folder: workdir.Workdir, shown: progress.Progress
) -> list[history.Record]:
  """The records of the run, trained to its end from its newest checkpoint.

  Args:
    made: the job.
    initial: the parameters that the run begins with.
    folder: the run's.
    shown: where the stages, their weights and their epochs are told.

  Raises:
    signals.Stopped: a stop was asked for; the state is saved.
    types.RunError: a loss was not finite, or a frozen weight has changed.
  """
  exp = made.experiment
  with opened(made, folder) as (store, on_epoch):
    saved = store.latest(lambda stamp: made.template(stamp.stage))
    names = [stage.fit.name for stage in exp.stages]
    for stage in exp.stages[names.index(saved.stamp.stage) if saved else 0 :]:
      at = saved
      if at is None or at.stamp.stage != stage.fit.name:
        at = begin(made, stage, saved, initial, folder, shown)
      if len(names) > 1 and not stage.fit.is_finished(at.records):
        _tell(made, stage, at.state.params, shown)
      saved = _train(made, stage, at, folder, shown, store, on_epoch)
    assert saved is not None, 'a run has a stage'
    return saved.records


@contextlib.contextmanager
def opened(made: job.Job, folder: workdir.Workdir) -> Iterator[tuple[checkpoint.Store, OnEpoch]]:
  """The checkpoints of a run, and what writes its history after an epoch; both are whole on the disk at the end."""
  store = checkpoint.Store(folder.checkpoints, made.experiment.monitor)
  # Each is closed whatever becomes of the other.
  with contextlib.closing(store), contextlib.closing(events.Events(folder.path)) as board:

    def on_epoch(records: list[history.Record]) -> None:
      history.write(folder.history, records)
      board.write(records)

    yield store, on_epoch


def begin(
  made: job.Job,
  stage: stages.Stage,
  before: checkpoint.Saved | None,
  initial: Any,
  folder: workdir.Workdir,
  shown: progress.Progress,
) -> checkpoint.Saved:
  """Where a stage starts: the parameters of the stage before it, an optimizer that has seen nothing.

  A top that is fitted follows from those parameters and the images alone, so that a run that is interrupted before the
  stage's first checkpoint fits it again to the same bits.
  """
  params, step = (before.state.params, int(before.state.step)) if before else (initial, 0)
  if stage.output_layer:
    features = frozen_features.build(made, stage, params, folder.cache, shown)
    params = output_layer.fit(made, stage, params, features, shown)
  stamp = shelf.Stamp(
    stage.fit.name, _frozen(made, stage, params), dataclasses.asdict(made.transform.standardize)
  )
  return checkpoint.Saved(made.state(stage, params, step), before.records if before else [], 0.0, stamp)


def _train(
  made: job.Job,
  stage: stages.Stage,
  at: checkpoint.Saved,
  folder: workdir.Workdir,
  shown: progress.Progress,
  store: checkpoint.Store,
  on_epoch: OnEpoch,
) -> checkpoint.Saved:
  """Where the run stands when the stage is done."""
  if stage.fit.is_finished(at.records):
    # What is written about the run is written anew, should it be missing.
    on_epoch(at.records)
    return at
  features = frozen_features.build(made, stage, at.state.params, folder.cache, shown)
  state, records = loop.fit(at, stage.fit, made.loop, parts(made, stage, features, shown, store, on_epoch))
  check_frozen(made, stage, at, state.params, shown)
  return checkpoint.Saved(state, records, 0.0, at.stamp)


def parts(
  made: job.Job,
  stage: stages.Stage,
  features: frozen_features.Features | None,
  shown: progress.Progress,
  store: checkpoint.Store,
  on_epoch: OnEpoch,
) -> plan.Parts:
  """What the loop calls in a stage, from the images or from the `features` in their place."""
  return plan.Parts(
    step=made.train_step(stage, features.model if features else made.model),
    batches=features.batches if features else made.batches,
    evaluate=features.evaluate if features else made.evaluator(stage),
    learning_rate=keras.schedule(stage.weights.optimizer),
    batch_size=made.experiment.batch_size,
    key=made.dropout_key(),
    store=store,
    stop=made.stop,
    progress=shown,
    on_epoch=on_epoch,
  )


def check_frozen(
  made: job.Job, stage: stages.Stage, at: checkpoint.Saved, params: Any, shown: progress.Progress
) -> None:
  """Raises RunError where a weight that the stage leaves frozen has changed; says so where none has."""
  if at.stamp.frozen:
    if _frozen(made, stage, params) != at.stamp.frozen:
      raise types.RunError(f'stage {stage.fit.name}: a weight that should be frozen has changed')
    shown.line(f'{stage.fit.name}: every frozen weight is bit for bit what it was ({at.stamp.frozen})')


def _frozen(made: job.Job, stage: stages.Stage, params: Any) -> str:
  """The fingerprint of the weights that the stage leaves alone; empty where there are none."""
  is_trained = tree.names(staged.trainable(stage.weights, made.params))
  kept = {name: leaf for name, leaf in tree.names(params).items() if not is_trained[name]}
  return tree.fingerprint(tree.nest(kept)) if kept else ''


def _tell(made: job.Job, stage: stages.Stage, params: Any, shown: progress.Progress) -> None:
  """The stage's weights, trained and frozen."""
  is_trained = staged.trainable(stage.weights, made.params)
  rate = stage.weights.optimizer.learning_rate
  shown.line(
    f'stage {stage.fit.name}: {stage.fit.epochs} epochs of {made.loop.steps_per_epoch} updates, '
    f'{stage.weights.optimizer.name}, learning rate {rate:g}'
  )
  shown.line(summary.trained(params, is_trained))
