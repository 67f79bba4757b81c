"""Writes predictions, metrics and figures of each split to the folder of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import bagging, folds, leaks
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.plots import confusion, figure, reliability, risk_coverage
from bloodcell_jax.reports import review_images, selection
from bloodcell_jax.stats import bootstrap, by_laboratory, calibration, collapse, metrics, unlike
from bloodcell_jax.storage import config_keys, groups_csv, predictions_csv, workdir
from bloodcell_jax.system import atomic

# Splits that differ between runs on the same data.
OF_ONE_RUN = ('train', bagging.OUT_OF_BAG, folds.HELD_OUT, folds.OUT_OF_FOLD, selection.CROSS_FITTED)
# Names of entries in metrics.json that a folder given by --data_dir may not take.
RESERVED = (*dataset.SPLITS, *OF_ONE_RUN, workdir.FOLDS)
SYNTHETIC = 'Synthetic data: drawn by the package, no real cells. These figures say nothing about real blood.'
SYNTHETIC_TRAINING = (
  'Synthetic data in training: the network has learned from smears drawn by the package. These figures say nothing '
  'about a network trained on real blood.'
)


def note(synthetic: bool, leak: Mapping[str, int]) -> str:
  """The note to show wherever a result on the run's own images is shown; empty where nothing is to be said.

  Args:
    synthetic: whether the images are.
    leak: the numbers of leaking images, as `leaks.Leaks.counts`.
  """
  return ' '.join(filter(None, (SYNTHETIC if synthetic else '', leaks.note(leak))))


def note_of_others(synthetic: bool, leak: Mapping[str, int]) -> str:
  """As `note`, for images that are not the run's own, such as a user's photographs.

  Args:
    synthetic: whether the images that the network was trained on are.
    leak: those of the run, as for `note`.
  """
  return ' '.join(filter(None, (SYNTHETIC_TRAINING if synthetic else '', leaks.note(leak))))


@dataclasses.dataclass(frozen=True)
class Split:
  """Images that are scored together."""

  name: str  # of the files, and of the entry in `metrics.json`
  predictions: types.Predictions
  # The uint8 image of a row of `predictions`, for those that a person should look at; None to show none.
  image_of: Callable[[int], np.ndarray] | None
  # How unlike the training the images are; None where it is not known. Images of a run's own split keep their class in
  # its predictions, and count as withheld in what `doubt` says.
  judgement: unlike.Judgement | None
  conversions: Mapping[str, int] | None  # by conversion the number of images; None if not known
  # Further keys of images that are no split of the run; None for those of one.
  about: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Basis:
  """What the figures of a split rest on, besides its images."""

  exp: experiment.Experiment  # the settings of the intervals and the seed of the resamples
  note: str  # the result of `note`, shown with every figure
  origin: Mapping[str, int]  # the checkpoint that predicted
  rule: calibration.Calibration | None  # of the run, fitted on validation; None without one


def write(folder: workdir.Workdir, split: Split, basis: Basis) -> dict[str, Any]:
  """Writes the predictions and figures of a split and adds its entry to `metrics.json`; returns its figures."""
  if split.name == workdir.FOLDS:
    raise ValueError(f'{split.name!r} cannot name a split: metrics.json uses it for the folds')
  predictions, judgement, exp, rule = split.predictions, split.judgement, basis.exp, basis.rule
  is_own = split.about is None
  shown = dataclasses.replace(judgement, keep=True) if judgement is not None and is_own else judgement
  predictions_csv.write(folder.predictions(split.name), predictions, shown)
  groups_csv.write(folder.groups(split.name), groups_csv.table(predictions))
  if split.image_of is not None:
    chosen = review_images.choose(predictions)
    review_images.write(folder.review(split.name), review_images.items(predictions, chosen, split.image_of))
  figures = bootstrap.summary(predictions, exp.intervals, exp.seed)
  if rule is not None:
    figures['doubt'] = calibration.summary(rule, predictions, exp.intervals, exp.seed, judgement)
  if judgement is not None:
    figures['unlike'] = unlike.summary(judgement)
  if is_own and exp.data.source == laboratories.NAME:
    name_N = laboratories.of_groups(predictions.group_N)
    figures['by_laboratory'] = by_laboratory.summary(
      predictions, name_N, rule, exp.intervals, exp.seed, judgement
    )
  for name, picture in _pictures(split.name, predictions, figures, rule):
    figure.write(folder.figures / f'{name}_{split.name}.png', picture, basis.note)
  leak = folder.read_environment()['data']['leaks']
  entry = {**figures, 'note': basis.note, 'leak': leak, **source(basis.origin, exp), **(split.about or {})}
  if split.conversions is not None:
    entry['conversions'] = dict(split.conversions)
  atomic.write_json(folder.metrics, {**folder.read_metrics(), split.name: entry})
  return figures


def _pictures(
  split: str, predictions: types.Predictions, figures: Mapping[str, Any], rule: calibration.Calibration | None
) -> Iterator[tuple[str, Any]]:
  """(name, figure)."""
  title = f'{split}: {figures["num_images"]:,} images of {figures["num_groups"]:,} groups'
  yield 'confusion', confusion.plot(np.array(figures['confusion']), predictions.class_names, title)
  if rule is None:
    yield 'reliability', reliability.plot(metrics.sums(predictions)[0].bin_S3.sum(0), title)
    return
  scaled = calibration.scaled(predictions, rule.temperature)
  bins = [metrics.sums(each)[0].bin_S3.sum(0) for each in (predictions, scaled)]
  yield 'reliability', reliability.plot(bins[0], title)
  yield 'reliability_calibrated', reliability.plot(bins[1], f'{title}, temperature {rule.temperature:.2f}')
  _, coverage, error = calibration.risk_coverage(scaled)
  entry = figures['doubt']
  chosen = (entry['named']['value'], entry['error']['value']) if entry['num_named'] else None
  yield 'risk_coverage', risk_coverage.plot(coverage, error, chosen, rule.max_error, title)


def source(origin: Mapping[str, int], exp: experiment.Experiment) -> dict[str, Any]:
  """What an entry in `metrics.json` was computed from: the checkpoint, and the `evaluate.*` keys."""
  return {'checkpoint': dict(origin), 'evaluation': exp.evaluation}


def sources(folder: workdir.Workdir) -> dict[str, dict[str, Any]]:
  """The `source` of each entry in `metrics.json`; an entry of an older run has the keys of the config.

  Raises:
    UserError: metrics or config are damaged.
  """
  saved = folder.read_config() if folder.config.exists() else {}
  before = {
    key.removeprefix('evaluate.'): value for key, value in saved.items() if config_keys.is_of_figures(key)
  }
  return {
    split: {'checkpoint': entry['checkpoint'], 'evaluation': entry.get('evaluation', before)}
    for split, entry in folder.read_splits().items()
  }


def origins(folder: workdir.Workdir) -> dict[str, dict[str, Any]]:
  """The `source` of each split, without splits of which a file is missing or damaged."""
  try:
    known_sources = sources(folder)
  except types.UserError:
    return {}
  if any(path.exists() and not atomic.is_intact(path) for path in (folder.calibration, folder.report)):
    return {}
  return {
    split: each
    for split, each in known_sources.items()
    if all(atomic.is_intact(path(split)) for path in (folder.predictions, folder.groups, folder.review))
  }


def line(split: str, figures: dict[str, Any]) -> str:
  """A one-line summary of a split's metrics with intervals."""

  def text(name: str) -> str:
    entry = figures[name]
    value, low, high = entry['value'], entry['low'], entry['high']
    bounds = '' if low is None or high is None else f' [{low:.3f}, {high:.3f}]'
    return f'{name} n/a' if value is None else f'{name} {value:.3f}{bounds}'

  left = figures.get('doubt')
  suffix = f'; {1 - left["named"]["value"]:.0%} left for review' if left else ''
  return (
    f'{split}: {", ".join(text(figure.name) for figure in metrics.headlines())} '
    f'({figures["num_images"]:,} images, {figures["num_groups"]:,} groups){suffix}'
  )


def lines(split: str, figures: dict[str, Any]) -> list[str]:
  """What is said of a run's own split once it is scored: that it is foreign, if it is; `line`; a warning, if any."""
  foreign = unlike.line(figures['unlike']) if unlike.is_foreign(figures.get('unlike')) else ''
  return [
    one for one in (foreign and f'{split}: {foreign}', line(split, figures), warning(split, figures)) if one
  ]


def warning(split: str, figures: Mapping[str, Any]) -> str:
  """A warning where images of several classes are all predicted as one, as by a collapsed network; else empty."""
  name = collapse.predicted_class(figures)
  if not name:
    return ''
  return (
    f'{split}: every image is predicted as {name}. The network has learned nothing, or its units have died: look at '
    'the training loss, try another seed or a lower optimizer.learning_rate'
  )


def drop_others(folder: workdir.Workdir, wanted: Mapping[str, Any]) -> list[str]:
  """Removes the entries of `metrics.json` whose `source` is not the wanted one; returns their splits."""
  others = [split for split, each in sources(folder).items() if each != wanted]
  if others:
    kept = {name: entry for name, entry in folder.read_metrics().items() if name not in others}
    atomic.write_json(folder.metrics, kept)
  return others


def known(splits: Sequence[str], rows: Mapping[str, Any]) -> list[str]:
  """The wanted splits that the data has; validation where it has none of them."""
  return [split for split in splits if split in rows] or ['validation']


def substitution(splits: Sequence[str], rows: Mapping[str, Any]) -> str:
  """A note where validation is scored in place of the wanted splits; else empty."""
  if any(split in rows for split in splits):
    return ''
  return (
    f'evaluate.splits is {", ".join(splits) or "empty"}, but this data has none of them: validation is '
    'scored, which also chose the epoch'
  )
