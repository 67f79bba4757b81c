"""A cross-validation from its config to its report: killed, continued, spread over machines."""

from __future__ import annotations

import csv
import functools
import json
import pathlib
import shutil

import evaluating
import numpy as np
import pytest

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import train
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import cross_validation, job
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.train import signals
from configs import default

pytestmark = pytest.mark.usefixtures('blank_figures')

NUM = 3
CHANGES = {
  'data.embedded.num_train': 6, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 46, 'data.pipeline': 'numpy',
  'data.cache': 'memory', 'data.validation_fraction': 0.5, 'train.batch_size': 8, 'train.epochs': 1,
  'train.steps_per_epoch': 2, 'train.checkpoint_unit': 'steps', 'train.num_devices': 1, 'train.folds': NUM,
  'evaluate.splits': ('test',), 'evaluate.num_resamples': 100,
}  # fmt: skip


def run(folder: pathlib.Path, **changes) -> workdir.Workdir:
  flat = {**experiment.flat(default.get_config()), **CHANGES, **changes}
  train.run(commands.Request(experiment.nest(flat), 'test', str(folder), ()), signals.Stop())
  return workdir.Workdir(folder)


def fold(folder: workdir.Workdir, k: int) -> workdir.Workdir:
  return workdir.Workdir(folder.path / 'folds' / str(k))


@pytest.fixture(scope='module')
def finished(blank_figures, tmp_path_factory) -> workdir.Workdir:
  return run(tmp_path_factory.mktemp('cross'))


@pytest.fixture(scope='module')
def metrics(finished):
  return json.loads(finished.metrics.read_text())


def test_every_image_of_train_is_predicted_once_by_a_network_that_never_saw_it(finished):
  rows = list(csv.DictReader(finished.predictions('out_of_fold').read_text().splitlines()))
  assert len(rows) == len({row['file'] for row in rows}) == 4 * 6 * 2
  assert not any('TEST' in row['file'] for row in rows)
  held = [list(csv.DictReader(fold(finished, k).predictions('fold').read_text().splitlines()))
          for k in range(1, NUM + 1)]  # fmt: skip
  groups = [{row['group'] for row in part} for part in held]
  assert sum(map(len, groups)) == len(set().union(*groups)) == 24, 'a group is in one fold'
  by_file = {row['file']: row for part in held for row in part}
  # Those of a fold say as well how unlike its own training images each is.
  assert all(row.items() < by_file[row['file']].items() for row in rows)


def test_mean_and_spread_are_numpy_s_over_the_folds(finished, metrics):
  assert metrics['out_of_fold']['num_images'] == 48
  assert metrics['out_of_fold']['num_groups'] == 24
  assert set(metrics['folds']['splits']) == {'fold', 'test'}
  each = [json.loads(fold(finished, k).metrics.read_text()) for k in range(1, NUM + 1)]
  for split, figures in metrics['folds']['splits'].items():
    for name, entry in figures.items():
      values = [own[split][name]['value'] for own in each]
      assert entry['values'] == values
      assert (entry['mean'], entry['sd']) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
  assert all('Synthetic' in metrics[name]['note'] for name in ('out_of_fold', 'folds'))
  assert len({own['fold']['log_loss']['value'] for own in each}) == NUM, 'the networks differ'


def test_the_page_and_the_folder_are_those_of_a_cross_validation(finished):
  page = finished.report.read_text()
  for text in ('Folds', 'standard deviation', 'test, fold 3', 'out_of_fold', 'Synthetic'):
    assert text in page
  # 24 photographs of two images: a fold holds out 8 of them, and half of the others validate.
  assert 'Each of 3 networks, one for each fold, was trained on 8 photographs, 16 images.' in page
  assert 'Trained on' not in page
  assert 'Trained on 8 photographs, 16 images.' in fold(finished, 1).report.read_text()
  assert (finished.figures / 'confusion_out_of_fold.png').exists()
  assert finished.read_config()['train.fold'] == 0
  assert [fold(finished, k).read_config()['train.fold'] for k in (1, 2, 3)] == [1, 2, 3]
  assert all(fold(finished, k).report.exists() for k in (1, 2, 3))
  assert set(finished.read_environment()['data']['counts']) == {'train', 'test', 'test_originals'}


class Killed(Exception):
  """Stands for a process that ends without a word."""


@pytest.fixture
def killed(finished, tmp_path, monkeypatch) -> workdir.Workdir:
  """The folder of a cross-validation that ended in the second fold, after its first update."""
  original = job.Job.train_step

  def train_step(self, stage, model):
    update = original(self, stage, model)

    def step(state, *rest):
      if self.experiment.cross_validation.fold == 2 and int(state.step) == 1:
        raise Killed
      return update(state, *rest)

    return step

  with monkeypatch.context() as patch:
    patch.setattr(job.Job, 'train_step', train_step)
    with pytest.raises(Killed):
      run(tmp_path)
  return workdir.Workdir(tmp_path)


def test_killed_in_a_fold_it_continues_to_the_same_bits(killed, finished, tmp_path, capsys):
  assert fold(killed, 1).report.exists()
  assert not killed.metrics.exists()
  before = fold(killed, 1).history.read_bytes()
  run(killed.path)
  out = capsys.readouterr().out
  assert f'{fold(killed, 1).path}: complete' in out
  assert 'continuing after step 1 of 2' in out
  assert fold(killed, 1).history.read_bytes() == before, 'a finished fold is passed over'
  assert killed.predictions('out_of_fold').read_bytes() == finished.predictions('out_of_fold').read_bytes()
  # The control: one update more gives other bytes.
  other = run(tmp_path / 'other', **{'train.fold': 1, 'train.steps_per_epoch': 3})
  paths = [fold(of, 1).predictions('fold') for of in (other, finished)]
  files = [[row['file'] for row in csv.DictReader(path.read_text().splitlines())] for path in paths]
  assert files[0] == files[1]
  assert paths[0].read_bytes() != paths[1].read_bytes()


def test_folds_trained_elsewhere_are_joined(finished, tmp_path, capsys):
  run(tmp_path, **{'train.fold': 2})
  assert 'folds still to train: 1, 3' in capsys.readouterr().out
  assert [path.name for path in (tmp_path / 'folds').iterdir()] == ['2']
  for k in (1, 3):
    shutil.copytree(fold(finished, k).path, tmp_path / 'folds' / str(k))
  joined = run(tmp_path, **{'train.fold': 2})
  out = capsys.readouterr().out
  assert f'over {NUM} folds' in out
  assert joined.predictions('out_of_fold').read_bytes() == finished.predictions('out_of_fold').read_bytes()


def test_a_fold_of_another_run_is_not_joined(finished, tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(finished.path, copy)
  path = copy / 'folds' / '3' / 'config.json'
  config = json.loads(path.read_text())
  path.unlink()
  path.write_text(json.dumps({**config, 'seed': 7}))
  with pytest.raises(types.UserError, match='seed was 7 and is 0'):
    run(copy, **{'train.fold': 1})


def test_the_folder_of_a_fold_is_continued_from_that_of_all(finished):
  with pytest.raises(types.UserError, match=f'--workdir={finished.path}') as caught:
    run(fold(finished, 2).path, **{'train.fold': 2})
  assert '\n' not in str(caught.value)


@functools.cache
def some(*numbers: int) -> types.Predictions:
  names = np.array([f'{i}.png' for i in numbers])
  probs_NK = np.array([[i / 10, 1 - i / 10] for i in numbers])
  return types.Predictions(probs_NK, np.zeros(len(names), np.int32), names, names, ('A', 'B'))


def test_joined_predictions_are_in_the_table_s_order_and_none_is_lost_or_doubled():
  names = np.array([f'{i}.png' for i in (3, 0, 2, 1)])
  columns = dict.fromkeys(('file', 'source', 'group', 'split', 'digest'), names)
  table = types.Table(tuple(names), label=np.zeros(4, np.int32), class_names=('A', 'B'), name='n', synthetic=False,
                      **columns)  # fmt: skip
  found = cross_validation.joined([some(0, 3), some(1, 2)], table)
  assert found.file_N.tolist() == names.tolist()
  assert found.probs_NK[:, 0].tolist() == [0.3, 0.0, 0.2, 0.1]
  for broken in ([some(0, 3), some(1)], [some(0, 3), some(1, 2, 3)], [some(0, 3), some(1, 3)]):
    with pytest.raises(types.UserError, match='instead of each of the 4 of the data once'):
      cross_validation.joined(broken, table)


def test_a_fold_is_evaluated_again_and_the_whole_names_one(finished, tmp_path, monkeypatch):
  copy = tmp_path / 'copy'
  shutil.copytree(finished.path, copy)
  own = fold(workdir.Workdir(copy), 2)
  before = predictions_csv.read(own.predictions('fold'))
  own.predictions('fold').unlink()
  evaluating.run(monkeypatch, own.path)
  np.testing.assert_array_equal(predictions_csv.read(own.predictions('fold')).probs_NK, before.probs_NK)
  with pytest.raises(types.UserError, match='folds/1') as caught:
    evaluating.run(monkeypatch, copy)
  assert '\n' not in str(caught.value)
