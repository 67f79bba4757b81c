"""A run opened: its data read and told of, its best checkpoint found. What `train` and `evaluate` begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bloodcell_jax import experiment, job, scoring, types, workdir
from bloodcell_jax.data import dataset
from bloodcell_jax.plots import distribution, figure
from bloodcell_jax.train import checkpoint, progress, state


def read_data(
  build: Callable[[Callable[[int, int], None]], dataset.Dataset], shown: progress.Progress
) -> dataset.Dataset:
  """The data set that `build(on_progress)` reads, with a line for each file left out and each split."""
  # A line at a third and two thirds is enough: the slowest data set takes seconds.
  told: set[int] = set()

  def on_progress(done: int, total: int) -> None:
    third = 3 * done // total
    if third not in told and total > 3000:
      told.add(third)
      shown.line(f'  {done:,} of {total:,} images decoded')

  data = build(on_progress)
  for problem in data.skipped:
    shown.line(f'left out: {problem}')
  if data.notes:
    shown.line(f'{len(data.notes)} images were converted, the first: {data.notes[0]}')
  for split, classes in data.counts().items():
    parts = ', '.join(f'{name} {images:,} of {photos:,}' for name, (images, photos) in classes.items())
    shown.line(f'  {split}: {parts} photographs')
  return data


def describe(folder: workdir.Workdir, made: job.Job) -> None:
  """Writes environment.json and the class distribution.

  Raises:
    UserError: the folder's run saw other data.
  """
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
    folder.figures / 'distribution.png', distribution.plot(data.counts()), scoring.note(data.table.synthetic)
  )


def best(folder: workdir.Workdir, made: job.Job) -> tuple[Any, dict[str, int]]:
  """The parameters of the run's best checkpoint, and which checkpoint of how many epochs that is.

  Raises:
    UserError: the run has no finished epoch.
  """
  if not folder.checkpoints.is_dir():
    raise types.UserError(f'{folder.checkpoints}: no checkpoints; train the run first')
  store = checkpoint.Store(folder.checkpoints, made.experiment.plan.monitor)
  try:
    found = store.best(made.state())
    latest = store.latest(made.state())
  finally:
    store.close()
  assert latest is not None, 'where a best checkpoint is, there is a latest'
  origin = {'best_epoch': found.records[-1].epoch, 'epochs': len(latest.records)}
  return state.inference_params(found.state), origin


def of(folder: workdir.Workdir, config: Any) -> experiment.Experiment:
  """The experiment of the folder's run; `config`, where given, may differ from it in free keys only.

  Raises:
    UserError: there is no run here, or another one.
  """
  saved = folder.read_config()
  if config is None:
    return experiment.resolve(experiment.nest(saved))
  folder.check_config(experiment.flat(config))
  return experiment.resolve(config)
