"""What an adaptation gained and cost: the run before and after, on labels left out and on old images."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bloodcell_jax.adaptation import layers, material
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import cross_fitted, model_set, scoring, validation_rule
from bloodcell_jax.stats import bootstrap, paired
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress as progress_lib

# Shown for the run before and after.
FIGURES = ('balanced_accuracy', 'accuracy', 'macro_f1')
HOME_SPLITS = ('test', 'validation')


def write(
  folder: workdir.Workdir,
  models: model_set.ModelSet,
  given: material.Material,
  both: layers.Layers,
  after_ND: np.ndarray,
  crossed: types.Predictions,
  progress: progress_lib.Progress,
) -> dict[str, Any]:
  """Fits the calibration on the cross-fitted predictions, scores the splits, and compares with the run before.

  Args:
    folder: of the adapted run.
    models: its network.
    given: the images.
    both: the output layers before and after.
    after_ND: as `given.embedding_ND`, by the adapted network.
    crossed: the cross-fitted predictions of the labelled images.
    progress: where progress is printed.

  Returns:
    `new`, and `home` by split: the numbers of images and groups, the figures `before` and `after`, their `change`.
  """
  exp, data = models.networks[0].job.experiment, given.job.data
  about_run = data.table.synthetic, data.leaking().counts()
  folder.metrics.unlink(missing_ok=True)
  folder.begin_scoring(exp.evaluation)
  fitted_for = models.fitted_for()
  rule = validation_rule.fit(crossed, exp, fitted_for.temperature)
  validation_rule.write(folder, rule, fitted_for, progress)
  of_others = scoring.Basis(exp, scoring.note_of_others(*about_run), models.origin, rule)
  progress.line(cross_fitted.write(folder, crossed, data, of_others))
  of_own = dataclasses.replace(of_others, note=scoring.note(*about_run))
  before = dataclasses.replace(crossed, probs_NK=both.probabilities_before(given.fresh.embedding_ND))
  result: dict[str, Any] = {'new': compare(before, crossed, exp), 'home': {}}
  for split in HOME_SPLITS:
    old = _old_images(split, given, after_ND)
    if old is None:
      continue
    before, after = (
      dataclasses.replace(old.split.predictions, probs_NK=probs_NK)
      for probs_NK in (
        both.probabilities_before(old.embedding_ND),
        both.after.probabilities(old.after_ND),
      )
    )
    figures = scoring.write(folder, dataclasses.replace(old.split, predictions=after), of_own)
    progress.line(f'old images, {scoring.line(split, figures)}')
    result['home'][split] = compare(before, after, exp)
  return result


@dataclasses.dataclass(frozen=True)
class _OldImages:
  """Images of the old laboratory in one split."""

  embedding_ND: np.ndarray  # by the network before
  after_ND: np.ndarray  # by the adapted one
  split: scoring.Split  # without probabilities


def _old_images(split: str, given: material.Material, after_ND: np.ndarray) -> _OldImages | None:
  """Those of the data, or those whose features stand for them; None where there are none."""
  data, kept = given.job.data, given.kept
  none_NK = np.zeros((0, len(data.table.class_names)))
  if kept is not None:
    part = kept.of_split(split)
    about = types.Predictions(none_NK, part.label_N, part.group_N, part.file_N, part.class_names)
    # Such a run's convolutions stay as they are.
    old = scoring.Split(split, about, None, None, None, None)
    return _OldImages(part.embedding_ND, part.embedding_ND, old) if len(part) else None
  if split not in data.rows:
    return None
  rows = data.rows[split]
  table = data.table.take(rows)
  about = types.Predictions(none_NK, table.label, table.group, table.file, table.class_names)
  old = scoring.Split(split, about, data.image_of(split), None, data.conversions(split), None)
  return _OldImages(given.embedding_ND[rows], after_ND[rows], old)


def compare(
  before: types.Predictions, after: types.Predictions, exp: experiment.Experiment
) -> dict[str, Any]:
  """The numbers of images and groups, the figures `before` and `after`, and their `change`, of the same images."""
  spec, seed = exp.intervals, exp.seed
  return {
    'num_images': len(after),
    'num_groups': len(np.unique(after.group_N)),
    'before': bootstrap.figures(before, FIGURES, spec, seed),
    'after': bootstrap.figures(after, FIGURES, spec, seed),
    'change': paired.compare(before, after, FIGURES, spec, seed),
  }
