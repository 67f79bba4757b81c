"""Evaluate a run's best checkpoint on its own splits, or on another folder of class folders."""

from __future__ import annotations

from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.reports import report
from bloodcell_jax.runs import (
  comparison,
  data_place,
  labelled_folder,
  own_splits,
  saved_run,
  scoring,
)
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import console, lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# Keys without --config change those of the run.
OF_RUN = True
# What to do where the results cannot be written.
WHERE_ELSE = (
  'the results go into the folder of the run: copy it to a writable place, and name the copy with --workdir'
)


def define_flags() -> None:
  """The folder to score, and the groups of its images."""
  flags.DEFINE_string(
    'data_dir',
    '',
    'a folder of class folders, or a CSV of file,label beside its images, to score instead of the splits of the run; '
    'or, if the images of the run have been moved, their new folder',
  )
  flags.DEFINE_string(
    'groups_csv', '', 'CSV of file,group for --data_dir: which images show the same photograph'
  )
  flags.DEFINE_enum(
    'unlike', 'withhold', ['withhold', 'keep'],
    'images of --data_dir that do not look like the training images: withhold their class, or keep it',
  )  # fmt: skip
  flags.DEFINE_enum(
    'on_bad_image', None, reading.BAD_IMAGE_POLICIES,
    'files of --data_dir that cannot be used: list them and stop (fail), or leave them out (skip); if empty, '
    'as in training',
  )  # fmt: skip
  flags.DEFINE_string(
    'compare', '', 'the folder of another run to compare with: how much better it is on the same images'
  )


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Writes predictions, metrics and figures, and the report again."""
  if not request.workdir and request.config is None:
    raise types.UserError('evaluate needs the folder of a run: --workdir=runs/NAME')
  if request.paths:
    raise types.UserError(f'{request.paths[0]}: to score a folder of classes, name it with --data_dir')
  folder = workdir.Workdir(request.folder())
  config = saved_run.changed(folder, request.config, request.changes)
  exp = saved_run.read_experiment(folder, config)
  lock.take(folder.path)
  console.keep(folder.log)
  if flags.FLAGS.compare:
    _compare(folder, workdir.Workdir(flags.FLAGS.compare), exp)
    return
  saved_run.refuse_cross_validation(folder, exp, 'evaluate')
  progress = progress_lib.Progress()
  data_dir = flags.FLAGS.data_dir
  if data_dir and data_place.is_needed(folder, exp, data_dir):
    progress.line(f'{data_dir}: holds the images that the run was trained with; its own splits are scored')
    exp, data_dir = data_place.find(folder, exp, data_dir, progress.line), ''
  elif not data_dir:
    exp = data_place.find(folder, exp, '', progress.line)
  progress.line(f'reading images: {data_dir or exp.data.source}')
  if data_dir:
    policy = flags.FLAGS.on_bad_image or exp.data.on_bad_image
    given = labelled_folder.Given(
      data_dir, flags.FLAGS.groups_csv, policy, keep_unlike=flags.FLAGS.unlike == 'keep'
    )
    note = labelled_folder.score(folder, exp, given, stop, progress)
  else:
    note = own_splits.score(folder, exp, _evaluate_keys(config), stop, progress)
  report.publish(folder, note, progress)


def _compare(folder: workdir.Workdir, other: workdir.Workdir, exp: experiment.Experiment) -> None:
  progress = progress_lib.Progress()
  # Says where there is no run; what is compared are the predictions.
  other.read_config()
  compared = comparison.compare(folder, other, exp)
  for split, entry in compared.entries.items():
    progress.line(comparison.line(split, entry))
  for split, reason in compared.others.items():
    progress.line(f'{split}: not compared: {reason}')
  progress.line(f'{comparison.save(folder, other, compared)}')
  for each in (folder, other):
    of_run = each.read_environment()['data']
    note = scoring.note(of_run['synthetic'], of_run['leaks'])
    if note:
      progress.line(f'{each.path}: {note}')


def _evaluate_keys(config: Any) -> dict[str, Any]:
  """The `evaluate.*` keys of the command's config, without the prefix."""
  keys = {} if config is None else experiment.flat(config)
  return {key.removeprefix('evaluate.'): value for key, value in keys.items() if key.startswith('evaluate.')}
