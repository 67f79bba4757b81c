"""A trained run evaluated on its own splits: calibration, measure of unlike images, predictions and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.runs import (
  cross_fitted,
  data_place,
  model_set,
  run_data,
  scoring,
  unlike_measure,
  validation_rule,
)
from bloodcell_jax.stats import calibration, unlike
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


def score(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  evaluate_keys: Mapping[str, Any],
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> str:
  """Scores the splits of a finished run anew.

  Args:
    folder: the run's.
    exp: its experiment, with the `evaluate.*` keys in use and its images where they are.
    evaluate_keys: the `evaluate.*` keys of the command, without that prefix, which are kept with the figures.
    stop: polled between batches.
    progress: told of every split.

  Returns:
    The note that belongs to the figures.

  Raises:
    UserError: the images are not those of the run.
  """
  of_run = folder.read_environment()['data']
  with run_data.advising_of(folder):
    data = run_data.read(run_data.reader(exp, folder.cache), stop, progress)
  folder.check_data(data.fingerprint())
  data_place.remember(folder, exp)
  models = model_set.load(
    folder, exp, lambda one: data if one is exp else run_data.divide(data, one), stop, progress
  )
  about_run = data.table.synthetic or of_run['synthetic'], of_run['leaks']
  note = scoring.note(*about_run)
  write(folder, exp, evaluate_keys, models, data, note, progress)
  return note


def write(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  evaluate_keys: Mapping[str, Any],
  models: model_set.ModelSet,
  data: dataset.Dataset,
  note: str,
  progress: progress_lib.Progress,
) -> None:
  """Calibrates the networks of a run on validation and scores the splits that `evaluate.splits` names.

  Args:
    folder: as for `score`.
    exp: as for `score`.
    evaluate_keys: as for `score`.
    models: the networks.
    data: the images of the run.
    note: that belongs to the figures.
    progress: as for `score`.
  """
  if substituted := scoring.substitution(exp.evaluate_splits, data.rows):
    progress.line(substituted)
  wanted = scoring.known(exp.evaluate_splits, data.rows)
  # Validation first, in any case: the calibration is fitted on it.
  for name, predictions in models.predict_each(dict.fromkeys(('validation', *wanted))):
    if name == 'validation':
      rule, judgements = _fitted(folder, exp, evaluate_keys, models, data, predictions, wanted, progress)
      basis = scoring.Basis(exp, note, models.origin, rule)
    if name in wanted:
      image_of, conversions = data.image_of(name), data.conversions(name)
      split = scoring.Split(name, predictions, image_of, judgements.get(name), conversions, None)
      for said in scoring.lines(name, scoring.write(folder, split, basis)):
        progress.line(said)


def _fitted(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  evaluate_keys: Mapping[str, Any],
  models: model_set.ModelSet,
  data: dataset.Dataset,
  validation: types.Predictions,
  wanted: Sequence[str],
  progress: progress_lib.Progress,
) -> tuple[calibration.Calibration, dict[str, unlike.Judgement]]:
  """The calibration and, by split, how unlike the training images its images are; both replace the earlier ones.

  An adapted run keeps its measure of unlike images, which is of the new laboratory: its splits may be of the old one,
  and are not judged by it.
  """
  fitted_for = models.fitted_for()
  adapted, kept = cross_fitted.read(folder), cross_fitted.measure(folder)
  rule = validation_rule.fit(adapted or validation, exp, fitted_for.temperature)
  dropped = scoring.drop_others(folder, scoring.source(models.origin, exp))
  if left := [split for split in dropped if split not in wanted]:
    progress.line(f'no longer in the report, because they were evaluated differently: {", ".join(left)}')
  # An adapted run's measure cannot be fitted again here.
  folder.begin_scoring({**evaluate_keys, **exp.evaluation}, keeps_unlike=kept is not None)
  validation_rule.write(folder, rule, fitted_for, progress)
  if adapted:
    of_run = folder.read_environment()['data']
    note = scoring.note_of_others(data.table.synthetic or of_run['synthetic'], of_run['leaks'])
    basis = scoring.Basis(exp, note, models.origin, rule)
    progress.line(cross_fitted.write(folder, adapted, data, basis))
  if adapted or kept:
    return rule, {}
  unlike_measure.write(folder, data, fitted_for, models.networks[0], exp.seed)
  return rule, unlike_measure.judge_splits(folder, models.networks[0], data, wanted, exp.unlike)
