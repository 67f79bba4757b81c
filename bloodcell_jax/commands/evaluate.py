"""Evaluate a run's best checkpoint on its own splits, or on another folder of class folders."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types, wording
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.images import cell_view, sizes
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.reports import report
from bloodcell_jax.runs import (
  aligned_network,
  comparison,
  cross_fitted,
  data_place,
  model_set,
  run_data,
  saved_run,
  scoring,
  seen_images,
  unlike_measure,
  validation_rule,
)
from bloodcell_jax.stats import unlike
from bloodcell_jax.storage import calibration_file, unlike_file, workdir
from bloodcell_jax.system import console, lock, portable_name
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# Keys without --config change those of the run.
OF_RUN = True
# A split's name with such a prefix would be the name of another figure.
_PREFIXES = ('calibrated_',)
# What to do where the results cannot be written.
WHERE_ELSE = (
  'the results lie in the folder of the run: copy it to where it can be written, and name that with --workdir'
)


def define_flags() -> None:
  """The folder to score, and the groups of its images."""
  flags.DEFINE_string(
    'data_dir',
    '',
    'a folder of class folders, or a CSV of file,label beside its images, to score instead of the splits of the run; '
    'or, where the images of the run were moved, their new folder',
  )
  flags.DEFINE_string(
    'groups_csv', '', 'CSV of file,group for --data_dir: which images show the same photograph'
  )
  flags.DEFINE_enum(
    'unlike', 'withhold', ['withhold', 'keep'],
    'images of --data_dir that do not look like the training: withhold their class, or keep it',
  )  # fmt: skip
  flags.DEFINE_enum(
    'on_bad_image', None, reading.BAD_IMAGE_POLICIES,
    'files of --data_dir that cannot be used: list them and stop (fail), or leave them out; if empty, as in training',
  )  # fmt: skip
  flags.DEFINE_string('compare', '', 'the folder of another run: how much better it is on the same images')


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
  environment = folder.read_environment()
  progress = progress_lib.Progress()
  data_dir = flags.FLAGS.data_dir
  if data_dir and data_place.is_needed(folder, exp, data_dir):
    progress.line(f'{data_dir}: holds the images that the run was trained with; its own splits are scored')
    exp, data_dir = data_place.find(folder, exp, data_dir), ''
  elif not data_dir:
    exp = data_place.find(folder, exp, '')
  progress.line(f'reading images: {data_dir or exp.data.source}')
  if data_dir:
    images = _images(data_dir)
    policy = flags.FLAGS.on_bad_image or exp.data.on_bad_image
    given = {**images, 'groups_csv': flags.FLAGS.groups_csv, 'on_bad_image': policy}
    spec = dataclasses.replace(exp.data, source='folders', **given)
    split = _name(folder, data_dir, images)
    class_names = tuple(environment['data']['class_names'])
    build: Callable[[Callable[[int, int], None]], dataset.Dataset] = functools.partial(
      reading.whole, spec, split, class_names, folder.cache
    )
  else:
    build = run_data.reader(exp, folder.cache)
  with contextlib.nullcontext() if data_dir else run_data.advising_of(folder):
    data = run_data.read(build, stop, progress)
  seen_N2 = data.size_N2 if data_dir and data.size_N2 is not None else np.zeros((0, 2), np.int32)
  has_scale = exp.data.decode.view in cell_view.SIDES
  if not has_scale and (other_size := sizes.warning(seen_N2, environment['data'].get('image_sizes', {}))):
    progress.line(other_size)
  if not data_dir:
    folder.check_data(data.fingerprint())
    data_place.remember(folder, exp)
  models = model_set.load(
    folder, exp, lambda one: data if data_dir or one is exp else run_data.divide(data, one), stop, progress
  )
  rule = model_set.read_rule(folder, models, exp) if data_dir else None
  if data_dir and rule is None:
    raise types.UserError(
      f'{folder.calibration}: missing; evaluate the run on its own splits, which writes it'
    )
  judgements: dict[str, unlike.Judgement] = {}
  if data_dir:
    measure = unlike_measure.read(folder, models)
    if measure is None:
      progress.line(unlike_measure.missing(folder))
    else:
      judgements = {split: _judgement(measure, models, data, split, exp)}
      models = _aligned(measure, models, data, judgements[split], progress)
  of_run = environment['data']
  about_run = data.table.synthetic or of_run['synthetic'], of_run['leaks']
  note = scoring.note_of_others(*about_run) if data_dir else scoring.note(*about_run)
  about: dict[str, Any] | None = None
  if data_dir:
    seen = seen_images.compare(folder, data, split)
    sentence = seen.sentence() if seen else seen_images.NOT_KEPT
    about = {
      'images': images,
      'run': str(folder.path.resolve()),
      'seen_note': f'{wording.capital(sentence)}.',
    }
    about |= {
      **seen_images.entry(seen),
      'leak': {**of_run['leaks'], 'test_in_training': seen and seen.num_seen},
    }
    if seen and seen.num_seen:
      note = f'{note} {wording.capital(sentence)}.'.strip()
  if not data_dir and (substituted := scoring.substitution(exp.evaluate_splits, data.rows)):
    progress.line(substituted)
  wanted = [split] if data_dir else scoring.known(exp.evaluate_splits, data.rows)
  for name, predictions in models.predict_each(
    wanted if data_dir else dict.fromkeys(('validation', *wanted))
  ):
    if name == 'validation':
      fitted_for = models.fitted_for()
      adapted, kept = cross_fitted.read(folder), cross_fitted.measure(folder)
      rule = validation_rule.fit(adapted or predictions, exp, fitted_for.temperature)
      dropped = scoring.drop_others(folder, scoring.source(models.origin, exp))
      if left := [split for split in dropped if split not in wanted]:
        progress.line(f'no longer in the report, because evaluated differently: {", ".join(left)}')
      folder.begin_scoring({**_evaluate_keys(config), **exp.evaluation})
      calibration_file.write(folder, rule, fitted_for)
      if adapted:
        of_others = scoring.note_of_others(*about_run)
        progress.line(cross_fitted.write(folder, adapted, data, exp, of_others, models.origin, rule))
      if kept:
        # It is the measure of the new laboratory; the run's own splits may be of the old one, and are not judged by it.
        unlike_file.write(folder, kept)
      elif not adapted:
        unlike_measure.write(folder, data, fitted_for, models.networks[0], exp.seed)
        judgements = unlike_measure.judge_splits(folder, models.networks[0], data, wanted, exp.unlike)
    if name not in wanted:
      continue
    image_of, converted = data.image_of(name), data.conversions(name)
    figures = scoring.write(
      folder,
      name,
      predictions,
      exp,
      note,
      models.origin,
      rule,
      image_of,
      judgements.get(name),
      converted,
      about,
    )
    first = unlike.line(figures.get('unlike'))
    if first and (data_dir or unlike.is_foreign(figures['unlike'])):
      progress.line(first if data_dir else f'{name}: {first}')
    progress.line(scoring.line(name, figures))
    if warning := scoring.warning(name, figures):
      progress.line(warning)
  if data_dir:
    progress.line(f'{split}: {sentence}')
  report.publish(folder, note, progress)


def _judgement(
  measure: unlike_file.Measure,
  models: model_set.ModelSet,
  data: dataset.Dataset,
  split: str,
  exp: experiment.Experiment,
) -> unlike.Judgement:
  """How unlike the training the images of a folder are."""
  look_NL = unlike_measure.of_rows(measure, models.networks[0], data, data.rows[split])
  keep = flags.FLAGS.unlike == 'keep'
  return unlike.judge(measure.references, look_NL, [split] * len(look_NL), exp.unlike, keep)


def _aligned(
  measure: unlike_file.Measure,
  models: model_set.ModelSet,
  data: dataset.Dataset,
  judgement: unlike.Judgement,
  progress: progress_lib.Progress,
) -> model_set.ModelSet:
  """The networks for images of another laboratory, where the run asks for it; else the same."""
  rows = np.arange(len(data.table))
  if (
    not judgement.foreign
    or len(rows) < aligned_network.LEAST_IMAGES
    or not aligned_network.can_align(models, measure)
  ):
    return models
  progress.line(
    "features are aligned with the training's (evaluate.align_features); the calibration does not hold for these images"
  )
  return aligned_network.align(models, measure, list(data.image_NHWC[aligned_network.sample(rows)]))


def _compare(folder: workdir.Workdir, other: workdir.Workdir, exp: experiment.Experiment) -> None:
  progress = progress_lib.Progress()
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


def _images(data_dir: str) -> dict[str, str]:
  """The folder of the images and, if they are labelled by a list, its path; both absolute."""
  path = os.path.abspath(data_dir)
  if input_paths.is_list(path):
    return {'dir': os.path.dirname(path), 'labels_csv': path}
  return {'dir': path, 'labels_csv': ''}


def _name(folder: workdir.Workdir, data_dir: str, images: dict[str, str]) -> str:
  """The name of the entry for these images: that of their folder or list, with `-2`, `-3`, ... where others have it.

  Raises:
    UserError: a run uses that name for its own files or entries.
  """
  path = pathlib.Path(data_dir).resolve()
  name = portable_name.portable_name(path.stem if images['labels_csv'] else path.name) or 'images'
  if name in scoring.RESERVED or name.startswith(_PREFIXES):
    raise types.UserError(f'{data_dir}: is named like a split of the run; rename the folder')
  entries = folder.read_metrics()
  names = itertools.chain([name], (f'{name}-{number}' for number in itertools.count(2)))
  # Names that differ in case alone are one file on Windows and macOS.
  taken = set(map(str.casefold, entries))
  return next(
    one
    for one in names
    if (one in entries and entries[one].get('images') == images) or one.casefold() not in taken
  )
