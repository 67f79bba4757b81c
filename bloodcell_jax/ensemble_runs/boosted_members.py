"""Boosting: members trained in turn, each on the errors of the previous ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.ensemble_runs import combined_run, member
from bloodcell_jax.ensembles import boosting, combination, method
from bloodcell_jax.runs import forward, model_set
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import predictions_csv
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


def run(
  members: Sequence[member.Member],
  exp: experiment.Experiment,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> combined_run.Result:
  """Trains members until boosting ends, or validation has not improved for `ensemble.patience` members.

  The targets of a member follow from the training predictions of the previous ones, which are on disk: the same call
  after an interruption continues with the member that was interrupted.
  """
  data, spec = members[0].data, exp.ensemble
  rows = data.rows['train']
  table = data.table.take(rows)
  state = boosting.init(
    boosting.Spec(spec.method, spec.shrinkage), table.label, table.group, len(table.class_names)
  )
  losses: list[float] = []
  metric = 'validation error' if spec.method == method.SAMME else 'val_loss'
  for one in members:
    progress.line(f'member {one.number} of {len(members)}: {one.exp.model.name}, seed {one.exp.seed}')
    targets = _targets(state, members[: len(losses)], data.table, rows, data.rows['validation'])
    member.train(one, stop, progress, targets, previous=None)
    state = boosting.observe(state, _of_training(one, table))
    if state.num_members == one.number:
      predictions = member.answers(members[: one.number], ('validation',))['validation']
      answer = model_set.combined(boosting.combine(state, one.number), list(predictions))
      losses.append(_measure(spec.method, answer))
      progress.line(
        f'member {one.number}: {state.error_M[-1]:.3f} of the training weight misclassified, weight of the member '
        f'{state.alpha_M[-1]:.3f}; {metric} of the members so far {losses[-1]:.4f}'
      )
    if state.ended:
      progress.line(f'boosting ends: {state.ended}')
      break
    if spec.patience and len(losses) - boosting.early_stop(losses, spec.patience) >= spec.patience:
      progress.line(f'boosting ends: no improvement on validation for {spec.patience} members')
      break
  num = boosting.early_stop(losses, spec.patience) if spec.patience and losses else len(losses)
  rule = boosting.combine(state, num)
  found_answers = member.answers(members[:num], member.scored(exp, data))
  names = tuple(str(one.number) for one in members[:num])
  record: dict[str, Any] = {
    'kind': spec.method,
    'shares': list(state.alpha_M),
    'training_error': list(state.error_M),
    'measured': metric,
    'losses': losses,
    'ended': state.ended,
  }
  if spec.method == method.SAMME:
    # The bound is that of all members, including those that early stopping leaves out.
    record |= {'group_error': state.unit_error, 'group_error_bound': state.bound}
  prefixes = [boosting.combine(state, m) for m in range(1, num + 1)]
  more = {'method': spec.method, 'boosting': record}
  prints = member.fingerprints(members[:num])
  return combined_run.Result(names, found_answers, rule, spec.method, more, {}, prefixes, prints, 1.0)


def _measure(kind: str, answer: types.Predictions) -> float:
  """The validation loss of the members so far; the error for a vote, whose shares of 0 have no finite log loss."""
  figures = forward.figures(answer)
  return 1 - figures['val_accuracy'] if kind == method.SAMME else figures['val_loss']


def _of_training(one: member.Member, table: types.Table) -> np.ndarray:
  """[N, K] the member's probabilities for the training rows."""
  predictions = predictions_csv.read(one.folder.predictions('train'))
  if not np.array_equal(predictions.file_N, table.file):
    raise types.UserError(
      f'{one.folder.predictions("train")}: does not hold the images of train; evaluate the member again: '
      f'evaluate --workdir={shell.word(one.folder.path)}'
    )
  return predictions.probs_NK


def _targets(
  state: boosting.State,
  before: Sequence[member.Member],
  table: types.Table,
  train: np.ndarray,
  validation: np.ndarray,
) -> job_lib.Targets:
  """The targets of the next member for all rows of the table; those of rows outside training are not used."""
  weight_N, target_NK = boosting.assign(state)
  num_classes = state.num_classes
  whole_NK = np.eye(num_classes, dtype=np.float32)[table.label]
  whole_N = np.ones(len(table), np.float32)
  whole_N[train], whole_NK[train] = weight_N, target_NK
  is_residual = state.spec.kind == method.GRADIENT
  if is_residual:
    # The validation loss of an epoch is computed on the residuals of the validation rows.
    share_K = np.bincount(state.label_N, minlength=num_classes) / len(state.label_N)
    probs_NK = np.tile(share_K, (len(validation), 1))
    if before:
      predictions = member.answers(before, ('validation',))['validation']
      probs_NK = combination.apply(boosting.combine(state, len(before)), combined_run.stack(predictions), np)
    whole_NK[validation] -= probs_NK.astype(np.float32)
  return job_lib.Targets(whole_N, whole_NK, is_residual)
