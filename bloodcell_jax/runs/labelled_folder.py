"""Labelled images that are no split of a run, scored by it: those of `evaluate --data_dir`."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import pathlib
from typing import Any

import numpy as np

from bloodcell_jax.base import types, wording
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.images import cell_view, sizes
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.runs import aligned_network, model_set, run_data, scoring, seen_images, unlike_measure
from bloodcell_jax.stats import unlike
from bloodcell_jax.storage import unlike_file, workdir
from bloodcell_jax.system import portable_name
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# A name with such a prefix would be the name of another figure.
_PREFIXES = ('calibrated_',)


@dataclasses.dataclass(frozen=True)
class Given:
  """The images, as the user names them."""

  data_dir: str  # a folder of class folders, or a CSV of file,label beside its images
  groups_csv: str  # CSV of file,group; '' for none
  on_bad_image: str  # one of `reading.BAD_IMAGE_POLICIES`
  keep_unlike: bool  # whether images that do not look like the training are named all the same


def score(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  given: Given,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> str:
  """Scores the images as an entry of their own, named like their folder or list.

  Args:
    folder: the run's.
    exp: its experiment, with the `evaluate.*` keys in use.
    given: the images.
    stop: polled between batches.
    progress: told of what is found.

  Returns:
    The note that belongs to the figures.

  Raises:
    UserError: the run has no calibration, or the images cannot be used.
  """
  of_run, images = folder.read_environment()['data'], _images(given.data_dir)
  split = _name(folder, given.data_dir, images)
  asked: dict[str, Any] = {**images, 'groups_csv': given.groups_csv, 'on_bad_image': given.on_bad_image}
  spec = dataclasses.replace(exp.data, source='folders', **asked)
  data = run_data.read(
    functools.partial(reading.whole, spec, split, tuple(of_run['class_names']), folder.cache), stop, progress
  )
  size_N2 = np.zeros((0, 2), np.int32) if data.size_N2 is None else data.size_N2
  has_scale = exp.data.decode.view in cell_view.SIDES
  if not has_scale and (other_size := sizes.warning(size_N2, of_run.get('image_sizes', {}))):
    progress.line(other_size)
  models = model_set.load(folder, exp, lambda _: data, stop, progress)
  rule = model_set.read_rule(folder, models, exp)
  if rule is None:
    raise types.UserError(
      f'{folder.calibration}: missing; evaluate the run on its own splits, which writes it'
    )
  judgement = None
  measure = unlike_measure.read(folder, models)
  if measure is None:
    progress.line(unlike_measure.missing(folder))
  else:
    look_NL = unlike_measure.of_rows(measure, models.networks[0], data, data.rows[split])
    names = [split] * len(look_NL)
    judgement = unlike.judge(measure.references, look_NL, names, exp.unlike, given.keep_unlike)
    models = _aligned(measure, models, data, judgement, progress)
  seen = seen_images.compare(folder, data, split)
  sentence = seen.sentence() if seen else seen_images.NOT_KEPT
  note = scoring.note_of_others(data.table.synthetic or of_run['synthetic'], of_run['leaks'])
  if seen and seen.num_seen:
    note = f'{note} {wording.capital(sentence)}.'.strip()
  about: dict[str, Any] = {
    'images': images,
    'run': str(folder.path.resolve()),
    'seen_note': f'{wording.capital(sentence)}.',
    **seen_images.entry(seen),
    'leak': {**of_run['leaks'], 'test_in_training': seen and seen.num_seen},
  }
  for name, predictions in models.predict_each([split]):
    scored = scoring.Split(name, predictions, data.image_of(name), judgement, data.conversions(name), about)
    figures = scoring.write(folder, scored, scoring.Basis(exp, note, models.origin, rule))
    first, warning = unlike.line(figures.get('unlike')), scoring.warning(name, figures)
    for said in filter(None, (first, scoring.line(name, figures), warning)):
      progress.line(said)
  progress.line(f'{split}: {sentence}')
  return note


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
