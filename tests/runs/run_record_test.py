"""Whether a run's record is of a training that has ended."""

from __future__ import annotations

import pathlib

import pytest

from bloodcell_jax.config import experiment
from bloodcell_jax.runs import run_record
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import history
from configs import default


def resolved(**changes) -> experiment.Experiment:
  changes = {key.replace('__', '.'): value for key, value in changes.items()}
  flat = experiment.flat(default.get_config())
  return experiment.resolve(experiment.nest({**flat, 'train.epochs': 2, **changes}))


def write(folder: pathlib.Path, epochs: int) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  records = [
    history.Record(i, i, 'train', 1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0, 0.0) for i in range(1, epochs + 1)
  ]
  history.write(folder / 'history.jsonl', records)


def test_a_run_is_trained_when_no_epoch_is_left(tmp_path):
  folder = workdir.Workdir(tmp_path)
  assert not run_record.is_trained(folder, resolved())
  write(tmp_path, 1)
  assert not run_record.is_trained(folder, resolved())
  write(tmp_path, 2)
  assert run_record.is_trained(folder, resolved()), 'whether or not it has a report'
  assert not run_record.is_trained(folder, resolved(train__epochs=3))
  folder.history.write_text('{')
  assert not run_record.is_trained(folder, resolved())


@pytest.mark.parametrize(
  ('parts', 'changes'),
  [
    ('members', {'ensemble__method': 'average', 'ensemble__members': 2}),
    ('folds', {'train__folds': 2}),
  ],
)
def test_a_run_of_several_is_trained_when_each_is(parts, changes, tmp_path):
  folder, exp = workdir.Workdir(tmp_path), resolved(**changes)
  write(tmp_path / parts / '1', 2)
  assert not run_record.is_trained(folder, exp), 'the second has not begun'
  write(tmp_path / parts / '2', 1)
  assert not run_record.is_trained(folder, exp)
  write(tmp_path / parts / '2', 2)
  assert run_record.is_trained(folder, exp)
