"""Train and combine the members of an ensemble, combine the predictions of finished runs, or fit trees on features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import host_flags
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import folds
from bloodcell_jax.ensemble_runs import combined_run
from bloodcell_jax.ensembles import method
from bloodcell_jax.heads import trees
from bloodcell_jax.reports import report
from bloodcell_jax.runs import data_place, deep_trees, run_data, saved_run, scoring, tree_features
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic, console, lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# With --trees, keys without --config change those of the run.
OF_RUN = True
# The combinations that need predictions only.
_RULES = tuple(name for name in method.COMBINES if name not in (method.AUTO, *method.WEIGHT_AVERAGES))
_FIXED = (method.MEAN, method.LOGITS, method.GEOMETRIC, method.VOTE)
# Splits on which runs are not combined. Out of fold, each image was predicted without its group, whatever the folds.
_LEFT_OUT = {*scoring.OF_ONE_RUN, workdir.FOLDS} - {folds.OUT_OF_FOLD}
# What to do where the results cannot be written.
WHERE_ELSE = (
  'name a writable folder with --workdir; with --trees, copy the run to such a folder and name that'
)


def define_flags() -> None:
  """Whether to combine finished runs or fit trees, and how."""
  flags.DEFINE_bool('combine', False, 'combine the predictions of the named runs; train nothing')
  flags.DEFINE_bool(
    'trees', False, 'fit a random forest and gradient boosting on the features of the run in --workdir'
  )
  flags.DEFINE_enum(
    'features',
    tree_features.FEATURES[0],
    tree_features.FEATURES,
    'with --trees: the features that they are fitted on',
  )
  flags.DEFINE_enum('rule', method.MEAN, _RULES, 'with --combine: how predictions are combined')
  flags.DEFINE_string(
    'data_dir',
    '',
    "the same as --config.data.dir; with --trees, the folder of the run's images, if they have been moved",
  )
  host_flags.define()


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Trains or continues an ensemble, combines runs, or fits trees."""
  if flags.FLAGS.combine or flags.FLAGS.trees:
    host_flags.check_alone(host_flags.read(), '--combine' if flags.FLAGS.combine else '--trees')
  if flags.FLAGS.combine:
    _combine(request, stop)
    return
  if flags.FLAGS.trees:
    _trees(request, stop)
    return
  if request.config is None:
    raise types.UserError('ensemble needs --config=configs/ensemble.py, or --combine and the folders of runs')
  if not request.config.ensemble.method:
    raise types.UserError(
      f'ensemble.method is empty; choose one of {", ".join(method.METHODS)}, or use configs/ensemble.py'
    )
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: ensemble takes paths with --combine only; name the folder with '
      '--config.data.source=folders --config.data.dir'
    )
  config = experiment.with_data_dir(request.config, commands.data_dir())
  host_flags.train(config, request.folder(), stop)


def _trees(request: commands.Request, stop: signals.Stop) -> None:
  """Writes `trees/KIND` in the folder of a finished run."""
  if not request.workdir:
    raise types.UserError('ensemble --trees needs the folder of a run: --workdir=runs/NAME')
  folder, progress = workdir.Workdir(request.workdir), progress_lib.Progress()
  config = saved_run.changed(folder, request.config, request.changes)
  exp = saved_run.read_experiment(folder, config)
  lock.take(folder.path)
  console.keep(folder.log)
  exp = data_place.find(folder, exp, commands.data_dir(), progress.line)
  data = run_data.read_images(exp, folder, stop, progress)
  deep_trees.run(folder, exp, data, flags.FLAGS.features, trees.KINDS, stop, progress)


def _combine(request: commands.Request, stop: signals.Stop) -> None:
  """Writes the combination of the runs' saved predictions to --workdir."""
  if len(request.paths) < 2:
    raise types.UserError(
      'ensemble --combine needs the folders of two runs or more: ... --combine runs/A runs/B'
    )
  if not request.workdir:
    raise types.UserError('ensemble --combine needs a folder for its files: --workdir=runs/NAME')
  folder, progress = workdir.Workdir(request.workdir), progress_lib.Progress()
  runs = [workdir.Workdir(path) for path in request.paths]
  names = [str(path).rstrip('/') for path in request.paths]
  environments = [one.read_environment() for one in runs]
  exp = saved_run.read_experiment(runs[0], None)
  chosen = flags.FLAGS.rule
  config = {workdir.COMBINED: [str(one.path.absolute()) for one in runs], 'ensemble.combine': chosen}
  lock.take(folder.path)
  console.keep(folder.log)
  folder.write_config(config)
  answers = _answers(runs, names, chosen, progress)
  learned_on = folds.OUT_OF_FOLD if folds.OUT_OF_FOLD in answers else 'validation'
  if chosen not in _FIXED and learned_on not in answers:
    raise types.UserError(
      f'{", ".join(names)}: have no validation in common, on which {chosen} is fitted; choose --rule=mean'
    )
  rule = combined_run.rule(chosen, answers, learned_on, exp.seed)
  note = ' '.join(
    dict.fromkeys(
      note
      for each in environments
      for note in [scoring.note(each['data']['synthetic'], each['data']['leaks'])]
      if note
    )
  )
  more: dict[str, Any] = {'method': 'combined', 'runs': config[workdir.COMBINED]}
  instead: dict[str, types.Predictions] = {}
  if chosen not in _FIXED:
    more['learned_on'] = learned_on
    if learned_on == folds.OUT_OF_FOLD:
      # There is no other split that such a rule could be scored on.
      instead[learned_on] = combined_run.cross_fitted(chosen, answers[learned_on], exp.seed)
      progress.line(f'{learned_on}: each image is answered by {chosen} fitted without its group')
  network = {
    'name': ', '.join(dict.fromkeys(each['network']['name'] for each in environments)),
    'num_parameters': sum(each['network']['num_parameters'] for each in environments),
    'image_size': environments[0]['network']['image_size'],
    'weights': '',
    'stages': [],
  }
  atomic.write_json(folder.environment, {**environments[0], 'network': network})
  result = combined_run.Result(tuple(names), answers, rule, chosen, more, instead, (), (), 1.0)
  # The images of a split are the same in all of the runs.
  converted = {
    split: entry['conversions'] for split, entry in runs[0].read_splits().items() if 'conversions' in entry
  }
  combined_run.write(folder, result, exp, note, None, stop, progress, converted)
  report.publish(folder, note, progress)


def _answers(
  runs: list[workdir.Workdir], names: list[str], rule: str, progress: progress_lib.Progress
) -> dict[str, Sequence[types.Predictions]]:
  """The aligned predictions of the runs on each split that all have predicted.

  Raises:
    UserError: they have none in common, or one whose images, labels or classes differ.
  """
  own = [{path.stem for path in (one.path / 'predictions').glob('*.csv')} for one in runs]
  common = set.intersection(*own) - _LEFT_OUT
  known = [*dataset.SPLITS, *sorted(common - set(dataset.SPLITS))]
  aligned: dict[str, Sequence[types.Predictions]] = {}
  for split in (name for name in known if name in common):
    each = [predictions_csv.read(one.predictions(split)) for one in runs]
    try:
      aligned |= combined_run.align(names, {split: each})
    except types.UserError as error:
      # Runs may differ in their validation split, but not in their test splits.
      if split != 'validation' or rule not in _FIXED or _classes_differ(each):
        raise
      progress.line(f'left out: {error}. Without validation nothing is calibrated')
  if not aligned:
    raise types.UserError(f'{", ".join(names)}: have no split in common; evaluate them first')
  return aligned


def _classes_differ(each: list[types.Predictions]) -> bool:
  return any(a.class_names != b.class_names for a, b in itertools.pairwise(each))
