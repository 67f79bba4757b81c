"""Trains one run: reads its images, trains its stages, evaluates the best epoch and writes the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.heads import svr
from bloodcell_jax.models import summary
from bloodcell_jax.plots import figure
from bloodcell_jax.plots import history as history_plot
from bloodcell_jax.reports import report
from bloodcell_jax.runs import (
  host_state,
  model_set,
  own_splits,
  preparation,
  run_data,
  run_record,
  saved_run,
  scoring,
  seen_images,
  stage_training,
)
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import history, hosts, signals
from bloodcell_jax.train import progress as progress_lib

# Below this, trained from weights of ImageNet too, a network has hardly begun to learn (docs/your_own_images.md).
FEW_UPDATES = 200


def run(
  config: Mapping[str, Any],
  folder: workdir.Workdir,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  read_images: run_data.ReadImages,
) -> None:
  """Trains one run on the images of its config, evaluates it and writes its report.

  Args:
    config: flat.
    folder: the run's.
    stop: polled between batches.
    progress: where progress is printed.
    read_images: reads the images.

  Raises:
    UserError: the folder holds another run, the data leaks, or the data or the weights cannot be read.
    signals.Stopped: a stop was requested; the same call continues the run.
  """
  exp = experiment.from_flat(config)
  # Before the images are read, so that the folder of another run is refused at once.
  preparation.claim(config, exp, folder)
  data = read_images(exp, folder, stop, progress)
  run_data.check_leaks(exp, data, progress)
  run_data.check_validation(data)
  if hosts.current().num > 1:
    host_state.agree({'fingerprint': data.fingerprint()}, 'images', hosts.current())
  train_run(config, exp, folder, data, stop, progress, targets=None, previous=None)


def train_run(
  config: Mapping[str, Any],
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  targets: job_lib.Targets | None,
  previous: workdir.Workdir | None,
) -> None:
  """Trains a run on images in memory, evaluates it and writes its report; a complete run is left as it is.

  Args:
    config: flat.
    exp: the experiment of the config.
    folder: the run's.
    data: the images, divided for this run.
    stop: polled between batches.
    progress: where progress is printed.
    targets: what the rows are trained on in place of their labels; None for the labels.
    previous: the run whose last weights this one begins with; None for fresh ones.

  Raises:
    UserError: the folder holds a run of another config, the weights do not fit, or they were trained on images of
      validation or test.
    RunError: a loss was not finite, or a frozen weight has changed.
    signals.Stopped: a stop was requested; the same call continues the run.
  """
  seen = seen_images.in_initial_weights(folder, data, exp.weights.path, exp.data.allow_leak)
  job, initial = preparation.prepare(config, exp, folder, data, stop, progress)
  job = job.with_targets(targets)
  initial = saved_run.last(previous, job) if previous else initial
  leak = {**data.leaking().counts(), **seen}
  if hosts.current().is_first:
    run_record.describe(folder, job, leak)
  note = scoring.note(data.table.synthetic, leak)
  if note:
    progress.line(note)
  progress.line(summary.table(job.model, job.shapes, exp.data.decode.image_size))
  words = length(exp, job.loop_spec.steps_per_epoch, len(data.rows['train']), progress.length_flag)
  progress.line(words)
  if job.is_weighted:
    progress.line(
      'training images weigh differently in the training loss and accuracy, validation images alike in theirs'
    )
  try:
    records = stage_training.run(job, initial, folder, progress)
  finally:
    progress.close()
  if not hosts.current().is_first:
    return
  best, origin = saved_run.best(folder, job)
  progress.line(f'best epoch by {exp.monitor}: {origin["best_epoch"]} of {origin["epochs"]}')

  # Where every entry in metrics.json has this source, there is nothing left to do.
  wanted = scoring.known(exp.evaluate_splits, data.rows)
  written, source = scoring.origins(folder), scoring.source(origin, exp)
  is_scored = folder.calibration.exists() and all(written.get(split) == source for split in wanted)
  if folder.report.exists() and is_scored:
    progress.line(f'{folder.path}: complete; the report is {folder.report}')
    return
  _draw_history(folder, records, origin['best_epoch'], job, note)
  models = model_set.single(model_set.fit_temperature(job, best), origin)
  folder.metrics.unlink(missing_ok=True)
  own_splits.write(folder, job.experiment, {}, models, data, note, progress)
  report.publish(folder, note, progress)


def _draw_history(
  folder: workdir.Workdir,
  records: Sequence[history.Record],
  best_epoch: int,
  job: job_lib.Job,
  note: str,
) -> None:
  columns = {
    field.name: [getattr(record, field.name) for record in records]
    for field in dataclasses.fields(history.Record)
  }
  is_cross_entropy = not job.is_residual and all(stage.loss != svr.NAME for stage in job.experiment.stages)
  drawn = history_plot.plot(columns, best_epoch, is_cross_entropy, job.is_weighted)
  figure.write(folder.figures / 'history.png', drawn, note)


def length(exp: experiment.Experiment, steps_per_epoch: int, num_images: int, flag: str) -> str:
  """How long the training is, and what to set where it is too short to learn much.

  Args:
    exp: the experiment.
    steps_per_epoch: updates an epoch.
    num_images: that are trained on.
    flag: as `Progress.length_flag`.
  """
  updates = steps_per_epoch * sum(stage.fit.epochs for stage in exp.stages)
  text = (
    f'{updates:,} updates in total, {updates * exp.batch_size / num_images:.1f} passes over {num_images:,} '
    'training images'
  )
  if updates >= FEW_UPDATES:
    return text
  names = [f'stages.{stage.fit.name}.epochs' for stage in exp.stages]
  keys = ' and '.join(names) if exp.stages[0].fit.name != 'train' or len(names) > 1 else 'train.epochs'
  return f'{text}: too few to learn much; raise {flag or keys}'
