"""Train or continue a run, evaluate its best checkpoint, write its report."""

from __future__ import annotations

from typing import Any

from bloodcell_jax import commands, experiment, job, report, scoring, types, workdir
from bloodcell_jax.data import dataset
from bloodcell_jax.models import summary
from bloodcell_jax.optim import keras
from bloodcell_jax.plots import distribution, figure
from bloodcell_jax.plots import history as history_plot
from bloodcell_jax.train import checkpoint, events, history, loop, progress, signals, state


def define_flags() -> None:
  """None beside those of every command."""


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Trains to the end of the config's epochs, from the newest checkpoint if there is one."""
  if request.config is None:
    raise types.UserError('train needs a config, such as --config=configs/default.py')
  exp = experiment.resolve(request.config)
  folder = workdir.Workdir(request.folder())
  folder.write_config(experiment.flat(request.config))
  shown = progress.Progress()
  data = read_data(exp, folder, shown)
  made = job.Job(exp, data, stop)
  describe(folder, made)
  said = scoring.note(data.table)
  if said:
    shown.line(said)
  shown.line(summary.table(made.model, made.params, exp.data.decode.image_size))

  store = checkpoint.Store(folder.checkpoints, exp.plan.monitor)
  try:
    best = _fit(made, folder, store, shown, said)
  finally:
    shown.close()
    store.close()
  # What the figures were made from; equal to what is written already, there is nothing left to do.
  origin = {'best_epoch': best.records[-1].epoch, 'epochs': len(history.read(folder.history))}
  wanted = scoring.known(exp.evaluate_splits, data.rows)
  if folder.report.exists() and scoring.origins(folder) == dict.fromkeys(wanted, origin):
    shown.line(f'{folder.path}: complete; the report is {folder.report}')
    return
  folder.metrics.unlink(missing_ok=True)
  params = state.inference_params(best.state)
  for split in wanted:
    figures = scoring.write(folder, split, made.predict(params, split), exp, said, origin)
    shown.line(scoring.line(split, figures))
  report.write(folder)
  shown.line(f'report: {folder.report}')
  if said:
    shown.line(said)


def read_data(
  exp: experiment.Experiment, folder: workdir.Workdir, shown: progress.Progress
) -> dataset.Dataset:
  """The data set, with a line for each file that was left out and a count of those converted."""
  shown.line(f'reading images: {exp.data.source}')
  # A line at a third and two thirds is enough: the slowest data set takes seconds.
  told: set[int] = set()

  def on_progress(done: int, total: int) -> None:
    third = 3 * done // total
    if third not in told and total > 3000:
      told.add(third)
      shown.line(f'  {done:,} of {total:,} images decoded')

  data = dataset.build(exp.data, exp.seed, folder.cache, on_progress)
  for problem in data.skipped:
    shown.line(f'left out: {problem}')
  if data.notes:
    shown.line(f'{len(data.notes)} images were converted, the first: {data.notes[0]}')
  for split, classes in data.counts().items():
    parts = ', '.join(f'{name} {images:,} of {photos:,}' for name, (images, photos) in classes.items())
    shown.line(f'  {split}: {parts} photographs')
  return data


def describe(folder: workdir.Workdir, made: job.Job) -> None:
  """Writes environment.json and the class distribution."""
  data = made.data
  folder.write_environment(
    made.devices,
    {
      'name': data.table.name,
      'synthetic': data.table.synthetic,
      'fingerprint': data.fingerprint(),
      'class_names': list(data.table.class_names),
      'counts': {split: {k: list(v) for k, v in classes.items()} for split, classes in data.counts().items()},
      'skipped': [str(problem) for problem in data.skipped],
      'num_converted': len(data.notes),
    },
  )
  figure.write(
    folder.figures / 'distribution.png', distribution.plot(data.counts()), scoring.note(data.table)
  )


def _fit(
  made: job.Job, folder: workdir.Workdir, store: checkpoint.Store, shown: progress.Progress, said: str
) -> checkpoint.Saved:
  """The best checkpoint of the trained run."""
  exp = made.experiment
  board = events.Events(folder.path)

  def on_epoch(records: list[history.Record]) -> None:
    history.write(folder.history, records)
    board.write(records)

  parts = loop.Parts(
    step=made.train_step(),
    batches=made.batches,
    evaluate=made.evaluate,
    learning_rate=keras.schedule(exp.optimizer),
    batch_size=exp.batch_size,
    key=made.dropout_key(),
    store=store,
    stop=made.stop,
    progress=shown,
    on_epoch=on_epoch,
  )
  try:
    _, records = loop.fit(made.state(), exp.loop, exp.plan, parts, 'train')
  finally:
    board.close()
  best = store.best(made.state())
  columns: dict[str, list[Any]] = {
    name: [getattr(record, name) for record in records]
    for name in ('epoch', 'loss', 'val_loss', 'accuracy', 'val_accuracy')
  }
  figure.write(folder.figures / 'history.png', history_plot.plot(columns, best.records[-1].epoch), said)
  shown.line(f'best epoch by {exp.plan.monitor}: {best.records[-1].epoch} of {len(records)}')
  return best
