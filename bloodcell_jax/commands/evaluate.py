"""Score a run's best checkpoint on its own splits, or on a folder of classes that it has never seen."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable
from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.reports import report
from bloodcell_jax.runs import comparison, model_set, opening, scoring
from bloodcell_jax.stats import doubt
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress, signals

# Before a split's name they make that of another picture.
_PREFIXES = ('calibrated_',)


def define_flags() -> None:
  """The folder to score, and the groups of its images."""
  flags.DEFINE_string('data_dir', '', 'a folder of class folders to score instead of the splits of the run')
  flags.DEFINE_string(
    'groups_csv', '', 'CSV of file,group for --data_dir: which images show the same photograph'
  )
  flags.DEFINE_string('compare', '', 'the folder of another run: how much better it is on the same images')


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Writes predictions, figures of merit and pictures, and the report anew."""
  if not request.workdir and request.config is None:
    raise types.UserError('evaluate needs the folder of a run: --workdir=runs/NAME')
  if request.paths:
    raise types.UserError(f'{request.paths[0]}: to score a folder of classes, name it with --data_dir')
  folder = workdir.Workdir(request.folder())
  exp = opening.of(folder, request.config)
  lock.take(folder.path)
  if flags.FLAGS.compare:
    _compare(folder, workdir.Workdir(flags.FLAGS.compare), exp)
    return
  opening.refuse_cross_validation(folder, exp, 'evaluate')
  environment = folder.read_environment()
  shown = progress.Progress()
  own = flags.FLAGS.data_dir
  shown.line(f'reading images: {own or exp.data.source}')
  if own:
    spec = dataclasses.replace(
      exp.data, source='folders', dir=own, groups_csv=flags.FLAGS.groups_csv, labels_csv=''
    )
    split = _name(own)
    class_names = tuple(environment['data']['class_names'])
    build: Callable[[Callable[[int, int], None]], dataset.Dataset] = functools.partial(
      reading.whole, spec, split, class_names, folder.cache
    )
  else:
    build = opening.reader(exp, folder.cache)
  data = opening.read_data(build, stop, shown)
  if not own:
    folder.check_data(data.fingerprint())
  answering = model_set.load(
    folder, exp, lambda one: data if own or one is exp else opening.divide(data, one), stop, shown
  )
  rule = model_set.rule(folder, answering, exp) if own else None
  if own and rule is None:
    raise types.UserError(
      f'{folder.calibration}: missing; evaluate the run on its own splits, which writes it'
    )
  of_run = environment['data']
  said = scoring.note(data.table.synthetic or of_run['synthetic'], of_run['leaks'])
  if not own and (substituted := scoring.substitution(exp.evaluate_splits, data.rows)):
    shown.line(substituted)
  wanted = [split] if own else scoring.known(exp.evaluate_splits, data.rows)
  for name, found in answering.predict_each(wanted if own else dict.fromkeys(('validation', *wanted))):
    if name == 'validation':
      rule = doubt.fit(found, exp.doubt)
      dropped = scoring.drop_others(folder, scoring.source(answering.origin, exp))
      if left := [split for split in dropped if split not in wanted]:
        shown.line(f'no longer in the report, because scored otherwise than now: {", ".join(left)}')
      folder.begin_scoring({**_given(request), **exp.evaluation})
      calibration_file.write(folder, rule, answering.fitted_for())
    if name not in wanted:
      continue
    figures = scoring.write(folder, name, found, exp, said, answering.origin, rule, data.image_of(name))
    shown.line(scoring.line(name, figures))
  report.write(folder)
  shown.line(f'report: {folder.report}')
  if said:
    shown.line(said)


def _compare(folder: workdir.Workdir, other: workdir.Workdir, exp: experiment.Experiment) -> None:
  shown = progress.Progress()
  for split, entry in comparison.write(folder, other, exp).items():
    shown.line(comparison.line(split, entry))
  for each in (folder, other):
    of_run = each.read_environment()['data']
    said = scoring.note(of_run['synthetic'], of_run['leaks'])
    if said:
      shown.line(f'{each.path}: {said}')


def _given(request: commands.Request) -> dict[str, Any]:
  """The keys of the section `evaluate` that the command was given."""
  keys = {} if request.config is None else experiment.flat(request.config)
  return {key.removeprefix('evaluate.'): value for key, value in keys.items() if key.startswith('evaluate.')}


def _name(data_dir: str) -> str:
  """What the folder's entry is called: its own name, made fit for a file.

  Raises:
    UserError: a run has files or an entry of that name, which it would replace.
  """
  name = re.sub(r'[^A-Za-z0-9_.-]+', '_', pathlib.Path(data_dir).resolve().name)
  if name in scoring.RESERVED or name.startswith(_PREFIXES) or not name:
    raise types.UserError(f'{data_dir}: is named like a split of the run; rename the folder')
  return name
