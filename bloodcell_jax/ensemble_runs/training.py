"""Trains an ensemble: a run for each member, in turn or vectorized, and their combined predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import bagging, folds
from bloodcell_jax.ensemble_runs import boosted_members, combined_run, member, out_of_fold, vectorized
from bloodcell_jax.ensembles import averaging, combination, method
from bloodcell_jax.reports import report
from bloodcell_jax.runs import (
  cross_validation,
  forward,
  host_state,
  model_set,
  preparation,
  run_data,
  run_record,
  scoring,
  seen_images,
)
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.runs import training as run_training
from bloodcell_jax.storage import ensemble_file, predictions_csv, workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals, work_queue


def run(
  config: Mapping[str, Any],
  folder: workdir.Workdir,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  read_images: run_data.ReadImages,
  queue: work_queue.Queue | None,
) -> None:
  """Trains the members selected by `ensemble.member`, in `members/K`, and combines them once all are trained.

  Args:
    config: flat.
    folder: the ensemble's.
    stop: polled between batches.
    progress: where progress is printed.
    read_images: reads the images.
    queue: of the members, where several hosts divide them; then only host 0 combines them, and `folder` is the run's on
      that host alone.

  Raises:
    UserError: the folder belongs to a member or holds another run, or the data leaks or cannot be divided.
    signals.Stopped: a stop was requested; the same call continues with the member that was interrupted.
  """
  if folder.config.exists() and folder.read_config().get('ensemble.member'):
    parent = folder.path.absolute().parent.parent
    raise types.UserError(
      f'{folder.path}: is a member of an ensemble; continue it with --workdir={shell.word(parent)}'
    )
  # The folder belongs to all members, whichever of them is trained here or on another machine.
  whole = workdir.Workdir(queue.root) if queue else folder
  folders = {
    k: workdir.Workdir(ensemble_file.member(whole, k)) for k in range(1, config['ensemble.members'] + 1)
  }
  configs = {
    k: own.with_format({**config, 'ensemble.member': k}) for k, own in {0: folder, **folders}.items()
  }
  exps = {k: experiment.from_flat(own) for k, own in configs.items()}
  exp = exps.pop(0)
  preparation.claim(configs[0], exp, folder)
  data = read_images(exp, folder, stop, progress)
  run_data.check_leaks(exp, data, progress)
  run_data.check_validation(data)
  if exp.ensemble.combine in method.STACKED:
    out_of_fold.check(exp, data)
  leak = data.leaking().counts()
  job = job_lib.Job(exp, data, exp.transform.standardize, None, stop)
  if queue:
    host_state.agree({'fingerprint': data.fingerprint()}, 'images', queue.group)
  if not queue or queue.group.is_first:
    run_record.describe(folder, job, leak)
  members = [
    member.Member(k, configs[k], own, folders[k], run_data.divide(data, own)) for k, own in exps.items()
  ]
  note = scoring.note(data.table.synthetic, leak)
  only = config['ensemble.member']
  if exp.ensemble.method in method.BOOSTING:
    if only:
      raise types.UserError(
        f'ensemble.member is {only}: a boosted member depends on the previous ones; set it to 0 to train them in turn'
      )
    result = boosted_members.run(members, exp, stop, progress)
  elif queue:
    _train_divided(members, job, progress, queue)
    if not queue.group.is_first:
      return
    result = _combine(members, exp, data, stop, progress)
  else:
    missing = _train_each(members, only, job, progress)
    if missing:
      progress.line(
        f'members still to train: {", ".join(map(str, missing))}; bring them to {folder.path / "members"} and run '
        'any member again, or all with ensemble.member=0'
      )
      return
    result = _combine(members, exp, data, stop, progress)
  combined_run.write(folder, result, exp, note, data, stop, progress, {})
  report.publish(folder, note, progress)


def _train_each(
  members: Sequence[member.Member],
  only: int,
  job: job_lib.Job,
  progress: progress_lib.Progress,
) -> list[int]:
  """Trains the selected members; returns the numbers of the members that are still to be trained."""
  exp = job.experiment
  wanted = [one for one in members if only in (0, one.number) and not member.is_done(one)]
  if wanted and exp.ensemble.method in (method.AVERAGE, method.BAGGING):
    _train_vectorized(wanted, job, progress)
  before = None
  for one in members:
    if only in (0, one.number):
      progress.line(f'member {one.number} of {len(members)}: {one.exp.model.name}, seed {one.exp.seed}')
      member.train(one, job.stop, progress, targets=None, previous=before)
    if exp.ensemble.method == method.SNAPSHOT:
      before = one.folder
  return [one.number for one in members if not member.is_done(one)]


def _train_divided(
  members: Sequence[member.Member],
  job: job_lib.Job,
  progress: progress_lib.Progress,
  queue: work_queue.Queue,
) -> None:
  """Trains the members that this host takes, each with its networks out of fold where stacking needs them."""
  is_stacked = job.experiment.ensemble.combine in method.STACKED

  def train(i: int) -> None:
    one = members[i]
    progress.line(f'member {one.number} of {len(members)}: {one.exp.model.name}, seed {one.exp.seed}')
    member.train(one, job.stop, progress, targets=None, previous=None)
    if is_stacked:
      out_of_fold.train(one, len(members), job.experiment, job.data, job.stop, progress)

  pieces = [
    cross_validation.piece(
      f'member {one.number}',
      one.folder,
      member.is_done(one) and (not is_stacked or out_of_fold.folder(one).report.exists()),
    )
    for one in members
  ]
  queue.run(pieces, train, job.stop, progress)


def _train_vectorized(
  members: Sequence[member.Member],
  job: job_lib.Job,
  progress: progress_lib.Progress,
) -> None:
  """Trains the members in groups of `ensemble.vectorized`, each group in one program; nothing without such groups."""
  size = job.experiment.ensemble.vectorized
  if size <= 1:
    return
  for start in range(0, len(members), size):
    group = members[start : start + size]
    for one in group:
      seen_images.in_initial_weights(one.folder, one.data, one.exp.weights.path, one.exp.data.allow_leak)
    prepared = [
      preparation.prepare(one.config, one.exp, one.folder, one.data, job.stop, progress) for one in group
    ]
    jobs, initials = [each for each, _ in prepared], [initial for _, initial in prepared]
    numbers = ', '.join(str(one.number) for one in group)
    progress.line(f'members {numbers} of {len(members)} together')
    for one, each in zip(group, jobs, strict=True):
      num_images = len(one.data.rows['train'])
      words = run_training.length(one.exp, each.loop_spec.steps_per_epoch, num_images, progress.length_flag)
      progress.line(f'member {one.number}: {words}')
    vectorized.run(jobs, initials, [one.folder for one in group], progress)


def _combine(
  members: Sequence[member.Member],
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> combined_run.Result:
  """Combines the members by `ensemble.combine`."""
  combine = exp.ensemble.combine
  if combine in method.WEIGHT_AVERAGES:
    return _weight_average(members, exp, data, stop, progress)
  answers = member.answers(members, member.scored(exp, data))
  learned: combined_run.Answers = {}
  if combine in method.STACKED:
    learned = out_of_fold.answers(members, exp, data, stop, progress)
  learned_on = folds.OUT_OF_FOLD if learned else 'validation'
  rule = combined_run.rule(combine, {**answers, **learned}, learned_on, exp.seed)
  more: dict[str, Any] = {'method': exp.ensemble.method}
  instead: dict[str, types.Predictions] = {}
  if exp.ensemble.method == method.BAGGING:
    instead, share = _out_of_bag(members, data)
    more |= {'out_of_bag_share': share}
  names = tuple(str(one.number) for one in members)
  prints = member.fingerprints(members)
  return combined_run.Result(names, answers, rule, combine, more, instead, (), prints, 1.0)


def _out_of_bag(
  members: Sequence[member.Member], data: dataset.Dataset
) -> tuple[dict[str, types.Predictions], float]:
  """The out-of-bag predictions, means over the members whose bag lacks the row, and the share of rows with any."""
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
  predictions = types.Predictions(
    probs_NK, table.label[has], table.group[has], table.file[has], table.class_names
  )
  return {bagging.OUT_OF_BAG: predictions}, len(has) / len(rows)


def _weight_average(
  members: Sequence[member.Member],
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> combined_run.Result:
  """One network with the mean weights of all members, or of those selected on validation (`soup`)."""
  best = [model_set.load_best(m.folder, m.exp, m.data, stop, progress)[:2] for m in members]
  job = best[0][0]

  def mean_of(chosen: Sequence[int]) -> Any:
    return model_set.mean_params([best[i][1] for i in chosen])

  def score(chosen: tuple[int, ...]) -> float:
    predictions = job.predict(mean_of(chosen), 'validation')
    return forward.figures(predictions)['val_accuracy']

  kept = tuple(range(len(members)))
  if exp.ensemble.combine == method.SOUP:
    kept = tuple(sorted(averaging.greedy(len(members), score)))
    progress.line(
      f'soup of members {", ".join(str(members[i].number) for i in kept)}, by validation accuracy'
    )
  chosen = [members[i] for i in kept]
  wanted = member.scored(exp, data)
  network = model_set.fit_temperature(job, mean_of(kept))
  instead = {split: network.outputs.predictions(split) for split in wanted}
  names = tuple(str(each.number) for each in chosen)
  rule = combination.mean(len(chosen))
  more = {'method': exp.ensemble.method}
  return combined_run.Result(
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
