"""`study.json`: what the folders of a study's runs say of each row."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import study as study_config
from bloodcell_jax.reports import selection
from bloodcell_jax.stats import collapse, intervals, paired, spread
from bloodcell_jax.storage import config_keys, predictions_csv, workdir
from bloodcell_jax.study import budget as budget_lib
from bloodcell_jax.study import run_folder
from bloodcell_jax.train import history

# Figures of which the spread over seeds is given.
SPREAD = ('accuracy', 'macro_f1', 'log_loss')
# Splits on which rows are compared; nothing was chosen on them.
COMPARED = ('test_clean', 'test', 'test_simple')
# Two files of predictions and their times of change -> their comparison, so that a study that writes its page after
# each run compares each pair once.
_compared: dict[Any, dict[str, Any]] = {}


def rows(every: Sequence[study_config.Row], root: Any) -> list[dict[str, Any]]:
  """The entries of all rows, in order.

  Raises:
    UserError: a file of a run is damaged.
  """
  by_name = {row.name: row for row in every}
  entries = []
  for row in every:
    seeds = run_folder.seeds_on_disk(row, root)
    entry = _entry(row, [run_folder.StudyRun(row, seed, root) for seed in seeds])
    reference = by_name.get(row.reference)
    entry['comparison'] = _comparison(entry, row, reference, root) if reference else {}
    entries.append(entry)
  return entries


def data(every: Sequence[study_config.Row], root: Any) -> dict[str, Any]:
  """The images of the study, as the first run describes them: name, counts by split and class; empty before that."""
  for row in every:
    for seed in run_folder.seeds_on_disk(row, root):
      folder = run_folder.StudyRun(row, seed, root).folder
      if folder.environment.exists():
        known = folder.read_environment()['data']
        return {name: known[name] for name in ('name', 'synthetic', 'class_names', 'counts')}
  return {}


def settings(every: Sequence[study_config.Row], root: Any) -> dict[str, Any]:
  """The keys of `data` and `evaluate` on which all runs agree, as their folders have them; empty before the first run.

  Runs that are not complete are left out where there is a complete one: their figures may get other keys of `evaluate`.

  Raises:
    UserError: the config of a run is damaged.
  """
  runs = [
    run_folder.StudyRun(row, seed, root) for row in every for seed in run_folder.seeds_on_disk(row, root)
  ]
  begun = [run for run in runs if run.folder.config.exists()]
  complete = [run for run in begun if run.state() == run_folder.COMPLETE]
  configs = [run.folder.read_config() for run in complete or begun]
  return {
    key: value
    for key, value in (configs[0].items() if configs else ())
    if key.startswith(('data.', 'evaluate.')) and all(one.get(key) == value for one in configs)
  }


def _entry(row: study_config.Row, runs: Sequence[run_folder.StudyRun]) -> dict[str, Any]:
  states = {run.seed: run.state() for run in runs}
  scored = [run for run in runs if states[run.seed] == run_folder.COMPLETE]
  metrics = {run.seed: run.folder.read_splits() for run in scored}
  first = scored[0] if scored else None
  trained = {run.seed: _training(run) for run in scored or runs}
  own = None if row.trees else budget_lib.read_length(row.flat)
  return {
    'name': row.name,
    'group': row.group,
    'title': row.title,
    'config': row.config or f'{row.trees} on the features of {row.features_of}',
    'overrides': [[key, list(value) if isinstance(value, tuple) else value] for key, value in row.overrides],
    'seeds': [run.seed for run in scored],
    'length': _length(row, runs, own),
    'state': _state(list(states.values())),
    'study': {**dataclasses.asdict(row.published), 'seconds': list(row.published.seconds)},
    'metrics': metrics[first.seed] if first else {},
    'evaluations': _evaluations(scored),
    'spread': _spread(list(metrics.values())),
    'training': {str(seed): figures for seed, figures in trained.items() if figures},
    **_seconds(runs),
    'num_parameters': _num_parameters(row, first or next(iter(runs), None)),
    'chosen': {split: list(what) for split, what in _choices(first).items()},
    'reference': row.reference,
    'meaning': row.meaning,
    'note': _note(metrics),
    'collapsed': {str(seed): name for seed, each in metrics.items() if (name := _predicted_class(each))},
    'runs': [
      {
        'seed': run.seed,
        'folder': run.folder.path.relative_to(run.root).as_posix(),
        'state': states[run.seed],
        'reason': run.reason() if states[run.seed] == run_folder.FAILED else '',
        'epochs_done': sum(len(records) for records in run.records()),
      }
      for run in runs
    ],
  }


def _evaluations(scored: Sequence[run_folder.StudyRun]) -> list[dict[str, Any]]:
  """The keys of `evaluate` that the figures of the runs rest on, each set once; more than one where seeds differ."""
  found = []
  for run in scored:
    saved = run.folder.read_config()
    keys = {key: value for key, value in sorted(saved.items()) if config_keys.is_of_figures(key)}
    if keys not in found:
      found.append(keys)
  return found


def _state(states: Sequence[str]) -> str:
  """That of a row: failed or begun where one of its seeds is."""
  order = (run_folder.FAILED, run_folder.BEGUN, run_folder.COMPLETE)
  return next((state for state in order if state in states), run_folder.NOT_RUN)


def _length(
  row: study_config.Row, runs: Sequence[run_folder.StudyRun], own: budget_lib.Length | None
) -> dict[str, Any]:
  """The length of the shortest run, that of each, and the row's own."""
  lengths = {str(run.seed): length for run in runs if (length := run.length())}
  shortest = min(lengths.values(), key=lambda each: each.updates, default=None)
  return {
    'steps_per_epoch': shortest.steps if shortest else None,
    'epochs': list(shortest.epochs) if shortest else None,
    'updates': shortest.updates if shortest else None,
    'networks': 0 if row.trees else budget_lib.num_trainings(row.flat),
    'own': None
    if own is None
    else {'steps_per_epoch': own.steps, 'epochs': list(own.epochs), 'updates': own.updates},
    'by_seed': {seed: str(length) for seed, length in lengths.items()},
    'updates_by_seed': {seed: length.updates for seed, length in lengths.items()},
  }


def _spread(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """By split and figure: values, mean and standard deviation over the seeds; empty with a single seed."""
  if len(metrics) < 2:
    return {}
  return {
    split: {name: spread.summarize([each[split][name]['value'] for each in metrics]) for name in SPREAD}
    for split in metrics[0]
    if all(split in each for each in metrics)
  }


def _training(run: run_folder.StudyRun) -> dict[str, Any]:
  """Training and validation figures at the scored epoch, means over the networks of an ensemble; empty for trees."""
  points = []
  monitor = run.folder.read_config().get('train.monitor', 'val_loss') if run.folder.config.exists() else ''
  for records in run.records():
    own = [record for record in records if record.stage not in _not_scored(run)]
    if own:
      points.append(history.best(own, monitor))
  if not points:
    return {}
  names = ('loss', 'accuracy', 'val_loss', 'val_accuracy')
  figures = {name: statistics.fmean(getattr(point, name) for point in points) for name in names}
  return {**figures, 'epochs': [point.epoch for point in points]}


def _not_scored(run: run_folder.StudyRun) -> set[str]:
  """The stages of which no epoch can be the best."""
  flat = run.row.flat
  return {name for name in flat['stages.order'] if not flat[f'stages.{name}.is_candidate']}


def _seconds(runs: Sequence[run_folder.StudyRun]) -> dict[str, Any]:
  """Seconds of an epoch and its updates: of the epochs with the most updates, where seeds differ in that."""
  steps = {run: length.steps for run in runs if (length := run.length())}
  epochs = {run: [record for records in run.records() for record in records] for run in steps}
  most = max((steps[run] for run in steps if epochs[run]), default=None)
  seconds = [record.seconds for run in steps if steps[run] == most for record in epochs[run]]
  return {
    'seconds_per_epoch': statistics.median(seconds) if seconds else None,
    'fastest_epoch': min(seconds, default=None),
    'updates_per_epoch': most,
  }


def _num_parameters(row: study_config.Row, run: run_folder.StudyRun | None) -> int | None:
  """Of all networks that answer; None before the first run."""
  if run is None or not run.folder.environment.exists():
    return None
  number = run.folder.read_environment()['network']['num_parameters']
  return number * (row.flat['ensemble.members'] if row.flat['ensemble.method'] else 1)


def _choices(run: run_folder.StudyRun | None) -> dict[str, tuple[str, ...]]:
  if run is None:
    return {}
  chosen = selection.choices(run.folder)
  if run.row.trees:
    chosen[selection.TRAIN] = (*chosen.get(selection.TRAIN, ()), 'the trees')
  return chosen


def _note(metrics: Mapping[int, Mapping[str, Any]]) -> str:
  notes = [entry['note'] for each in metrics.values() for entry in each.values()]
  return ' '.join(dict.fromkeys(note for note in notes if note))


def _predicted_class(metrics: Mapping[str, Any]) -> str:
  """The only class that a run predicts on the first test split that it was scored on; empty where it has several."""
  split = next((split for split in COMPARED if split in metrics), '')
  return collapse.predicted_class(metrics[split]) if split else ''


def _comparison(
  entry: Mapping[str, Any], row: study_config.Row, reference: study_config.Row, root: Any
) -> dict[str, Any]:
  """The paired comparison with the reference on each split of COMPARED, of the first seed that both have and others."""
  found = []
  for seed in entry['seeds']:
    own, other = run_folder.StudyRun(row, seed, root), run_folder.StudyRun(reference, seed, root)
    if other.state() == run_folder.COMPLETE:
      splits = [
        s for s in COMPARED if own.folder.predictions(s).exists() and other.folder.predictions(s).exists()
      ]
      compared = {split: _compare(other.folder, own.folder, split, row.flat['seed']) for split in splits}
      found.append({'seed': seed, 'splits': compared})
  return {**found[0], 'with': reference.name, 'other_seeds': found[1:]} if found else {}


def _compare(first: workdir.Workdir, second: workdir.Workdir, split: str, seed: int) -> dict[str, Any]:
  """How much better the second run is than the first, with intervals as the second was evaluated with."""
  own = second.read_config()
  spec = intervals.Spec(
    num_resamples=own['evaluate.num_resamples'],
    confidence=own['evaluate.confidence'],
    interval=own['evaluate.interval'],
    prevalence=(),
  )
  files = first.predictions(split), second.predictions(split)
  key = (*files, *(file.stat().st_mtime_ns for file in files), spec)
  if key not in _compared:
    try:
      _compared[key] = paired.compare(
        predictions_csv.read(files[0]), predictions_csv.read(files[1]), paired.headlines(), spec, seed
      )
    except types.UserError as error:
      raise types.UserError(f'{second.path} and {first.path}, {split}: {error}') from None
  return _compared[key]
