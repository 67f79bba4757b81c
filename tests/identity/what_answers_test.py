"""What answers is what was calibrated, in runs of before too; and the page says what its figures were made from."""

from __future__ import annotations

import json
import shutil

import evaluating
import numpy as np
import pytest
from small_run import config, copied, load, member_of, metrics, run, saved

from bloodcell_jax.base import types
from bloodcell_jax.models import zoo
from bloodcell_jax.reports import report
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import checkpoint, checksums

pytestmark = pytest.mark.usefixtures('blank_figures')


def aged(folder: workdir.Workdir) -> None:
  """Makes the folder what it was before calibration and figures said what they were made from."""
  for path in (folder.calibration, folder.metrics):
    found = json.loads(path.read_text())
    found.pop('fitted_for', None)
    for entry in found.values():
      if isinstance(entry, dict):
        entry.pop('evaluation', None)
    atomic.write_json(path, found)


def test_a_calibration_of_other_views_weights_or_members_is_refused_in_one_line(
  ensemble, tmp_path, monkeypatch
):
  def said(folder: workdir.Workdir) -> str:
    with pytest.raises(types.UserError) as error:
      load(folder)
    assert '\n' not in str(error.value)
    assert f'evaluate --workdir={folder.path}' in str(error.value)
    return str(error.value)

  changes = {
    'tta': ('mirrors', 'evaluate.tta=mirrors and not none'),
    'members': (['1'], 'other members'),
    'combine': ('vote', 'other members'),
    'fingerprint': ('0' * 16, 'other weights'),
  }
  for key, (value, words) in changes.items():
    folder = copied(ensemble, tmp_path / key)
    found = saved(folder)
    atomic.write_json(folder.calibration, {**found, 'fitted_for': {**found['fitted_for'], key: value}})
    assert words in said(folder)
  evaluating.run(monkeypatch, folder.path)
  assert load(folder).rule is not None, 'what the line says to do is the cure'


def test_a_regression_of_before_answers_as_it_did(tmp_path):
  """There calibration.json held the temperature of the outputs, and predictions were at it."""
  folder = run(tmp_path / 'run', 'svr')
  inside = saved(folder)['fitted_for']['temperature']
  assert abs(inside - 1) > 0.01
  expected = load(folder)
  atomic.write_json(folder.calibration, {**saved(folder), 'temperature': inside})
  aged(folder)
  loaded = load(folder)
  assert loaded.rule.temperature == 1
  image_NHWC = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
  np.testing.assert_allclose(loaded.probabilities(image_NHWC), expected.probabilities(image_NHWC), atol=1e-6)


def test_runs_of_before_open_and_are_complete(ensemble, single, tmp_path, capsys):
  folder = copied(single, tmp_path / 'single')
  before = load(folder)
  aged(folder)
  assert load(folder).rule == before.rule
  run(folder.path)
  assert 'complete' in capsys.readouterr().out
  several = copied(ensemble, tmp_path / 'several')
  aged(several)
  assert load(several).rule is not None


def test_a_member_without_its_temperature_is_named(ensemble, tmp_path):
  folder = copied(ensemble, tmp_path / 'run')
  member_of(folder, 2).calibration.unlink()
  with pytest.raises(types.UserError, match='members/2: has no calibration') as error:
    load(folder)
  assert '\n' not in str(error.value)


def test_a_folder_called_folds_in_a_run_of_before_is_a_split_like_any_other(single, tmp_path):
  folder = copied(single, tmp_path / 'run')
  entries = metrics(folder)
  atomic.write_json(folder.metrics, {**entries, 'folds': entries['test']})
  for kind in ('predictions', 'groups', 'review'):
    (path,) = (folder.path / kind).glob('test.*')
    shutil.copy(path, path.with_stem('folds'))
  report.write(folder)
  assert 'id="split-folds"' in folder.report.read_text()
  assert 'networks, each trained without' not in folder.report.read_text()


def test_a_run_without_a_scored_split_has_a_report_that_says_so(single, tmp_path):
  folder = copied(single, tmp_path / 'run')
  folder.metrics.unlink()
  report.write(folder)
  assert 'No split of this run has been scored' in folder.report.read_text()
  assert 'No split of this run has been scored' not in single.report.read_text()


def test_an_ensemble_is_compared_with_its_best_member_only_where_that_was_not_chosen(ensemble, tmp_path):
  found = json.loads(ensemble.ensemble.read_text())
  assert set(found['figures']) == {'test', 'validation'}
  assert set(found['gain_on_best']) == {'test'}
  page = ensemble.report.read_text()
  assert 'images of test: accuracy' in page
  assert 'images of validation: accuracy' not in page
  # A run of before has both; its page shows the one.
  folder = copied(ensemble, tmp_path / 'run')
  gain = found['gain_on_best']
  atomic.write_json(folder.ensemble, {**found, 'gain_on_best': {**gain, 'validation': gain['test']}})
  report.write(folder)
  assert 'images of test: accuracy' in folder.report.read_text()
  assert 'images of validation: accuracy' not in folder.report.read_text()


def test_an_ensemble_evaluated_at_other_views_says_that_its_members_were_not(ensemble, tmp_path, monkeypatch):
  folder = copied(ensemble, tmp_path / 'run')
  words = 'The figures of the members, and the comparisons with them, were computed with evaluate.tta=none'
  assert words not in folder.report.read_text()
  changes = {'ensemble.method': 'average', 'evaluate.tta': 'mirrors'}
  evaluating.run(monkeypatch, folder.path, config('svr', **changes))
  assert words in folder.report.read_text()
  run(folder.path, 'svr', **changes)
  assert words not in folder.report.read_text()
  assert saved(member_of(folder, 1))['fitted_for']['tta'] == 'mirrors', 'members are scored again as well'


def test_opening_a_run_hashes_each_checkpoint_once_and_restores_one_state(single, monkeypatch):
  hashed, restored = [], []
  damage, read = checksums.damage, checkpoint.Store._read
  monkeypatch.setattr(checksums, 'damage', lambda path: (hashed.append(path), damage(path))[1])
  monkeypatch.setattr(checkpoint.Store, '_read', lambda *arguments: (restored.append(1), read(*arguments))[1])
  loaded = load(single)
  assert len(hashed) == len(set(hashed)) > 0
  assert len(restored) == 1
  assert loaded.origin == metrics(single)['test']['checkpoint']


def test_a_complete_run_initializes_no_network(single, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(zoo, 'init', lambda *given: pytest.fail('initialized'))
  run(single.path)
  assert 'complete' in capsys.readouterr().out
  # Negative control: a new one does.
  with pytest.raises(pytest.fail.Exception, match='initialized'):
    run(tmp_path / 'new')
