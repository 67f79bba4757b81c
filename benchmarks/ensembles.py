"""The table of ensembles in docs/results.md, from the folders of runs of configs/ensemble.py.

python -m benchmarks.ensembles runs/average runs/bagging runs/samme runs/stacking

The first folder is that of an average: all others are compared with its member of lowest validation log loss, paired
on the same images. Rules that need no training are computed from its members' predictions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import results
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.division import folds
from bloodcell_jax.ensemble_runs import combined_run
from bloodcell_jax.ensembles import method
from bloodcell_jax.reports import split_section
from bloodcell_jax.runs import model_set, saved_run
from bloodcell_jax.stats import bootstrap, paired
from bloodcell_jax.storage import ensemble_file, predictions_csv, workdir

SPLIT = 'test'
FIXED = (method.MEAN, method.GEOMETRIC, method.VOTE, method.WEIGHTED)


def main(arguments: Sequence[str]) -> None:
  """Prints the section."""
  if len(arguments) < 1:
    sys.exit('usage: python -m benchmarks.ensembles AVERAGE_FOLDER [FOLDER ...]')
  folders = [workdir.Workdir(argument) for argument in arguments]
  exp = saved_run.read_experiment(folders[0], None)
  first = _members(folders[0], (SPLIT, 'validation'))
  chosen = combined_run.best(first)
  assert chosen is not None
  rows = list(_rows(folders, first, chosen, exp))
  base = first[SPLIT][chosen]
  print(_head(folders, exp, chosen))
  print('| networks | accuracy | macro F1 | log loss | ECE | accuracy against the best member | p |')
  print('|---|---:|---:|---:|---:|---:|---:|')
  for name, predictions in rows:
    summary = bootstrap.summary(predictions, exp.intervals, exp.seed)
    cells = [split_section.figure(summary[key]) for key in ('accuracy', 'macro_f1', 'log_loss', 'ece')]
    print(f'| {name} | {" | ".join(cells)} | {_gain(base, predictions, exp)} |')
  print()
  for line in _notes(folders):
    print(f'- {line}')


def _members(folder: workdir.Workdir, splits: Sequence[str]) -> combined_run.Answers:
  numbers = json.loads(folder.ensemble.read_text())['members']
  own = [workdir.Workdir(ensemble_file.member(folder, int(k))) for k in numbers]
  return combined_run.align(
    [f'member {k}' for k in numbers],
    {split: [predictions_csv.read(one.predictions(split)) for one in own] for split in splits},
  )


def _rows(
  folders: Sequence[workdir.Workdir], first: combined_run.Answers, chosen: int, exp: experiment.Experiment
) -> Iterator[tuple[str, types.Predictions]]:
  """(name, predictions of TEST in the order of the first folder)."""
  for i, one in enumerate(first[SPLIT]):
    yield f'member {i + 1}{", the best on validation" if i == chosen else ""}', one
  for name in FIXED:
    rule = combined_run.rule(name, first, 'validation', exp.seed)
    yield f'average: {name}', model_set.combined(rule, list(first[SPLIT]))
  for folder in folders[1:]:
    record = json.loads(folder.ensemble.read_text())
    if record['combine'] in method.STACKED:
      yield from _stacked(folder, exp)
    else:
      predictions = predictions_csv.read(folder.predictions(SPLIT))
      yield f'{record["method"]} of {len(record["members"])}', paired.aligned(first[SPLIT][0], predictions)


def _stacked(folder: workdir.Workdir, exp: experiment.Experiment) -> Iterator[tuple[str, types.Predictions]]:
  """Each meta-learner on the same predictions out of fold."""
  members = dict(_members(folder, (SPLIT,)))
  numbers = json.loads(folder.ensemble.read_text())['members']
  own = [
    workdir.Workdir(ensemble_file.member(folder, int(k)) / folds.OUT_OF_FOLD).predictions(folds.OUT_OF_FOLD)
    for k in numbers
  ]
  learned = combined_run.align(numbers, {folds.OUT_OF_FOLD: [predictions_csv.read(path) for path in own]})
  for name in method.STACKED:
    rule = combined_run.rule(name, {**members, **learned}, folds.OUT_OF_FOLD, exp.seed)
    yield f'stacked: {name}', model_set.combined(rule, list(members[SPLIT]))


def _gain(base: types.Predictions, other: types.Predictions, exp: experiment.Experiment) -> str:
  if other is base:
    return ' | '
  entry = paired.compare(base, other, paired.headlines(), exp.intervals, exp.seed)['accuracy']
  return f'{entry["difference"]:+.3f} [{entry["low"]:+.3f}, {entry["high"]:+.3f}] | {entry["p_value"]:.3f}'


def _head(folders: Sequence[workdir.Workdir], exp: experiment.Experiment, chosen: int) -> str:
  environment = folders[0].read_environment()
  metrics = json.loads(folders[0].metrics.read_text())[SPLIT]
  commands = '\n'.join(f'`{_command(folder)}`\n' for folder in folders)
  notes = ''.join(f'**{note}**\n\n' for note in dict.fromkeys([metrics['note']]) if note)
  return (
    f'## Ensembles of {exp.model.name}\n\n{notes}{commands}\n{environment["date"]}, {environment["platform"]}, '
    f'{environment["num_cores"]} cores, {environment["data"]["name"]}. TEST: {metrics["num_images"]:,} images of '
    f'{metrics["num_groups"]} groups. The best member is number {chosen + 1} of the average, which has the least log '
    'loss on validation; nothing was chosen on TEST. Intervals and p-values are by groups, and those of the difference '
    'in pairs: the same groups for both.\n'
  )


def _command(folder: workdir.Workdir) -> str:
  config = folder.read_config()
  stacked = config['ensemble.combine'] in method.STACKED
  return results.command(
    f'configs/ensemble.py:{"stacking" if stacked else config["ensemble.method"]}', config
  )


def _notes(folders: Sequence[workdir.Workdir]) -> Iterator[str]:
  """Diversity, curves, out-of-bag accuracy and boosting errors of the folders, one line each."""
  for folder in folders:
    record: dict[str, Any] = json.loads(folder.ensemble.read_text())
    name = record['method'] if record['combine'] not in method.STACKED else 'stacking'
    pairs = record['diversity'][SPLIT]
    measures = ', '.join(
      f'{key.replace("_", " ")} {value:.3f}' for key, value in pairs.items() if value is not None
    )
    yield f'{name}: pairs of members on TEST, on average: {measures}.'
    if 'curve' in record and record['method'] not in method.BOOSTING:
      curve = record['curve']
      steps = ', '.join(
        f'{size}: {error:.3f} [{low:.3f}, {high:.3f}]'
        for size, error, low, high in zip(
          curve['size_S'], curve['error_S'], curve['low_S'], curve['high_S'], strict=True
        )
      )
      yield f'{name}: TEST error by number of members, over subsets and groups: {steps}.'
    if 'out_of_bag_share' in record:
      metrics = json.loads(folder.metrics.read_text())
      bag, test = (split_section.figure(metrics[split]['accuracy']) for split in ('out_of_bag', SPLIT))
      yield (
        f'{name}: accuracy out of bag {bag}, on {record["out_of_bag_share"]:.1%} of the training images; TEST {test}.'
      )
    if 'boosting' in record:
      boosting = record['boosting']
      errors = ', '.join(f'{error:.3f}' for error in boosting['training_error'])
      bound = (
        f'; the vote errs on {boosting["group_error"]:.3f} of the training groups, theory allows '
        f'{min(1.0, boosting["group_error_bound"]):.3f}'
        if 'group_error' in boosting
        else ''
      )
      yield f'{name}: weighted error of each member on training groups {errors}{bound}.'


if __name__ == '__main__':
  try:
    main(sys.argv[1:])
  except types.UserError as error:
    sys.exit(str(error))
