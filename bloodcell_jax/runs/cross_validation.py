"""A cross-validation: a run for each fold, and what their networks say of the images they never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import folds, leaks
from bloodcell_jax.reports import report
from bloodcell_jax.runs import job, opening, scoring
from bloodcell_jax.stats import metrics, spread
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress, signals

# (config, experiment, folder, data) of one fold: trains, scores and reports it, or finds that done.
Train = Callable[[Mapping[str, Any], experiment.Experiment, workdir.Workdir, dataset.Dataset], None]


def run(
  config: Mapping[str, Any],
  folder: workdir.Workdir,
  stop: signals.Stop,
  shown: progress.Progress,
  train: Train,
) -> None:
  """Trains the folds that `train.fold` asks for, in `folds/K`, and joins them once all are there.

  Args:
    config: flat.
    folder: of the cross-validation.
    stop: asked between batches.
    shown: where all is told.
    train: what is done for each fold.

  Raises:
    UserError: the folder is that of a fold, or holds another run; the data leaks or cannot be divided.
  """
  if folder.config.exists() and folder.read_config().get('train.fold'):
    parent = folder.path.absolute().parent.parent
    raise types.UserError(
      f'{folder.path}: is a fold of a cross-validation; continue it with --workdir={parent}'
    )
  exp = experiment.from_flat({**config, 'train.fold': 0})
  folder.write_config({**config, 'train.fold': 0})
  shown.line(f'reading images: {exp.data.source}')
  data = opening.read_data(opening.reader(exp, folder.cache), stop, shown)
  opening.check_leaks(exp, data, shown)
  run_on(config, folder, data, stop, shown, train)


def run_on(
  config: Mapping[str, Any],
  folder: workdir.Workdir,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
  train: Train,
) -> None:
  """The same on images that are read already; their division into train and validation does not matter."""
  # Whichever fold is trained, here or elsewhere, the folder is that of all.
  folders = {k: workdir.Workdir(folder.path / 'folds' / str(k)) for k in range(1, config['train.folds'] + 1)}
  configs = {k: own.with_format({**config, 'train.fold': k}) for k, own in {0: folder, **folders}.items()}
  exps = {k: experiment.from_flat(own) for k, own in configs.items()}
  exp = exps.pop(0)
  folder.write_config(configs[0])
  undivided, fraction, seed = data, exp.data.validation_fraction, exp.division_seed
  data, *divided = (
    undivided.with_rows(folds.divide(undivided.table, undivided.rows, own.cross_validation, fraction, seed))
    for own in (exp, *exps.values())
  )
  parts = dict(zip(exps, divided, strict=True))
  found = leaks.together([part.leaking() for part in (data, *parts.values())])
  if not exp.data.allow_leak:
    leaks.check(data.table, found)
  opening.describe(folder, job.Job(exp, data, exp.transform.standardize, None, stop), found.counts())
  for k in exps:
    if config['train.fold'] in (0, k):
      sizes = ', '.join(f'{name} {len(rows):,}' for name, rows in parts[k].rows.items())
      shown.line(f'fold {k} of {len(exps)}: {sizes} images')
      train(configs[k], exps[k], folders[k], parts[k])
  missing = [k for k in exps if not is_done(configs[k], exps[k], folders[k], parts[k])]
  if missing:
    shown.line(
      f'folds still to train: {", ".join(map(str, missing))}; bring them to {folder.path / "folds"} and run any fold '
      'again, or all with train.fold=0'
    )
    return
  said = scoring.note(data.table.synthetic, found.counts())
  _join(folder, list(folders.values()), data, exp, said, shown)


def joined(parts: Sequence[types.Predictions], table: types.Table) -> types.Predictions:
  """The predictions of all folds in the order of the table.

  **Guarantees**: every row of the table exactly once.

  Args:
    parts: of each fold for the rows it held out.
    table: the rows that were dealt to the folds.

  Raises:
    UserError: a row is predicted twice or never.
  """
  file_N = np.concatenate([part.file_N for part in parts])
  order = np.argsort(file_N, kind='stable')
  if not np.array_equal(file_N[order], np.sort(table.file)):
    raise types.UserError(
      f'the folds predict {len(file_N):,} images, which are not the {len(table):,} of the data each once; '
      'remove the folder folds and train again'
    )
  # The place of each row of the table among the sorted files.
  take = order[np.searchsorted(file_N[order], table.file)]
  probs_NK = np.concatenate([part.probs_NK for part in parts])[take]
  return types.Predictions(probs_NK, table.label, table.group, table.file, table.class_names)


def line(split: str, figures: Mapping[str, Any]) -> str:
  """One line for people: mean and standard deviation over the folds."""

  def text(name: str) -> str:
    mean, sd = figures[name]['mean'], figures[name]['sd']
    return f'{name} n/a' if mean is None else f'{name} {mean:.3f} +- {sd:.3f}'

  texts = ', '.join(text(figure.name) for figure in metrics.headlines() if figure.name in figures)
  return f'{split}: {texts} over {len(figures["accuracy"]["values"])} folds'


def is_done(
  config: Mapping[str, Any], exp: experiment.Experiment, folder: workdir.Workdir, data: dataset.Dataset
) -> bool:
  """Whether the fold is trained and scored. Raises UserError where it is a fold of another run."""
  if not folder.report.exists() or not folder.metrics.exists():
    return False
  folder.check_config(config)
  folder.check_data(data.fingerprint())
  scored = scoring.origins(folder)
  # The number of epochs may differ between a run and its continuation.
  same = folder.read_config()['train.epochs'] == config['train.epochs']
  wanted = scoring.known(exp.evaluate_splits, data.rows)
  return same and all(scored.get(split, {}).get('evaluation') == exp.evaluation for split in wanted)


def _join(
  folder: workdir.Workdir,
  parts: Sequence[workdir.Workdir],
  data: dataset.Dataset,
  exp: experiment.Experiment,
  said: str,
  shown: progress.Progress,
) -> None:
  """Writes the out-of-fold predictions and figures, mean and spread of the folds, and the report."""
  found = [part.read_splits() for part in parts]
  folder.metrics.unlink(missing_ok=True)
  folder.begin_scoring(exp.evaluation)
  whole = joined(
    [predictions_csv.read(part.predictions(folds.HELD_OUT)) for part in parts],
    data.table.take(data.rows['train']),
  )
  # No rule of doubt: each fold has one of its own, fitted on its own validation.
  figures = scoring.write(
    folder, folds.OUT_OF_FOLD, whole, exp, said, {'folds': len(parts)}, None, data.image_of('train')
  )
  shown.line(scoring.line(folds.OUT_OF_FOLD, figures))
  of_split = {
    split: {
      name: spread.of([entry[split][name]['value'] for entry in found])
      for name in metrics.names()
      # Folds of an older version may lack a figure.
      if all(name in entry[split] for entry in found)
    }
    for split in found[0]
    if all(split in entry for entry in found)
  }
  entries = folder.read_metrics()
  leak = entries[folds.OUT_OF_FOLD]['leak']
  entries[workdir.FOLDS] = {'num_folds': len(parts), 'splits': of_split, 'note': said, 'leak': leak}
  atomic.write_json(folder.metrics, entries)
  for split, values in of_split.items():
    shown.line(line(split, values))
  report.write(folder)
  shown.line(f'report: {folder.report}')
  if said:
    shown.line(said)
