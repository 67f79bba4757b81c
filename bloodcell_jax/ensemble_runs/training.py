"""An ensemble: a run for each member, one after the other or side by side, and the answer that they give together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import bagging, folds
from bloodcell_jax.ensemble_runs import boosted_members, combined_run, member, vectorized
from bloodcell_jax.ensembles import averaging, combination, method
from bloodcell_jax.reports import report
from bloodcell_jax.runs import cross_validation, forward, job, model_set, opening, scoring
from bloodcell_jax.storage import ensemble_file, predictions_csv, workdir
from bloodcell_jax.train import progress, signals


def run(
  config: Mapping[str, Any],
  folder: workdir.Workdir,
  stop: signals.Stop,
  shown: progress.Progress,
  train: member.Train,
) -> None:
  """Trains the members that `ensemble.member` asks for, in `members/K`, and combines them once all are there.

  Args:
    config: flat.
    folder: of the ensemble.
    stop: asked between batches.
    shown: where all is told.
    train: what is done for each member.

  Raises:
    UserError: the folder is that of a member, or holds another run; the data leaks or cannot be divided.
    signals.Stopped: a stop was asked for; the same call goes on at the member that it was at.
  """
  if folder.config.exists() and folder.read_config().get('ensemble.member'):
    parent = folder.path.absolute().parent.parent
    raise types.UserError(f'{folder.path}: is a member of an ensemble; continue it with --workdir={parent}')
  # Whichever member is trained, here or elsewhere, the folder is that of all.
  folders = {
    k: workdir.Workdir(ensemble_file.member(folder, k)) for k in range(1, config['ensemble.members'] + 1)
  }
  configs = {
    k: own.with_format({**config, 'ensemble.member': k}) for k, own in {0: folder, **folders}.items()
  }
  exps = {k: experiment.from_flat(own) for k, own in configs.items()}
  exp = exps.pop(0)
  folder.write_config(configs[0])
  shown.line(f'reading images: {exp.data.source}')
  data = opening.read_data(opening.reader(exp, folder.cache), stop, shown)
  opening.check_leaks(exp, data, shown)
  leak = data.leaking().counts()
  made = job.Job(exp, data, exp.transform.standardize, None, stop)
  opening.describe(folder, made, leak)
  members = [
    member.Member(k, configs[k], own, folders[k], opening.divide(data, own)) for k, own in exps.items()
  ]
  said = scoring.note(data.table.synthetic, leak)
  only = config['ensemble.member']
  if exp.ensemble.method in method.BOOSTING:
    if only:
      raise types.UserError(
        f'ensemble.member is {only}: a boosted member follows from those before it; set it to 0 to train them in turn'
      )
    found = boosted_members.run(members, exp, shown, train)
  else:
    missing = _train_each(members, only, made, shown, train)
    if missing:
      shown.line(
        f'members still to train: {", ".join(map(str, missing))}; bring them to {folder.path / "members"} and run '
        'any member again, or all with ensemble.member=0'
      )
      return
    found = _combine(members, exp, data, stop, shown, train)
  combined_run.write(folder, found, exp, said, data, shown)
  report.write(folder)
  shown.line(f'report: {folder.report}')
  if said:
    shown.line(said)


def _train_each(
  members: Sequence[member.Member],
  only: int,
  made: job.Job,
  shown: progress.Progress,
  train: member.Train,
) -> list[int]:
  """Trains the members that are asked for; returns the numbers of those that are not done afterwards."""
  exp = made.experiment
  wanted = [one for one in members if only in (0, one.number) and not member.is_done(one)]
  if wanted and exp.ensemble.method in (method.AVERAGE, method.BAGGING):
    _train_together(wanted, made, shown)
  before = None
  for one in members:
    if only in (0, one.number):
      shown.line(f'member {one.number} of {len(members)}: {one.exp.model.name}, seed {one.exp.seed}')
      train(one, None, before)
    if exp.ensemble.method == method.SNAPSHOT:
      before = one.folder
  return [one.number for one in members if not member.is_done(one)]


def _train_together(
  members: Sequence[member.Member],
  made: job.Job,
  shown: progress.Progress,
) -> None:
  """Trains the members in groups, each in one program, where the platform gains by it or the config asks for it.

  How many go together is planned by the ensemble's own job, whose network is theirs.
  """
  asked = made.experiment.ensemble.vectorized
  size = vectorized.plan(made, asked)
  if size == 1:
    return
  for start in range(0, len(members), size):
    some = members[start : start + size]
    prepared = [opening.prepare(one.config, one.exp, one.folder, one.data, made.stop, shown) for one in some]
    mades, initials = [own for own, _ in prepared], [initial for _, initial in prepared]
    reason = vectorized.can(mades)
    if reason and not asked:
      shown.line(f'one after the other: {reason}')
      return
    numbers = ', '.join(str(one.number) for one in some)
    shown.line(f'members {numbers} of {len(members)} together')
    vectorized.run(mades, initials, [one.folder for one in some], shown)


def _combine(
  members: Sequence[member.Member],
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
  train: member.Train,
) -> combined_run.Found:
  """The members as one, in the way that the config asks for."""
  combine = exp.ensemble.combine
  if combine in method.WEIGHT_AVERAGES:
    return _weight_average(members, exp, data, stop, shown)
  found = member.answers(members, member.scored(exp, data))
  learned: combined_run.Answers = {}
  if combine in method.STACKED:
    learned = _out_of_fold(members, exp, data, stop, shown, train)
  rule = combined_run.rule(combine, {**found, **learned}, folds.OUT_OF_FOLD, exp.seed)
  more: dict[str, Any] = {'method': exp.ensemble.method}
  instead: dict[str, types.Predictions] = {}
  if exp.ensemble.method == method.BAGGING:
    instead, share = _out_of_bag(members, data)
    more |= {'out_of_bag_share': share}
  names = tuple(str(one.number) for one in members)
  prints = member.fingerprints(members)
  return combined_run.Found(names, found, rule, combine, more, instead, (), prints, 1.0)


def _out_of_bag(
  members: Sequence[member.Member], data: dataset.Dataset
) -> tuple[dict[str, types.Predictions], float]:
  """The mean of what the members whose bags lack a training row say of it, and the share of rows that some lack."""
  rows = data.rows['train']
  table = data.table.take(rows)
  place = {name: i for i, name in enumerate(table.file.tolist())}
  total_NK, times_N = np.zeros((len(rows), len(table.class_names))), np.zeros(len(rows))
  for one in members:
    left = predictions_csv.read(one.folder.predictions(bagging.OUT_OF_BAG))
    at = [place[name] for name in left.file_N.tolist()]
    total_NK[at] += left.probs_NK
    times_N[at] += 1
  has = np.flatnonzero(times_N)
  probs_NK = total_NK[has] / times_N[has].reshape(-1, 1)
  found = types.Predictions(probs_NK, table.label[has], table.group[has], table.file[has], table.class_names)
  return {bagging.OUT_OF_BAG: found}, len(has) / len(rows)


def _out_of_fold(
  members: Sequence[member.Member],
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
  train: member.Train,
) -> combined_run.Answers:
  """What twins of each member, trained without these rows, say of every row of train and validation."""
  found = []
  for one in members:
    folder = workdir.Workdir(one.folder.path / folds.OUT_OF_FOLD)
    config = {**one.config, 'train.folds': exp.ensemble.folds}

    def train_fold(
      config: Mapping[str, Any],
      exp: experiment.Experiment,
      folder: workdir.Workdir,
      data: dataset.Dataset,
      number: int = one.number,
    ) -> None:
      train(member.Member(number, config, exp, folder, data), None, None)

    shown.line(f'member {one.number} of {len(members)}, out of fold:')
    cross_validation.run_on(config, folder, data, stop, shown, train_fold)
    found.append(predictions_csv.read(folder.predictions(folds.OUT_OF_FOLD)))
  return combined_run.align([f'member {one.number}' for one in members], {folds.OUT_OF_FOLD: found})


def _weight_average(
  members: Sequence[member.Member],
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
) -> combined_run.Found:
  """One network whose weights are the mean of all members', or of those that validation keeps."""
  best = [model_set.best_of_run(m.folder, m.exp, m.data, stop, shown)[:2] for m in members]
  made = best[0][0]

  def mean_of(chosen: Sequence[int]) -> Any:
    return model_set.mean_params([best[i][1] for i in chosen])

  def score(chosen: tuple[int, ...]) -> float:
    found = made.predict(mean_of(chosen), 'validation')
    return forward.figures(found)['val_accuracy']

  kept = tuple(range(len(members)))
  if exp.ensemble.combine == method.SOUP:
    kept = tuple(sorted(averaging.greedy(len(members), score)))
    shown.line(f'soup of members {", ".join(str(members[i].number) for i in kept)}, by validation accuracy')
  chosen = [members[i] for i in kept]
  wanted = member.scored(exp, data)
  network = model_set.fitted(made, mean_of(kept))
  instead = dict(made.predict_each(network.params, wanted))
  names = tuple(str(each.number) for each in chosen)
  rule = combination.mean(len(chosen))
  more = {'method': exp.ensemble.method}
  return combined_run.Found(
    names,
    member.answers(chosen, wanted),
    rule,
    exp.ensemble.combine,
    more,
    instead,
    (),
    (network.fingerprint,),
    network.temperature,
  )
