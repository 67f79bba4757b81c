"""Trees on a run's features: an ordinary result beside the run's own, and the run as it was."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import shutil

import lock_holder
import numpy as np
import pytest
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import ensemble
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.heads import trees
from bloodcell_jax.runs import (
  comparison,
  deep_trees,
  job,
  model_set,
  output_layer,
  run_record,
  saved_run,
  stage_training,
  tree_features,
)
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress, signals
from configs import cnn_svr

pytestmark = pytest.mark.usefixtures('blank_figures')

CHANGES = {
  'data.embedded.num_train': 6, 'data.embedded.num_test': 3, 'data.embedded.num_copies': 2,
  'data.embedded.height': 40, 'data.embedded.width': 48, 'data.validation_fraction': 0.5, 'data.pipeline': 'numpy',
  'train.batch_size': 8, 'train.steps_per_epoch': 2, 'train.num_devices': 1, 'evaluate.batch_size': 12,
  'evaluate.num_resamples': 100, 'evaluate.splits': ('test',), 'stages.softmax.epochs': 1,
  'trees.num_trees': 5, 'trees.max_iter': 3, 'trees.min_samples_leaf': 1, 'trees.num_permutations': 1,
}  # fmt: skip


@functools.cache
def flat() -> dict:
  return {**experiment.flat(cnn_svr.get_config('softmax')), **CHANGES}


def resolve(**changes) -> experiment.Experiment:
  return experiment.resolve(experiment.nest({**flat(), **changes}))


@functools.cache
def images() -> dataset.Dataset:
  exp = resolve()
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


def listing(folder: pathlib.Path) -> dict[str, bytes]:
  return {
    str(p.relative_to(folder)): p.read_bytes()
    for p in sorted(folder.rglob('*'))
    if p.is_file() and 'trees' not in p.relative_to(folder).parts
  }


def fit(folder: workdir.Workdir, features: str, kinds=trees.KINDS, **changes) -> list[str]:
  """What `deep_trees.run` prints."""
  told: list[str] = []
  shown = progress.Progress()
  shown.line = told.append  # type: ignore[method-assign]
  deep_trees.run(folder, resolve(**changes), images(), features, kinds, signals.Stop(), shown)
  return told


@pytest.fixture(scope='module')
def trained(blank_figures, tmp_path_factory) -> workdir.Workdir:
  folder = workdir.Workdir(tmp_path_factory.mktemp('run'))
  exp = resolve()
  made = job.Job(exp, images(), exp.transform.standardize, None, signals.Stop())
  folder.write_config(flat())
  run_record.describe(folder, made, images().leaking().counts())
  stage_training.run(made, made.params, folder, progress.Progress())
  params, _ = saved_run.best(folder, made)
  predictions_csv.write(folder.predictions('test'), made.predict(params, 'test'), None)
  return folder


def test_a_folder_that_another_process_writes_is_refused_and_left_as_it_is(trained, monkeypatch):
  values = flags.FlagValues()
  for name, value in (('combine', False), ('trees', True)):
    flags.DEFINE_bool(name, value, '', flag_values=values)
  flags.DEFINE_string('features', 'embedding', '', flag_values=values)
  values(['main.py'])
  monkeypatch.setattr(flags, 'FLAGS', values)
  request = commands.Request(None, '', str(trained.path), ())
  with lock_holder.start(trained.path) as holder:
    with pytest.raises(types.UserError, match=f'process {holder.pid} on .* is writing there'):
      ensemble.run(request, signals.Stop())
    assert not (trained.path / 'trees').exists()
    holder.kill()
  ensemble.run(request, signals.Stop())
  assert (trained.path / 'trees' / trees.FOREST / 'trees.json').exists()
  lock.release()
  shutil.rmtree(trained.path / 'trees')


def test_each_kind_is_written_as_a_run_of_its_own_and_the_run_stays_as_it_was(trained):
  before = listing(trained.path)
  told = fit(trained, 'embedding')
  assert listing(trained.path) == before
  for kind in trees.KINDS:
    own = workdir.Workdir(trained.path / 'trees' / kind)
    found = predictions_csv.read(own.predictions('test'))
    np.testing.assert_array_equal(
      np.sort(found.file_N), np.sort(predictions_csv.read(trained.predictions('test')).file_N)
    )
    figures = json.loads(own.metrics.read_text())['test']
    assert figures['accuracy']['value'] == (found.probs_NK.argmax(1) == found.label_N).mean()
    assert 'Synthetic data' in figures['note']
    said = json.loads((own.path / 'trees.json').read_text())
    assert said['features'] == {'of': 'embedding', 'num': 100, 'importance_of': 'unit', 'num_units': 100}
    assert len(said['importance']['permutation']['mean']) == 100
    assert (said['out_of_bag'] is None) == (kind == trees.BOOSTING)
    # What the command `evaluate --compare` does.
    entry = comparison.write(trained, own, saved_run.read_experiment(own, None))['test']
    assert entry == said['compared']['test']
    assert {p.name for p in own.figures.iterdir()} >= {
      'importance.png',
      'error_by_trees.png',
      'confusion_test.png',
    }
    assert saved_run.read_experiment(own, None).trees == resolve().trees
  forest = json.loads((trained.path / 'trees' / trees.FOREST / 'trees.json').read_text())
  by_groups = forest['out_of_bag']['by_groups']
  assert by_groups['accuracy']['value'] == pytest.approx(1 - forest['out_of_bag']['error_by_trees'][-1])
  assert any('out-of-bag error' in line for line in told)


def test_trees_that_are_killed_while_they_are_replaced_are_not_complete_and_the_other_kind_stays(
  trained, monkeypatch
):
  fit(trained, 'embedding')
  records = {kind: trained.path / 'trees' / kind / 'trees.json' for kind in trees.KINDS}
  boosting = records[trees.BOOSTING].stat().st_mtime_ns
  write = deep_trees.scoring.write

  def killed(*given):
    write(*given)
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(deep_trees.scoring, 'write', killed)
    with pytest.raises(KeyboardInterrupt):
      fit(trained, 'embedding', [trees.FOREST])
  own = workdir.Workdir(records[trees.FOREST].parent)
  assert own.metrics.exists(), 'killed after it was written'
  assert not records[trees.FOREST].exists(), 'the old record does not stand beside the new figures'
  fit(trained, 'embedding', [trees.FOREST])
  assert records[trees.FOREST].exists()
  assert records[trees.BOOSTING].stat().st_mtime_ns == boosting, 'only the kind that is asked for is fitted'


@pytest.mark.slow
def test_the_same_run_gives_the_same_trees_and_other_settings_others(trained):
  own = workdir.Workdir(trained.path / 'trees' / trees.FOREST)
  texts = []
  for changes in ({}, {}, {'trees.num_trees': 6}):
    fit(trained, 'embedding', **changes)
    texts.append(own.predictions('test').read_bytes())
  assert texts[0] == texts[1]
  assert texts[0] != texts[2]
  assert own.read_config()['trees.num_trees'] == 6


def test_features_are_what_the_network_sees_of_each_image(trained):
  exp = resolve()
  network, _ = model_set.load_network(trained, exp, images(), signals.Stop(), progress.Progress())
  made, rows = network.job, images().rows
  seen = {name: tree_features.of_images(network, ['train', 'test'], name) for name in tree_features.FEATURES}
  for each in seen.values():
    np.testing.assert_array_equal(each.rows, np.sort(np.concatenate([rows['train'], rows['test']])))
  expected = output_layer.embed(made, made.model, network.params, made.in_order(rows['test']))
  place = np.searchsorted(seen['embedding'].rows, rows['test'])
  np.testing.assert_allclose(seen['embedding'].feature_ND[place], expected, atol=1e-6)
  assert not np.allclose(seen['embedding'].feature_ND[place[::-1]], expected)
  # The map of the hybrid has 2 x 2 places of 10 channels; the average of a channel is that of its features.
  flat_map = seen['map']
  assert (flat_map.feature_ND.shape[1], flat_map.unit, seen['embedding'].unit) == (40, 'channel', 'unit')
  for c in range(10):
    np.testing.assert_allclose(
      flat_map.feature_ND[:, flat_map.unit_D == c].mean(1), seen['average'].feature_ND[:, c], atol=1e-6
    )
  np.testing.assert_array_equal(seen['average'].unit_D, np.arange(10))


def test_importance_of_a_map_is_told_by_channel(trained):
  fit(trained, 'map')
  said = json.loads((trained.path / 'trees' / trees.FOREST / 'trees.json').read_text())
  assert said['features'] == {'of': 'map', 'num': 40, 'importance_of': 'channel', 'num_units': 10}
  assert len(said['importance']['impurity']) == 10
  assert sum(said['importance']['impurity']) == pytest.approx(1)


def test_what_cannot_be_done_is_told_in_a_line(trained, tmp_path):
  with pytest.raises(types.UserError, match='--features'):
    fit(trained, 'pixels')
  with pytest.raises(types.UserError, match='several networks'):
    fit(trained, 'map', **{'ensemble.method': 'average'})
  with pytest.raises(types.UserError, match='evaluate --workdir'):
    fit(trained, 'map', **{'evaluate.splits': ('validation', 'test')})
  with pytest.raises(types.UserError, match='no run here'):
    fit(workdir.Workdir(tmp_path), 'map')
  other = dataclasses.replace(images(), rows={**images().rows, 'test': images().rows['test'][:-1]})
  with pytest.raises(types.UserError, match='other data'):
    deep_trees.run(trained, resolve(), other, 'map', trees.KINDS, signals.Stop(), progress.Progress())
  assert not (tmp_path / 'trees').exists()
