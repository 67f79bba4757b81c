"""A cross-validation: one run for each fold, and their predictions for the images they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import folds, leaks
from bloodcell_jax.reports import report
from bloodcell_jax.runs import host_state, preparation, run_data, run_record, scoring, training
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.stats import metrics, spread
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals, work_queue


def run(
  config: Mapping[str, Any],
  folder: workdir.Workdir,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  read_images: run_data.ReadImages,
  queue: work_queue.Queue | None,
) -> None:
  """Trains the folds selected by `train.fold`, in `folds/K`, and joins them once all are trained.

  Args:
    config: flat.
    folder: of the cross-validation.
    stop: polled between batches.
    progress: where progress is printed.
    read_images: reads the images.
    queue: of the folds, where several hosts divide them; then only host 0 joins them, and `folder` is the run's on that
      host alone.

  Raises:
    UserError: the folder belongs to a fold or holds another run, or the data leaks or cannot be divided.
  """
  if folder.config.exists() and folder.read_config().get('train.fold'):
    parent = folder.path.absolute().parent.parent
    raise types.UserError(
      f'{folder.path}: is a fold of a cross-validation; continue it with --workdir={shell.word(parent)}'
    )
  exp = experiment.from_flat({**config, 'train.fold': 0})
  preparation.claim({**config, 'train.fold': 0}, exp, folder)
  data = read_images(exp, folder, stop, progress)
  run_data.check_leaks(exp, data, progress)
  if queue:
    host_state.agree({'fingerprint': data.fingerprint()}, 'images', queue.group)
  run_on(config, folder, data, stop, progress, queue)


def run_on(
  config: Mapping[str, Any],
  folder: workdir.Workdir,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  queue: work_queue.Queue | None,
) -> None:
  """As `run`, on images in memory; their division into train and validation does not matter."""
  # The folder belongs to all folds, whichever of them is trained here or on another machine.
  place = queue.root if queue else folder.path
  folders = {k: workdir.Workdir(place / 'folds' / str(k)) for k in range(1, config['train.folds'] + 1)}
  configs = {k: own.with_format({**config, 'train.fold': k}) for k, own in {0: folder, **folders}.items()}
  exps = {k: experiment.from_flat(own) for k, own in configs.items()}
  exp = exps.pop(0)
  folder.write_config(configs[0])
  undivided = data
  data, *divided = (divided_for(undivided, own) for own in (exp, *exps.values()))
  parts = dict(zip(exps, divided, strict=True))
  leaking = leaks.together([part.leaking() for part in (data, *parts.values())])
  if not exp.data.allow_leak:
    leaks.check(data.table, leaking)
  if not queue or queue.group.is_first:
    run_record.describe(
      folder, job_lib.Job(exp, data, exp.transform.standardize, None, stop), leaking.counts()
    )

  def train(k: int) -> None:
    sizes = ', '.join(f'{name} {len(rows):,}' for name, rows in parts[k].rows.items())
    progress.line(f'fold {k} of {len(exps)}: {sizes} images')
    training.train_run(configs[k], exps[k], folders[k], parts[k], stop, progress, targets=None, previous=None)

  def is_there(k: int) -> bool:
    return is_done(configs[k], exps[k], folders[k], parts[k])

  if queue:
    queue.run(
      [piece(f'fold {k}', folders[k], is_there(k)) for k in exps], lambda i: train(i + 1), stop, progress
    )
    if not queue.group.is_first:
      return
  else:
    for k in exps:
      if config['train.fold'] in (0, k):
        train(k)
  missing = [k for k in exps if not is_there(k)]
  if missing:
    progress.line(
      f'folds still to train: {", ".join(map(str, missing))}; bring them to {folder.path / "folds"} and run any fold '
      'again, or all with train.fold=0'
    )
    return
  note = scoring.note(data.table.synthetic, leaking.counts())
  _join(folder, list(folders.values()), data, exp, note, progress)


def divided_for(data: dataset.Dataset, exp: experiment.Experiment) -> dataset.Dataset:
  """The data with the rows of the experiment's fold, or of all folds together.

  Raises:
    UserError: it cannot be divided, or the fold's validation cannot calibrate.
  """
  part = data.with_rows(run_data.of_fold(data.table, data.rows, exp))
  if exp.cross_validation.fold:
    run_data.check_validation(part)
  return part


def joined(parts: Sequence[types.Predictions], table: types.Table) -> types.Predictions:
  """The predictions of all folds in the order of the table.

  **Guarantees**: every row of the table exactly once.

  Args:
    parts: the predictions of each fold for its held-out rows.
    table: the rows that were divided into the folds.

  Raises:
    UserError: a row is predicted twice or not at all.
  """
  file_N = np.concatenate([part.file_N for part in parts])
  order = np.argsort(file_N, kind='stable')
  if not np.array_equal(file_N[order], np.sort(table.file)):
    raise types.UserError(
      f'the folds predict {len(file_N):,} images instead of each of the {len(table):,} of the data once; '
      'train them in another --workdir'
    )
  # The index of each row of the table in the sorted files.
  take = order[np.searchsorted(file_N[order], table.file)]
  probs_NK = np.concatenate([part.probs_NK for part in parts])[take]
  return types.Predictions(probs_NK, table.label, table.group, table.file, table.class_names)


def line(split: str, figures: Mapping[str, Any]) -> str:
  """A one-line summary: mean and standard deviation over the folds."""

  def text(name: str) -> str:
    mean, sd = figures[name]['mean'], figures[name]['sd']
    return f'{name} n/a' if mean is None else f'{name} {mean:.3f} +- {sd:.3f}'

  texts = ', '.join(text(figure.name) for figure in metrics.headlines() if figure.name in figures)
  return f'{split}: {texts} over {len(figures["accuracy"]["values"])} folds'


def is_done(
  config: Mapping[str, Any], exp: experiment.Experiment, folder: workdir.Workdir, data: dataset.Dataset
) -> bool:
  """Whether the fold is trained and evaluated. Raises UserError where it belongs to another run."""
  if not folder.report.exists() or not folder.metrics.exists():
    return False
  folder.check_config(config)
  folder.check_data(data.fingerprint())
  scored = scoring.origins(folder)
  # The number of epochs may differ between a run and its continuation.
  same = folder.read_config()['train.epochs'] == config['train.epochs']
  wanted = scoring.known(exp.evaluate_splits, data.rows)
  return same and all(scored.get(split, {}).get('evaluation') == exp.evaluation for split in wanted)


def piece(name: str, folder: workdir.Workdir, is_finished: bool) -> work_queue.Piece:
  """A fold or member as a piece of the work that hosts divide."""
  state = work_queue.DONE
  if not is_finished:
    is_evaluated, is_begun = folder.report.exists(), folder.has_results()
    state = work_queue.EVALUATED if is_evaluated else work_queue.BEGUN if is_begun else work_queue.NEW
  return work_queue.Piece(name, folder.path, state)


def _join(
  folder: workdir.Workdir,
  parts: Sequence[workdir.Workdir],
  data: dataset.Dataset,
  exp: experiment.Experiment,
  note: str,
  progress: progress_lib.Progress,
) -> None:
  """Writes the out-of-fold predictions and metrics, mean and spread over the folds, and the report."""
  fold_metrics = [part.read_splits() for part in parts]
  folder.metrics.unlink(missing_ok=True)
  folder.begin_scoring(exp.evaluation)
  whole = joined(
    [predictions_csv.read(part.predictions(folds.HELD_OUT)) for part in parts],
    data.table.take(data.rows['train']),
  )
  # No calibration: each fold has its own, fitted on its own validation.
  basis = scoring.Basis(exp, note, {'folds': len(parts)}, None)
  image_of, conversions = data.image_of('train'), data.conversions('train')
  out_of_fold = scoring.Split(folds.OUT_OF_FOLD, whole, image_of, None, conversions, None)
  for said in scoring.lines(out_of_fold.name, scoring.write(folder, out_of_fold, basis)):
    progress.line(said)
  of_split = {
    split: {
      name: spread.summarize([entry[split][name]['value'] for entry in fold_metrics])
      for name in metrics.names()
      # Folds of an older version may lack a figure.
      if all(name in entry[split] for entry in fold_metrics)
    }
    for split in fold_metrics[0]
    if all(split in entry for entry in fold_metrics)
  }
  entries = folder.read_metrics()
  leak = entries[folds.OUT_OF_FOLD]['leak']
  entries[workdir.FOLDS] = {
    'num_folds': len(parts),
    'splits': of_split,
    'note': note,
    'leak': leak,
    'trained_on': [_trained_on(part) for part in parts],
  }
  atomic.write_json(folder.metrics, entries)
  for split, values in of_split.items():
    progress.line(line(split, values))
  report.publish(folder, note, progress)


def _trained_on(part: workdir.Workdir) -> tuple[int, int]:
  """(photographs, images) of a fold's training."""
  counts = part.read_environment()['data']['counts']['train'].values()
  return sum(photographs for _, photographs in counts), sum(images for images, _ in counts)
