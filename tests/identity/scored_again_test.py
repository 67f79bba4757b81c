"""A finished run under other keys of `evaluate` is scored again as a whole; a folder is scored beside its splits."""

from __future__ import annotations

import json
from typing import Any

import evaluating
import numpy as np
import pytest
from small_run import config, copied, images_by_class, load, metrics, probs, run, saved

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import bagging, folds
from bloodcell_jax.reports import selection
from bloodcell_jax.runs import model_set, scoring
from bloodcell_jax.storage import calibration_file, config_keys, workdir

pytestmark = pytest.mark.usefixtures('blank_figures')

OTHER_KEYS = {
  'tta': 'mirrors', 'max_error': 0.2, 'miscoverage': 0.3, 'conformal_score': 'aps', 'confidence': 0.8,
  'interval': 'percentile', 'num_resamples': 120, 'prevalence': (0.1, 0.2, 0.3, 0.4),
  'unlike_share': 0.2,
}  # fmt: skip


def test_every_key_of_evaluate_but_splits_and_batches_is_one_of_the_figures():
  assert {*OTHER_KEYS, 'splits', 'batch_size', 'align_features'} == set(config().evaluate)
  plain = experiment.resolve(config()).evaluation
  assert set(plain) == set(OTHER_KEYS)
  for key, value in OTHER_KEYS.items():
    other = experiment.resolve(config(**{f'evaluate.{key}': value})).evaluation
    assert {name for name in plain if plain[name] != other[name]} == {key}
    assert json.loads(json.dumps(other)) == other
    assert config_keys.is_of_figures(f'evaluate.{key}')


@pytest.mark.parametrize('key', ['tta', 'max_error', 'prevalence', 'unlike_share'])
def test_train_with_another_key_of_evaluate_scores_a_finished_run_again(single, tmp_path, capsys, key):
  value = OTHER_KEYS[key]
  folder = copied(single, tmp_path / 'run')
  run(folder.path)
  assert 'complete' in capsys.readouterr().out, 'the same keys: there is nothing to do'
  run(folder.path, **{f'evaluate.{key}': value})
  assert 'complete' not in capsys.readouterr().out
  kept = json.loads(json.dumps(value))
  assert folder.read_config()[f'evaluate.{key}'] == kept
  assert all(entry['evaluation'][key] == kept for entry in metrics(folder).values())
  found = {**saved(folder), **saved(folder)['conformal'], **saved(folder)['fitted_for']}
  found['conformal_score'] = found['score']
  assert found.get(key, kept) == kept
  assert load(folder).rule is not None
  run(folder.path, **{f'evaluate.{key}': value})
  assert 'complete' in capsys.readouterr().out


def test_other_splits_or_batches_need_no_new_calibration(single, tmp_path, capsys):
  folder = copied(single, tmp_path / 'run')
  run(folder.path, **{'evaluate.batch_size': 7})
  assert 'complete' in capsys.readouterr().out
  assert folder.read_config()['evaluate.batch_size'] == 7


class _Killed(BaseException):
  pass


@pytest.mark.parametrize(
  ('command', 'step'),
  [
    ('train', 'calibration'),
    ('evaluate', 'scores'),
    *(
      pytest.param(*others, marks=pytest.mark.long)
      for others in (
        ('train', 'before'),
        ('train', 'scores'),
        ('evaluate', 'before'),
        ('evaluate', 'calibration'),
      )
    ),
  ],
)
def test_wherever_scoring_again_is_interrupted_no_calibration_stands_beside_other_keys(
  single, tmp_path, monkeypatch, command, step
):
  folder = copied(single, tmp_path / 'run')

  def kill(*arguments: Any) -> None:
    raise _Killed

  def again(patch: pytest.MonkeyPatch) -> None:
    if command == 'train':
      run(folder.path, **{'evaluate.tta': 'mirrors'})
    else:
      evaluating.run(patch, folder.path, config=config(**{'evaluate.tta': 'mirrors'}))

  with monkeypatch.context() as patch:
    if step == 'before':
      patch.setattr(model_set.ModelSet, 'predict_each', kill)
    elif step == 'calibration':
      patch.setattr(calibration_file, 'write', kill)
    else:
      patch.setattr('bloodcell_jax.runs.scoring.write', kill)
    with pytest.raises(_Killed):
      again(patch)
  loaded = load(folder)
  views = folder.read_config()['evaluate.tta']
  assert loaded.job.experiment.tta == views
  if loaded.rule is not None:
    assert saved(folder)['fitted_for']['tta'] == views
  for entry in folder.read_metrics().values():
    assert entry['evaluation']['tta'] == views
  run(folder.path, **{'evaluate.tta': 'mirrors'})
  assert load(folder).rule is not None
  assert metrics(folder)['test']['evaluation']['tta'] == 'mirrors'


def test_a_folder_is_not_scored_at_views_that_nothing_was_calibrated_for(single, tmp_path, monkeypatch):
  folder = copied(single, tmp_path / 'run')
  own = images_by_class(folder, tmp_path / 'cells')
  with pytest.raises(types.UserError, match=r'evaluate\.tta=none and not mirrors'):
    evaluating.run(monkeypatch, folder.path, config(**{'evaluate.tta': 'mirrors'}), data_dir=str(own))
  before = folder.calibration.read_text()
  evaluating.run(monkeypatch, folder.path, data_dir=str(own))
  assert folder.calibration.read_text() == before
  np.testing.assert_allclose(
    np.sort(probs(folder, 'cells'), axis=0), np.sort(probs(folder, 'test'), axis=0), atol=1e-5
  )


def test_evaluate_at_other_views_leaves_no_figures_of_the_views_before(single, tmp_path, monkeypatch, capsys):
  folder = copied(single, tmp_path / 'run')
  evaluating.run(monkeypatch, folder.path, data_dir=str(images_by_class(folder, tmp_path / 'cells')))
  capsys.readouterr()
  evaluating.run(monkeypatch, folder.path)
  assert set(metrics(folder)) == {'test', 'cells'}, 'the same keys: all figures stay'
  evaluating.run(monkeypatch, folder.path, config(**{'evaluate.tta': 'mirrors'}))
  assert set(metrics(folder)) == {'test'}
  assert 'no longer in the report, because they were evaluated differently: cells' in capsys.readouterr().out
  assert saved(folder)['fitted_for']['tta'] == 'mirrors'
  assert load(folder).rule is not None


@pytest.mark.parametrize('splits', [('test',), ()])
def test_a_run_without_the_wanted_splits_is_scored_on_validation(tmp_path, capsys, splits):
  changes = {'data.embedded.num_test': 0} if splits else {}
  folder = run(tmp_path / 'run', **changes, **{'evaluate.splits': splits})
  assert set(metrics(folder)) == {'validation'}
  assert 'but this data has none of them: validation is scored' in capsys.readouterr().out
  assert 'Chosen on validation: the epoch' in folder.report.read_text()
  run(folder.path, **changes, **{'evaluate.splits': splits})
  assert 'complete' in capsys.readouterr().out


@pytest.mark.parametrize('name', [*scoring.RESERVED, 'calibrated_test'])
def test_a_scored_folder_takes_no_name_that_a_run_uses_itself(single, tmp_path, monkeypatch, name):
  before = single.metrics.read_text()
  with pytest.raises(types.UserError, match='named like a split of the run; rename the folder'):
    evaluating.run(monkeypatch, single.path, data_dir=str(tmp_path / name))
  assert single.metrics.read_text() == before


def test_every_split_of_every_kind_of_run_has_a_name_that_no_scored_folder_takes():
  used = {*dataset.SPLITS, folds.HELD_OUT, folds.OUT_OF_FOLD, bagging.OUT_OF_BAG, 'train', workdir.FOLDS}
  used.add(selection.CROSS_FITTED)
  assert used == set(scoring.RESERVED)
