"""Train or continue a run, evaluate its best checkpoint, write its report."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.ensemble_runs import member, training
from bloodcell_jax.models import summary
from bloodcell_jax.plots import figure
from bloodcell_jax.plots import history as history_plot
from bloodcell_jax.reports import report
from bloodcell_jax.runs import cross_validation, job, model_set, opening, scoring, stage_training
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import history, progress, signals


def define_flags() -> None:
  """None beside those of every command."""


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Trains to the end of the config's epochs, from the newest checkpoint if there is one."""
  if request.config is None:
    raise types.UserError('train needs a config, such as --config=configs/default.py')
  if request.paths:
    raise types.UserError(f'{request.paths[0]}: train takes no paths; the images are config.data.dir')
  experiment.resolve(request.config)  # a wrong config is told before the folder is touched
  folder, shown = workdir.Workdir(request.folder()), progress.Progress()
  lock.take(folder.path)
  config = folder.with_format(experiment.flat(request.config))
  exp = experiment.from_flat(config)
  if exp.cross_validation.folds:
    alone = functools.partial(_train, shown=shown, stop=stop, lesson=None, before=None)
    cross_validation.run(config, folder, stop, shown, alone)
    return
  if exp.ensemble.method:
    training.run(config, folder, stop, shown, functools.partial(_train_member, shown=shown, stop=stop))
    return
  # Before the images are read: another run's folder is told at once.
  folder.write_config(config)
  shown.line(f'reading images: {exp.data.source}')
  data = opening.read_data(opening.reader(exp, folder.cache), stop, shown)
  opening.check_leaks(exp, data, shown)
  _train(config, exp, folder, data, shown, stop, lesson=None, before=None)


def _train_member(
  one: member.Member,
  lesson: job.Lesson | None,
  before: workdir.Workdir | None,
  shown: progress.Progress,
  stop: signals.Stop,
) -> None:
  _train(one.config, one.exp, one.folder, one.data, shown, stop, lesson, before)


def _train(
  config: Mapping[str, Any],
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  data: dataset.Dataset,
  shown: progress.Progress,
  stop: signals.Stop,
  lesson: job.Lesson | None,
  before: workdir.Workdir | None,
) -> None:
  """Trains one run on this data to its end, scores it and writes its report; or says that it is complete.

  Args:
    config: flat.
    exp: what to do.
    folder: the run's.
    data: the images.
    shown: where all is told.
    stop: asked between batches.
    lesson: what the rows teach instead of their labels; None for those.
    before: the run whose last weights this one begins with; None for fresh ones.
  """
  made, initial = opening.prepare(config, exp, folder, data, stop, shown)
  made = made.taught(lesson)
  initial = opening.last(before, made) if before else initial
  leak = data.leaking().counts()
  opening.describe(folder, made, leak)
  said = scoring.note(data.table.synthetic, leak)
  if said:
    shown.line(said)
  shown.line(summary.table(made.model, made.params, exp.data.decode.image_size))
  try:
    records = stage_training.run(made, initial, folder, shown)
  finally:
    shown.close()
  best, origin = opening.best(folder, made)
  shown.line(f'best epoch by {exp.monitor}: {origin["best_epoch"]} of {origin["epochs"]}')

  # What the figures were made from; equal to what is written already, there is nothing left to do.
  wanted = scoring.known(exp.evaluate_splits, data.rows)
  written, source = scoring.origins(folder), scoring.source(origin, exp)
  is_scored = folder.calibration.exists() and all(written.get(split) == source for split in wanted)
  if folder.report.exists() and is_scored:
    shown.line(f'{folder.path}: complete; the report is {folder.report}')
    return
  columns = {
    field.name: [getattr(record, field.name) for record in records]
    for field in dataclasses.fields(history.Record)
  }
  figure.write(folder.figures / 'history.png', history_plot.plot(columns, origin['best_epoch']), said)
  if substituted := scoring.substitution(exp.evaluate_splits, data.rows):
    shown.line(substituted)
  folder.metrics.unlink(missing_ok=True)
  folder.begin_scoring(exp.evaluation)
  answering = model_set.single(model_set.fitted(made, best), origin)
  # Validation first, wanted or not: it teaches what the others' doubt is judged by.
  for split, found in answering.predict_each(dict.fromkeys(('validation', *wanted))):
    if split == 'validation':
      rule = calibration.fit(found, exp.calibration)
      calibration_file.write(folder, rule, answering.fitted_for())
    if split not in wanted:
      continue
    figures = scoring.write(folder, split, found, exp, said, origin, rule, data.image_of(split))
    shown.line(scoring.line(split, figures))
    if scoring.warning(split, figures):
      shown.line(scoring.warning(split, figures))
  report.write(folder)
  shown.line(f'report: {folder.report}')
  if said:
    shown.line(said)
