"""A job's predictions, figures of merit and pictures for each split, written to its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import bagging, folds, leaks
from bloodcell_jax.plots import confusion, figure, reliability, risk_coverage
from bloodcell_jax.reports import review_images
from bloodcell_jax.stats import bootstrap, calibration, metrics
from bloodcell_jax.storage import groups_csv, predictions_csv, workdir
from bloodcell_jax.system import atomic

# Splits of rows that a run was trained with or without, and another run may not have been.
OF_ONE_RUN = ('train', bagging.OUT_OF_BAG, folds.HELD_OUT, folds.OUT_OF_FOLD)
# The names of what a run has in metrics.json by itself: a folder that is scored needs another one.
RESERVED = (*dataset.SPLITS, *OF_ONE_RUN, workdir.FOLDS)
SYNTHETIC = 'Synthetic data: drawn by the package, no real cells. These figures say nothing about real blood.'


def note(synthetic: bool, leak: Mapping[str, int]) -> str:
  """What must be said wherever a figure of a network or of data is shown; empty where there is nothing.

  Args:
    synthetic: whether the network or the data was drawn.
    leak: how many images leak, as `leaks.Leaks.counts`.
  """
  return ' '.join(filter(None, (SYNTHETIC if synthetic else '', leaks.note(leak))))


def write(
  folder: workdir.Workdir,
  split: str,
  found: types.Predictions,
  exp: experiment.Experiment,
  said: str,
  origin: Mapping[str, int],
  rule: calibration.Calibration | None,
  image_of: Callable[[int], np.ndarray] | None,
) -> dict[str, Any]:
  """Writes the predictions and pictures of one split and adds its figures to `metrics.json`.

  Args:
    folder: the run's.
    split: the name that the files and the entry get.
    found: the predictions.
    exp: how intervals are made, and the seed of their resamples.
    said: the note of the data, shown with every figure.
    origin: which checkpoint predicted, written into the entry.
    rule: what validation says of the run's doubt; None where nothing does.
    image_of: the uint8 image of a row of `found`, for those that a person should look at; None to show none.
  """
  if split == workdir.FOLDS:
    raise ValueError(f'{split!r} is no name of a split: metrics.json has another entry of that name')
  predictions_csv.write(folder.predictions(split), found)
  groups_csv.write(folder.groups(split), groups_csv.table(found))
  if image_of is not None:
    review_images.write(
      folder.review(split), review_images.items(found, review_images.choose(found), image_of)
    )
  figures = bootstrap.summary(found, exp.intervals, exp.seed)
  if rule is not None:
    figures['doubt'] = calibration.summary(rule, found, exp.intervals, exp.seed)
  for name, picture in _pictures(split, found, figures, rule):
    figure.write(folder.figures / f'{name}_{split}.png', picture, said)
  leak = folder.read_environment()['data']['leaks']
  entry = {**figures, 'note': said, 'leak': leak, **source(origin, exp)}
  atomic.write_json(folder.metrics, {**folder.read_metrics(), split: entry})
  return figures


def _pictures(
  split: str, found: types.Predictions, figures: Mapping[str, Any], rule: calibration.Calibration | None
) -> Iterator[tuple[str, Any]]:
  """(what it shows, the figure)."""
  title = f'{split}: {figures["num_images"]:,} images of {figures["num_groups"]:,} groups'
  yield 'confusion', confusion.plot(np.array(figures['confusion']), found.class_names, title)
  if rule is None:
    yield 'reliability', reliability.plot(metrics.sums(found)[0].bin_S3.sum(0), title)
    return
  scaled = calibration.scaled(found, rule.temperature)
  bins = [metrics.sums(each)[0].bin_S3.sum(0) for each in (found, scaled)]
  yield 'reliability', reliability.plot(bins[0], title)
  yield 'reliability_calibrated', reliability.plot(bins[1], f'{title}, temperature {rule.temperature:.2f}')
  _, coverage, error = calibration.risk_coverage(scaled)
  entry = figures['doubt']
  chosen = (entry['named']['value'], entry['error']['value']) if entry['num_named'] else None
  yield 'risk_coverage', risk_coverage.plot(coverage, error, chosen, rule.max_error, title)


def source(origin: Mapping[str, int], exp: experiment.Experiment) -> dict[str, Any]:
  """What figures are made from, as their entry in `metrics.json` says it: the checkpoint, and the keys `evaluate`."""
  return {'checkpoint': dict(origin), 'evaluation': exp.evaluation}


def sources(folder: workdir.Workdir) -> dict[str, dict[str, Any]]:
  """The `source` of each entry in `metrics.json`; of a run of before that was kept, the keys of its config.

  Raises:
    UserError: metrics or config are damaged.
  """
  saved = folder.read_config() if folder.config.exists() else {}
  before = {
    key.removeprefix('evaluate.'): value for key, value in saved.items() if workdir.is_of_figures(key)
  }
  return {
    split: {'checkpoint': entry['checkpoint'], 'evaluation': entry.get('evaluation', before)}
    for split, entry in folder.read_splits().items()
  }


def origins(folder: workdir.Workdir) -> dict[str, dict[str, Any]]:
  """The `source` of each split's figures; without those of which a file is missing or damaged."""
  try:
    found = sources(folder)
  except types.UserError:
    return {}
  if any(path.exists() and not atomic.is_intact(path) for path in (folder.calibration, folder.report)):
    return {}
  return {
    split: each
    for split, each in found.items()
    if all(atomic.is_intact(path(split)) for path in (folder.predictions, folder.groups, folder.review))
  }


def line(split: str, figures: dict[str, Any]) -> str:
  """One line for people, with the interval."""

  def text(name: str) -> str:
    entry = figures[name]
    value, low, high = entry['value'], entry['low'], entry['high']
    bounds = '' if low is None or high is None else f' [{low:.3f}, {high:.3f}]'
    return f'{name} n/a' if value is None else f'{name} {value:.3f}{bounds}'

  left = figures.get('doubt')
  told = f'; {1 - left["named"]["value"]:.0%} left for review' if left else ''
  return (
    f'{split}: {", ".join(text(figure.name) for figure in metrics.headlines())} '
    f'({figures["num_images"]:,} images, {figures["num_groups"]:,} groups){told}'
  )


def warning(split: str, figures: Mapping[str, Any]) -> str:
  """A line where the network names every image the same, which is one that has died or learned nothing; else empty."""
  named = np.array(figures['confusion']).sum(0)
  if np.count_nonzero(named) > 1 or len(named) < 2:
    return ''
  name = figures['class_names'][int(named.argmax())]
  return (
    f'{split}: every image is named {name}. The network has learned nothing, or its units have died: look at the '
    'training loss, try another seed or a lower optimizer.learning_rate'
  )


def drop_others(folder: workdir.Workdir, wanted: Mapping[str, Any]) -> list[str]:
  """Removes the entries of `metrics.json` with another `source` than the wanted one; returns their splits."""
  others = [split for split, each in sources(folder).items() if each != wanted]
  if others:
    kept = {name: entry for name, entry in folder.read_metrics().items() if name not in others}
    atomic.write_json(folder.metrics, kept)
  return others


def known(splits: Sequence[str], rows: Mapping[str, Any]) -> list[str]:
  """Those of the wanted splits that the data has; validation, which every run has, where it has none of them."""
  return [split for split in splits if split in rows] or ['validation']


def substitution(splits: Sequence[str], rows: Mapping[str, Any]) -> str:
  """A line where validation is scored in the place of the wanted splits; else empty."""
  if any(split in rows for split in splits):
    return ''
  return (
    f'evaluate.splits is {", ".join(splits) or "empty"}, of which this data has none: validation is scored, which '
    'chose the epoch'
  )
