"""Combines the predictions of members, evaluates the result and writes it to the ensemble's folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import folds
from bloodcell_jax.ensembles import averaging, combination, curve, diversity, method, stacking
from bloodcell_jax.plots import diversity as diversity_plot
from bloodcell_jax.plots import figure, members_curve
from bloodcell_jax.reports import selection
from bloodcell_jax.runs import forward, model_set, saved_run, scoring, unlike_measure, validation_rule
from bloodcell_jax.stats import bootstrap, metrics, paired, unlike
from bloodcell_jax.storage import calibration_file, ensemble_file, workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# Split -> the predictions of each member, with the same rows in the same order.
Answers = Mapping[str, Sequence[types.Predictions]]
# Splits on which the ensemble is not compared with its best member: they chose it, or the combination was fitted on
# them.
CHOSE = ('validation', folds.OUT_OF_FOLD)
# The largest number of subsets of each size in the curve of the error against the number of members.
_MOST_SUBSETS = 200


@dataclasses.dataclass(frozen=True)
class Result:
  """An ensemble's members, their predictions and their combination."""

  members: tuple[str, ...]  # the M names
  answers: Answers
  rule: combination.Combination  # of the M members
  combine: str  # one of method.COMBINES, or a boosting's name
  details: Mapping[str, Any]  # further entries of `ensemble.json`
  # Split -> predictions that do not follow from those of the members; usually empty.
  overrides: Mapping[str, types.Predictions]
  # Of the first member, the first two, ...; empty where the order of the members has no meaning.
  prefixes: Sequence[combination.Combination]
  # Of each network in use: every member, or the one with their mean weights. Empty where unknown.
  fingerprints: tuple[str, ...]
  temperature: float  # of the network with mean weights, as in `model_set.Network`; else 1


def align(members: Sequence[str], answers: Mapping[str, Sequence[types.Predictions]]) -> Answers:
  """The predictions with every member's rows in the order of the first.

  Raises:
    UserError: the members differ in images, labels, groups or classes.
  """
  aligned: dict[str, list[types.Predictions]] = {}
  for split, each in answers.items():
    aligned[split] = [each[0]]
    for name, one in zip(members[1:], each[1:], strict=True):
      try:
        aligned[split].append(paired.aligned(each[0], one))
      except types.UserError as error:
        raise types.UserError(f'{split} of {members[0]} and {name}: {error}') from None
  return aligned


def rule(combine: str, answers: Answers, learned_on: str, seed: int) -> combination.Combination:
  """The combination of the members.

  Args:
    combine: one of method.COMBINES, except weight averages.
    answers: the predictions of each member.
    learned_on: the split that weights, for which each group counts equally, or a meta-learner are fitted on, with
      predictions for rows that the predicting network was not trained on; not read for other rules.
    seed: of the random numbers of stacking.
  """
  first = next(iter(answers.values()))
  num_members, num_classes = len(first), len(first[0].class_names)
  if combine in (method.AUTO, method.MEAN):
    return combination.mean(num_members)
  if combine in (method.LOGITS, method.GEOMETRIC):
    return combination.geometric(num_members, num_classes)
  if combine == method.VOTE:
    return combination.vote(np.ones(num_members))
  if combine == method.WEIGHTED:
    members = answers[learned_on]
    weight_M = averaging.fit_weights(
      stack(members), members[0].label_N, groups.equal_weights(members[0].group_N, 1.0)
    )
    return combination.weighted(weight_M)
  if combine in method.STACKED:
    members = answers[learned_on]
    return stacking.fit(combine, stack(members), members[0].label_N, members[0].group_N, seed)
  raise ValueError(f'unknown combination: {combine}')


def cross_fitted(combine: str, each: Sequence[types.Predictions], seed: int) -> types.Predictions:
  """What fitted rules answer, each row by one that was fitted without the row's group.

  Args:
    combine: a rule that is fitted: method.WEIGHTED or one of method.STACKED.
    each: the aligned predictions of each member, for rows that the predicting network was not trained on.
    seed: of the folds and of stacking.

  Raises:
    UserError: a class has too few groups.
  """
  first = each[0]
  num_groups_K = [len(set(first.group_N[first.label_N == k])) for k in range(len(first.class_names))]
  fewest = int(np.argmin(num_groups_K))
  # Stacking divides what it is fitted on once more.
  needed = 2 if combine == method.WEIGHTED else 3
  if num_groups_K[fewest] < needed:
    raise types.UserError(
      f'{first.class_names[fewest]}: has images of {num_groups_K[fewest]:,} groups, and {combine} needs {needed} or '
      'more of each class, to be scored on groups that it was not fitted on; choose --rule=mean'
    )
  num_folds = min(stacking.MOST_FOLDS, num_groups_K[fewest])
  fold_N = groups.folds(first.label_N, first.group_N, num_folds, seed)
  probs_NK = np.empty_like(first.probs_NK)
  for fold in range(num_folds):
    fitted_on, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
    fitted = rule(
      combine, {folds.OUT_OF_FOLD: [one.take(fitted_on) for one in each]}, folds.OUT_OF_FOLD, seed
    )
    probs_NK[held] = combination.apply(fitted, stack([one.take(held) for one in each]), np)
  return dataclasses.replace(first, probs_NK=probs_NK)


def stack(each: Sequence[types.Predictions]) -> np.ndarray:
  """[M, N, K] the probabilities of members whose rows are aligned."""
  return np.stack([one.probs_NK for one in each])


def write(
  folder: workdir.Workdir,
  result: Result,
  exp: experiment.Experiment,
  note: str,
  data: dataset.Dataset | None,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  conversions: Mapping[str, Mapping[str, int]],
) -> None:
  """Evaluates the ensemble on every split and writes all files of a finished run except the report.

  Args:
    folder: the ensemble's.
    result: the members, their answers and how they are combined.
    exp: the settings of intervals and calibration, and the seed.
    note: the result of `scoring.note`.
    data: the images, for the review of misclassified ones and the measure of unlike ones; None without images.
    stop: polled between batches.
    progress: where progress is printed.
    conversions: by split those of its images, where they are known without `data`.
  """
  folder.metrics.unlink(missing_ok=True)
  folder.ensemble.unlink(missing_ok=True)
  folder.begin_scoring(exp.evaluation)
  combined = {
    split: result.overrides[split]
    if split in result.overrides
    else model_set.combined(result.rule, list(result.answers[split]))
    for split in dict.fromkeys((*result.answers, *result.overrides))
  }
  fitted = (
    validation_rule.fit(combined['validation'], exp, result.temperature) if 'validation' in combined else None
  )
  origin = {'members': len(result.members)}
  judgements: dict[str, unlike.Judgement] = {}
  if fitted is not None:
    is_one = result.combine in method.WEIGHT_AVERAGES
    fitted_for = calibration_file.FittedFor(
      origin,
      result.members,
      result.combine,
      exp.tta,
      result.fingerprints[0] if is_one else model_set.fingerprint(result.fingerprints, result.rule),
      result.temperature,
    )
    validation_rule.write(folder, fitted, fitted_for, progress)
    if data is not None:
      network = None if is_one else _first_network(folder, result.members, data, stop, progress)
      unlike_measure.write(folder, data, fitted_for, network, exp.seed)
      judgements = unlike_measure.judge_splits(folder, network, data, combined, exp.unlike)
  basis = scoring.Basis(exp, note, origin, fitted)
  for split in sorted(combined, key=lambda name: name == 'validation'):
    image_of = data.image_of(split) if data is not None and split in data.rows else None
    converted = conversions.get(split) if data is None else data.conversions_of(combined[split].file_N)
    scored = scoring.Split(split, combined[split], image_of, judgements.get(split), converted, None)
    for said in scoring.lines(split, scoring.write(folder, scored, basis)):
      progress.line(said)
  entry = {
    'members': list(result.members),
    'combine': result.combine,
    'kind': result.rule.kind,
    'weights': result.rule.arrays['weight_M'].tolist() if 'weight_M' in result.rule.arrays else None,
    'note': note,
    'evaluation': exp.evaluation,
    **_comparison(result, combined, exp),
    **_diversity(folder, result, exp, note),
    **result.details,
  }
  ensemble_file.write(folder, entry, result.rule)


def _first_network(
  folder: workdir.Workdir,
  members: Sequence[str],
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> model_set.Network:
  """The network whose features tell the content of an image."""
  own = workdir.Workdir(ensemble_file.member(folder, int(members[0])))
  return model_set.load_network(own, saved_run.read_experiment(own, None), data, stop, progress)[0]


def best(answers: Answers) -> int | None:
  """The index of the member with the least log loss on validation; None without validation."""
  losses = [forward.figures(one)['val_loss'] for one in answers.get('validation', ())]
  return int(np.argmin(losses)) if losses else None


def _comparison(
  result: Result, combined: Mapping[str, types.Predictions], exp: experiment.Experiment
) -> dict[str, Any]:
  """The members' metrics, and the comparison of the ensemble with the best of them on splits that did not choose it."""
  chosen = best(result.answers)
  figures: dict[str, Any] = {}
  for split, each in result.answers.items():
    summaries = [bootstrap.summary(one, exp.intervals, exp.seed) for one in each]
    figures[split] = [
      {figure.name: summary[figure.name] for figure in metrics.FIGURES} for summary in summaries
    ]
  if chosen is None:
    return {'figures': figures, 'best_member': None, 'gain_on_best': {}}
  gain = {
    split: paired.compare(result.answers[split][chosen], answer, paired.headlines(), exp.intervals, exp.seed)
    for split, answer in combined.items()
    # Not where the best member was chosen or the combination was fitted.
    if split in result.answers and split not in CHOSE
  }
  return {'figures': figures, 'best_member': result.members[chosen], 'gain_on_best': gain}


def _diversity(
  folder: workdir.Workdir, result: Result, exp: experiment.Experiment, note: str
) -> dict[str, Any]:
  """The diversity of the members and the error against their number, with figures of the headline split."""
  if len(result.members) < 2:
    return {}
  headline = selection.headline(result.answers, {})
  measured = {
    split: diversity.measure(stack(each), each[0].label_N, np.ones(len(each[0])))
    for split, each in result.answers.items()
  }
  each = result.answers[headline]
  spec = curve.Spec(_MOST_SUBSETS, exp.intervals.num_resamples, exp.intervals.confidence)
  rows = each[0].label_N, each[0].group_N
  if result.prefixes:
    growing = [combination.apply(one, stack(each[: m + 1]), np) for m, one in enumerate(result.prefixes)]
    line = curve.in_training_order(np.stack(growing), *rows, spec, exp.seed)
  else:
    line = curve.over_subsets(stack(each), *rows, spec, exp.seed)
  title = f'{headline}: {len(each[0]):,} images of {len(np.unique(each[0].group_N)):,} groups'
  spread = None if result.prefixes else np.stack([line.subset_low_S, line.subset_high_S], 1)
  by = f'{result.combine}, in the order of training' if result.prefixes else 'mean of probabilities'
  picture = members_curve.plot(
    line.size_S, line.error_S, np.stack([line.low_S, line.high_S], 1), spread, by, spec.confidence, title
  )
  figure.write(folder.figures / 'members.png', picture, note)
  pairs = measured[headline]
  names = [str(i + 1) for i in range(len(result.members))]
  picture = diversity_plot.plot(pairs.disagreement_MM, pairs.kappa_MM, names, title)
  figure.write(folder.figures / 'diversity.png', picture, note)
  columns = {f.name: getattr(line, f.name).tolist() for f in dataclasses.fields(line)}
  return {
    'headline': headline,
    'diversity': {split: _finite(one.means()) for split, one in measured.items()},
    'curve': columns,
  }


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
  """The metrics with None, which is null in JSON, in place of NaN and infinity."""
  return {name: value if np.isfinite(value) else None for name, value in figures.items()}
