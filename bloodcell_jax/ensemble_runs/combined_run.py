"""Members' predictions as one answer: chosen or fitted, scored beside the members, written to the ensemble's folder."""

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
from bloodcell_jax.runs import forward, model_set, scoring
from bloodcell_jax.stats import bootstrap, doubt, metrics, paired
from bloodcell_jax.storage import calibration_file, ensemble_file, workdir
from bloodcell_jax.train import progress

# By split, what each member says of it; the rows are the same and in the same order.
Answers = Mapping[str, Sequence[types.Predictions]]
# The splits on which the ensemble is not compared with its best member: they chose it, or taught how to combine.
CHOSE = ('validation', folds.OUT_OF_FOLD)
# Subsets of members of each size that the curve of members tries at most.
_MOST_SUBSETS = 200


@dataclasses.dataclass(frozen=True)
class Found:
  """Members and what they say."""

  members: tuple[str, ...]  # M: what each is called
  answers: Answers
  rule: combination.Combination  # of the M members
  combine: str  # one of method.COMBINES, or a boosting's name
  more: Mapping[str, Any]  # what else `ensemble.json` says
  # By split, an answer that is no function of the members' answers; empty as a rule.
  instead: Mapping[str, types.Predictions]
  prefixes: Sequence[
    combination.Combination
  ]  # of the first member, the first two, ...; empty where order is none
  # Of each network that answers: every member, or the one mean of their weights. Empty where none is at hand.
  fingerprints: tuple[str, ...]
  temperature: float  # of that one mean, as `model_set.Network` has it; else 1


def align(members: Sequence[str], answers: Mapping[str, Sequence[types.Predictions]]) -> Answers:
  """The same with every member's rows in the order of the first.

  Raises:
    UserError: the members do not hold the same images, labels, groups and classes.
  """
  found: dict[str, list[types.Predictions]] = {}
  for split, each in answers.items():
    found[split] = [each[0]]
    for name, one in zip(members[1:], each[1:], strict=True):
      try:
        found[split].append(paired.aligned(each[0], one))
      except types.UserError as error:
        raise types.UserError(f'{split} of {members[0]} and {name}: {error}') from None
  return found


def rule(combine: str, answers: Answers, learned_on: str, seed: int) -> combination.Combination:
  """How the members become one.

  Args:
    combine: one of method.COMBINES but the averages of weights.
    answers: what each member says; of validation, on which weights are fitted, every group weighs the same.
    learned_on: for stacking, the split of the answers to rows that a member, or its twin in its place, has not seen.
    seed: of what stacking draws.
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
    found = answers['validation']
    weight_M = averaging.fit_weights(
      stack(found), found[0].label_N, groups.equal_weights(found[0].group_N, 1.0)
    )
    return combination.weighted(weight_M)
  if combine in method.STACKED:
    found = answers[learned_on]
    return stacking.fit(combine, stack(found), found[0].label_N, found[0].group_N, seed)
  raise ValueError(f'no rule is called {combine}')


def stack(each: Sequence[types.Predictions]) -> np.ndarray:
  """[M, N, K] the probabilities of members whose rows are aligned."""
  return np.stack([one.probs_NK for one in each])


def write(
  folder: workdir.Workdir,
  found: Found,
  exp: experiment.Experiment,
  said: str,
  data: dataset.Dataset | None,
  shown: progress.Progress,
) -> None:
  """Scores the ensemble on every split and writes all that a run's folder has of a finished run, but the report.

  Args:
    folder: of the ensemble.
    found: the members.
    exp: how intervals and doubt are made, and the seed of what is drawn.
    said: the note of the data.
    data: the images, shown where they went wrong; None where they are not at hand.
    shown: where figures are told.
  """
  folder.metrics.unlink(missing_ok=True)
  folder.ensemble.unlink(missing_ok=True)
  folder.begin_scoring(exp.evaluation)
  together = {
    split: found.instead[split]
    if split in found.instead
    else model_set.combined(found.rule, list(found.answers[split]))
    for split in dict.fromkeys((*found.answers, *found.instead))
  }
  fitted = doubt.fit(together['validation'], exp.doubt) if 'validation' in together else None
  origin = {'members': len(found.members)}
  if fitted is not None:
    is_one = found.combine in method.WEIGHT_AVERAGES
    fitted_for = calibration_file.FittedFor(
      origin,
      found.members,
      found.combine,
      exp.tta,
      found.fingerprints[0] if is_one else model_set.fingerprint(found.fingerprints, found.rule),
      found.temperature,
    )
    calibration_file.write(folder, fitted, fitted_for)
  for split in sorted(together, key=lambda name: name == 'validation'):
    image_of = data.image_of(split) if data is not None and split in data.rows else None
    figures = scoring.write(folder, split, together[split], exp, said, origin, fitted, image_of)
    shown.line(scoring.line(split, figures))
  told = {
    'members': list(found.members),
    'combine': found.combine,
    'kind': found.rule.kind,
    'weights': found.rule.arrays['weight_M'].tolist() if 'weight_M' in found.rule.arrays else None,
    'note': said,
    'evaluation': exp.evaluation,
    **_compared(found, together, exp),
    **_studied(folder, found, exp, said),
    **found.more,
  }
  ensemble_file.write(folder, told, found.rule)


def best(found: Answers) -> int | None:
  """The index of the member with the least log loss on validation, which one would use alone; None without any."""
  losses = [forward.figures(one)['val_loss'] for one in found.get('validation', ())]
  return int(np.argmin(losses)) if losses else None


def _compared(
  found: Found, together: Mapping[str, types.Predictions], exp: experiment.Experiment
) -> dict[str, Any]:
  """The members' figures, and what the ensemble gains on the best of them on splits that did not choose it."""
  chosen = best(found.answers)
  figures: dict[str, Any] = {}
  for split, each in found.answers.items():
    summaries = [bootstrap.summary(one, exp.intervals, exp.seed) for one in each]
    figures[split] = [
      {figure.name: summary[figure.name] for figure in metrics.FIGURES} for summary in summaries
    ]
  if chosen is None:
    return {'figures': figures, 'best_member': None, 'gain_on_best': {}}
  gain = {
    split: paired.compare(found.answers[split][chosen], answer, exp.intervals, exp.seed)
    for split, answer in together.items()
    # Not where the best member was chosen, nor where a rule that is learned has learned.
    if split in found.answers and split not in CHOSE
  }
  return {'figures': figures, 'best_member': found.members[chosen], 'gain_on_best': gain}


def _studied(folder: workdir.Workdir, found: Found, exp: experiment.Experiment, said: str) -> dict[str, Any]:
  """Diversity of the members by split, and the error against their number, with pictures of the headline split."""
  if len(found.members) < 2:
    return {}
  headline = selection.headline(found.answers, {})
  measured = {
    split: diversity.measure(stack(each), each[0].label_N, np.ones(len(each[0])))
    for split, each in found.answers.items()
  }
  each = found.answers[headline]
  spec = curve.Spec(_MOST_SUBSETS, exp.intervals.num_resamples, exp.intervals.confidence)
  rows = each[0].label_N, each[0].group_N
  if found.prefixes:
    growing = [combination.apply(one, stack(each[: m + 1]), np) for m, one in enumerate(found.prefixes)]
    line = curve.in_order(np.stack(growing), *rows, spec, exp.seed)
  else:
    line = curve.of_subsets(stack(each), *rows, spec, exp.seed)
  title = f'{headline}: {len(each[0]):,} images of {len(np.unique(each[0].group_N)):,} groups'
  spread = None if found.prefixes else np.stack([line.subset_low_S, line.subset_high_S], 1)
  picture = members_curve.plot(
    line.size_S, line.error_S, np.stack([line.low_S, line.high_S], 1), spread, None, spec.confidence, title
  )
  figure.write(folder.figures / 'members.png', picture, said)
  pairs = measured[headline]
  names = [str(i + 1) for i in range(len(found.members))]
  picture = diversity_plot.plot(pairs.disagreement_MM, pairs.kappa_MM, names, title)
  figure.write(folder.figures / 'diversity.png', picture, said)
  columns = {f.name: getattr(line, f.name).tolist() for f in dataclasses.fields(line)}
  return {
    'headline': headline,
    'diversity': {split: _finite(one.means()) for split, one in measured.items()},
    'curve': columns,
  }


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
  """The same with null, which JSON has, for what is undefined."""
  return {name: value if np.isfinite(value) else None for name, value in figures.items()}
