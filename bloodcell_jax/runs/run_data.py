"""Reads the images of a run, divides them and checks them for leaks."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bloodcell_jax.base import run_format, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.division import amount, bagging, folds, leaks
from bloodcell_jax.data.images import conversions
from bloodcell_jax.data.sources import remarks
from bloodcell_jax.ensembles import method
from bloodcell_jax.runs import own_lists
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# What gives a run its images: `read_images`, or a function that has them in memory from another run.
ReadImages = Callable[
  [experiment.Experiment, workdir.Workdir, signals.Stop, progress_lib.Progress], dataset.Dataset
]


def reader(
  exp: experiment.Experiment, cache: pathlib.Path
) -> Callable[[Callable[[int, int], None]], dataset.Dataset]:
  """A function `build(on_progress)` that reads the experiment's data and divides it as `divide`."""

  def build(on_progress: Callable[[int, int], None]) -> dataset.Dataset:
    return divide(reading.build(exp.data, exp.division_seed, cache, on_progress), exp)

  return build


def read_images(
  exp: experiment.Experiment, folder: workdir.Workdir, stop: signals.Stop, progress: progress_lib.Progress
) -> dataset.Dataset:
  """The images of a run, from its source, divided for it; a `ReadImages`."""
  exp = own_lists.in_use(folder, exp, progress.line)
  progress.line(f'reading images: {exp.data.source}')
  with advising_of(folder):
    return read(reader(exp, folder.cache), stop, progress)


@contextlib.contextmanager
def advising_of(folder: workdir.Workdir) -> Iterator[None]:
  """Replaces the advice in an error about unusable images by the advice for the images of a trained run."""
  try:
    yield
  except types.UserError as error:
    if not folder.has_results():
      raise
    advice = 'the run was trained with them: restore them from a copy'
    raise types.UserError(str(error).replace(reading.SKIPPING, advice)) from None


def divide(data: dataset.Dataset, exp: experiment.Experiment) -> dataset.Dataset:
  """The data divided for the experiment: into splits, for its fold, or for its bag.

  Copies are left out before folds are dealt and bags are drawn, so that a fold or a member that is read alone has the
  rows that it was trained on, and a bag has a group as often as it was drawn.
  """
  fraction, seed = exp.data.validation_fraction, exp.division_seed
  together = dataclasses.replace(exp.cross_validation, fold=0)
  rows = folds.divide(data.table, data.rows, together, fraction, seed)
  if exp.amount.max_copies:
    for name in {'train', 'validation'} & set(rows):
      rows[name] = amount.few_copies(data.table, rows[name], exp.amount.max_copies, seed)
  rows = of_fold(data.table, rows, exp)
  if exp.ensemble.member and exp.ensemble.method == method.BAGGING:
    rows = bagging.divide(data.table, rows, exp.seed, run_format.bag_stream(exp.format, 'bag'))
  return data.with_rows(rows)


def of_fold(
  table: types.Table, rows: Mapping[str, np.ndarray], exp: experiment.Experiment
) -> dict[str, np.ndarray]:
  """The rows of the splits of the experiment's fold, as `folds.divide`; it trains on `train.max_groups` groups."""
  cross_validation = exp.cross_validation
  rows = folds.divide(table, rows, cross_validation, exp.data.validation_fraction, exp.division_seed)
  # All folds together have every row, which one of them holds out.
  if exp.amount.max_groups and (cross_validation.fold or not cross_validation.folds):
    rows['train'] = amount.few_groups(table, rows['train'], exp.amount.max_groups, exp.division_seed)
  return rows


def undecoded(folder: workdir.Workdir, exp: experiment.Experiment) -> dataset.Dataset:
  """The run's data with its splits, without decoding images.

  Raises:
    UserError: the data is missing, or is not that of the run.
  """
  skipped = folder.read_environment()['data']['skipped']
  names = [workdir.problem(entry).file for entry in skipped]
  data = divide(reading.undecoded(exp.data, exp.division_seed, names), exp)
  folder.check_data(data.fingerprint())
  return data


def read(
  build: Callable[[Callable[[int, int], None]], dataset.Dataset],
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> dataset.Dataset:
  """Reads a data set by `build(on_progress)`; prints a line for each skipped file and each split.

  Raises:
    signals.Stopped: a stop was requested.
  """
  count = progress.counter('images decoded')

  def on_progress(done: int, total: int) -> None:
    stop.poll()
    count(done, total)

  data = build(on_progress)
  stop.poll()
  for line in data.remarks:
    progress.line(line)
  for problem in data.skipped:
    progress.line(f'left out: {problem}')
  if converted := conversions.line(data.conversions(None)):
    progress.line(converted)
  for split, classes in data.counts().items():
    progress.line(f'  {split}, images (photographs): {_counts(classes)}')
  return data


def _counts(classes: Mapping[str, tuple[int, int]]) -> str:
  """Images and photographs of each class, or of all together where there are many classes."""
  if len(classes) <= remarks.MOST_CLASSES:
    return ', '.join(
      f'{name} {images:,} ({photographs:,})' for name, (images, photographs) in classes.items()
    )
  images_K, photographs_K = zip(*classes.values(), strict=True)
  return (
    f'{sum(images_K):,} ({sum(photographs_K):,}) of {len(classes):,} classes, '
    f'{min(images_K):,} to {max(images_K):,} images each'
  )


def check_leaks(exp: experiment.Experiment, data: dataset.Dataset, progress: progress_lib.Progress) -> None:
  """Prints how many test images share a group with training; refuses leaks, unless the experiment allows them.

  Raises:
    UserError: train and validation share a group, or a test split and training share an image.
  """
  if not exp.data.allow_leak:
    leaks.check(data.table, data.leaking())
  if 'test_clean' in data.rows:
    num, num_clean = len(data.rows['test']), len(data.rows['test_clean'])
    progress.line(
      f'{num - num_clean:,} of {num:,} test images share a group with training; test_clean leaves them out'
    )


def check_validation(data: dataset.Dataset) -> None:
  """Refuses, before anything is trained, a validation split that cannot calibrate what is trained.

  Raises:
    UserError: its images are of one group.
  """
  group_V = np.unique(data.table.group[data.rows['validation']])
  if len(group_V) == 1:
    raise types.UserError(
      f'validation has images of one group only, {group_V[0]}; the temperature and the threshold need two or more: '
      'raise data.validation_fraction, or put images of other groups into VALIDATION'
    )
