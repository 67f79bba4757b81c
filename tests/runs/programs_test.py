"""Compiled functions are shared by jobs of equal networks, and by no others."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pytest
from job_test import SGD, build, new, read, resolve, targets

from bloodcell_jax.runs import job, programs


@pytest.fixture(autouse=True)
def none_before(monkeypatch):
  monkeypatch.setattr(programs, '_programs', programs.collections.OrderedDict())


def step_of(made):
  return made.train_step(made.experiment.stages[0], made.model)


def test_jobs_that_differ_in_seed_or_images_share_their_programs():
  first, second = (new(resolve('cnn_a', **{'seed': seed}), read('cnn_a')) for seed in (0, 1))
  for name in ('apply', 'apply_with_tta', 'apply_with_embedding'):
    assert getattr(first, name) is getattr(second, name)
  assert step_of(first) is step_of(second)


@pytest.mark.parametrize(
  'change',
  [
    {'optimizer.learning_rate': 0.5},
    {'train.label_smoothing': 0.3},
    {'train.l2': 0.1},
    {'train.ema_momentum': 0.0},
    {'train.batch_size': 2},
    {'model.dropout_rate': 0.7},
  ],
  ids=str,
)
def test_what_changes_an_update_makes_another_program(change):
  first, second = (new(resolve('cnn_a', **keys), read('cnn_a')) for keys in ({}, change))
  assert step_of(first) is not step_of(second)


def test_residuals_are_fitted_by_another_program():
  made = build('cnn_a', **SGD)
  residual = job.Targets(np.ones(len(made.data.table), np.float32), targets(made.data, 1, True), True)
  changed = made.with_targets(residual)
  assert step_of(changed) is not step_of(made)
  classes = made.with_targets(dataclasses.replace(residual, is_residual=False))
  assert step_of(classes) is step_of(made)


def test_batches_of_another_size_are_evaluated_by_another_program():
  made = new(resolve('cnn_a'), read('cnn_a'))
  other = new(resolve('cnn_a', **{'evaluate.batch_size': 3, 'evaluate.tta': 'mirrors'}), read('cnn_a'))
  assert made.apply is not other.apply
  assert made.apply_with_embedding is not other.apply_with_embedding


def test_a_program_keeps_no_job_and_no_images():
  made = new(resolve('cnn_a'), read('cnn_a'))
  assert step_of(made) is not made.apply is not made.apply_with_embedding
  seen = weakref.ref(made)
  del made
  gc.collect()
  assert seen() is None


def test_the_programs_used_last_are_kept():
  first = programs.share('first', lambda: print)
  for number in range(programs.MOST - 1):
    programs.share(number, lambda: max)
  assert programs.share('first', lambda: min) is first
  for number in range(programs.MOST):
    programs.share(number, lambda: max)
  assert programs.share('first', lambda: min) is min
