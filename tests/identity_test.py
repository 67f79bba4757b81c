"""What answers is what was calibrated: one run gives an image the same probabilities, whoever asks for them."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import evaluating
import numpy as np
import pytest

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import train
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.division import bagging, folds
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.export import parity, program
from bloodcell_jax.inference import classifier, differential_count, file_predictions
from bloodcell_jax.reports import report
from bloodcell_jax.runs import model_set, run_data, saved_run, scoring
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import calibration_file, ensemble_file, journal, predictions_csv, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import checkpoint, checksums, signals
from configs import default

SMALL = {
  'data.embedded.num_train': 8, 'data.embedded.num_test': 3, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.pipeline': 'numpy',
  'data.cache': 'memory', 'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'train.batch_size': 8,
  'train.steps_per_epoch': 6, 'train.num_devices': 1, 'ensemble.members': 2, 'ensemble.folds': 2,
  'evaluate.splits': ('test',), 'evaluate.num_resamples': 100,
}  # fmt: skip


def config(loss: str = 'cross_entropy', **changes: Any) -> Any:
  stage = default.stage(('.*',), 1, 'rmsprop', 0.001)
  # A fitted output layer, so that a few updates are enough for outputs that tell classes apart.
  stage.loss, stage.output_layer = loss, 'svr' if loss == 'svr' else ''
  own = {f'stages.only.{key}': value for key, value in stage.items()}
  flat = {**experiment.flat(default.get_config()), **SMALL, 'stages.order': ('only',), **own, **changes}
  return experiment.nest(flat)


def run(folder: pathlib.Path, *given: str, **changes: Any) -> workdir.Workdir:
  train.run(commands.Request(config(*given, **changes), 'test', str(folder), ()), signals.Stop())
  return workdir.Workdir(folder)


def load(folder: workdir.Workdir) -> classifier.Classifier:
  return classifier.load(folder, signals.Stop())


def probs(folder: workdir.Workdir, split: str) -> np.ndarray:
  return predictions_csv.read(folder.predictions(split)).probs_NK


def metrics(folder: workdir.Workdir) -> dict[str, Any]:
  return json.loads(folder.metrics.read_text())


def saved(folder: workdir.Workdir) -> dict[str, Any]:
  return json.loads(folder.calibration.read_text())


def calibrated(probs_NK: np.ndarray, loaded: classifier.Classifier) -> np.ndarray:
  nothing = np.zeros(len(probs_NK), np.int32)
  plain = types.Predictions(probs_NK, nothing, nothing.astype(str), nothing.astype(str), loaded.class_names)
  return calibration.scaled(plain, loaded.rule.temperature).probs_NK


def of_files(folder: workdir.Workdir, to: pathlib.Path) -> differential_count.ClassifiedCells:
  """What `predict` says of the files of the test split, in the order of its CSV."""
  loaded = load(folder)
  spec = loaded.made.experiment.data.decode
  table = reading.read_table(loaded.made.experiment.data)[0]
  content = dict(zip(table.file.tolist(), table.content, strict=True))
  found = []
  to.mkdir()
  for i, name in enumerate(predictions_csv.read(folder.predictions('test')).file_N.tolist()):
    (to / f'{i}.png').write_bytes(content[name])
    found.append(input_paths.Input(str(to / f'{i}.png'), f'{i}.png'))
  known = journal.Journal(
    to / 'journal.jsonl', file_predictions.fingerprint(loaded, spec), loaded.class_names
  )
  seen = file_predictions.predict_files(
    loaded, found, spec, known, lambda done, total: None, file_predictions.cells_of
  )
  return differential_count.classify(seen.cells, seen.probs_NK, loaded.class_names, loaded.rule, None)


def case(model: str, loss: str, method: str, combine: str, quick: bool = False) -> Any:
  name = '-'.join(part for part in (model, loss, method, combine) if part)
  return pytest.param(model, loss, method, combine, id=name, marks=() if quick else pytest.mark.slow)


AVERAGED = (
  'auto',
  'logits',
  'geometric',
  'vote',
  'weighted',
  'swa',
  'soup',
  'logistic',
  'gradient_boosting',
  'mlp',
)
STACKED = ('logistic', 'gradient_boosting', 'mlp')
QUICK = {('average', 'auto'), ('average', 'swa')}
CASES = [
  *(
    case(model, loss, '', 'auto', model == 'cnn_svr')
    for model in ('cnn_svr', 'cnn_a', 'cnn_b', 'vgg16')
    for loss in ('cross_entropy', 'svr')
  ),
  *(
    case('cnn_svr', loss, method, combine, loss == 'svr' and (method, combine) in QUICK)
    for loss in ('svr', 'cross_entropy')
    for method, combine in (
      *(('average', combine) for combine in AVERAGED),
      *((method, 'auto') for method in ('snapshot', 'bagging', 'samme', 'samme_r', 'gradient')),
    )
    if (method, loss) != ('gradient', 'svr')
  ),
]


@pytest.mark.parametrize(('model', 'loss', 'method', 'combine'), CASES)
def test_train_evaluate_predict_and_export_give_an_image_the_same_probabilities(
  model, loss, method, combine, tmp_path, monkeypatch
):
  changes = {'model.name': model, 'ensemble.method': method, 'ensemble.combine': combine}
  changes |= {'data.image_size': 96} if model in ('cnn_a', 'cnn_b') else {}
  # A member that is no better than chance is dropped.
  changes |= {'train.steps_per_epoch': 40} if method.startswith('samme') else {}
  # Far from 1 whatever the network has learned: a temperature that is left out, or applied twice, shows.
  monkeypatch.setattr(calibration, 'fit_temperature', lambda predictions, weight_N: 0.2)
  folder = run(tmp_path / 'run', loss, **changes, **{'evaluate.tta': 'mirrors'})
  trained = {split: probs(folder, split) for split in metrics(folder)}
  rule = load(folder).rule
  assert rule is not None

  evaluating.run(monkeypatch, folder.path)
  for split, expected_NK in trained.items():
    np.testing.assert_allclose(probs(folder, split), expected_NK, atol=1e-5, err_msg=split)
  again = load(folder).rule
  assert again.temperature == pytest.approx(rule.temperature, rel=1e-3)
  assert (again.threshold is None) == (rule.threshold is None)
  if 'validation' in trained:
    # Threshold and sets are those of these very predictions.
    targets = load(folder).made.experiment.calibration
    own = calibration.fit_at(
      again.temperature, predictions_csv.read(folder.predictions('validation')), targets
    )
    assert own.threshold == pytest.approx(again.threshold, abs=1e-4)
    assert own.conformal.limit == pytest.approx(again.conformal.limit, abs=1e-4)

  loaded = load(folder)
  expected_NK = calibrated(trained['test'], loaded)
  np.testing.assert_allclose(of_files(folder, tmp_path / 'files').probs_NK, expected_NK, atol=1e-5)

  data = run_data.reader(saved_run.read_experiment(folder, None), folder.cache)(lambda done, total: None)
  image_NHWC = data.image_NHWC[data.rows['test']]
  exported = program.build(loaded)
  answer_NK = np.asarray(exported.probabilities(exported.weights, image_NHWC))
  np.testing.assert_allclose(answer_NK, expected_NK, atol=parity.LIMIT)
  np.testing.assert_allclose(parity.reference(loaded, image_NHWC), expected_NK, atol=parity.LIMIT)
  # Negative control: the comparison sees another temperature. Votes, and what is learned from so few, may not show it.
  other_NK = calibration.scaled(
    predictions_csv.read(folder.predictions('test')), 3 * rule.temperature
  ).probs_NK
  is_plain = method in ('', 'average') and combine not in ('vote', *STACKED)
  assert not is_plain or np.abs(other_NK - expected_NK).max() > 10 * parity.LIMIT


@pytest.fixture(scope='module')
def single(tmp_path_factory) -> workdir.Workdir:
  return run(tmp_path_factory.mktemp('single') / 'run')


@pytest.fixture(scope='module')
def regression(tmp_path_factory) -> workdir.Workdir:
  return run(tmp_path_factory.mktemp('regression') / 'run', 'svr')


@pytest.fixture(scope='module')
def ensemble(tmp_path_factory) -> workdir.Workdir:
  return run(tmp_path_factory.mktemp('ensemble') / 'run', 'svr', **{'ensemble.method': 'average'})


def copied(folder: workdir.Workdir, to: pathlib.Path) -> workdir.Workdir:
  shutil.copytree(folder.path, to)
  return workdir.Workdir(to)


def aged(folder: workdir.Workdir) -> None:
  """Makes the folder what it was before calibration and figures said what they were made from."""
  for path in (folder.calibration, folder.metrics):
    found = json.loads(path.read_text())
    found.pop('fitted_for', None)
    for entry in found.values():
      if isinstance(entry, dict):
        entry.pop('evaluation', None)
    atomic.write_json(path, found)


OTHER_KEYS = {
  'tta': 'mirrors', 'max_error': 0.2, 'miscoverage': 0.3, 'conformal_score': 'aps', 'confidence': 0.8,
  'interval': 'percentile', 'num_resamples': 120, 'prevalence': (0.1, 0.2, 0.3, 0.4),
}  # fmt: skip


def test_every_key_of_evaluate_but_splits_and_batches_is_one_of_the_figures():
  assert {*OTHER_KEYS, 'splits', 'batch_size', 'unlike_share'} == set(config().evaluate)
  plain = experiment.resolve(config()).evaluation
  assert set(plain) == set(OTHER_KEYS)
  for key, value in OTHER_KEYS.items():
    other = experiment.resolve(config(**{f'evaluate.{key}': value})).evaluation
    assert {name for name in plain if plain[name] != other[name]} == {key}
    assert json.loads(json.dumps(other)) == other
    assert workdir.is_of_figures(f'evaluate.{key}')


@pytest.mark.parametrize('key', ['tta', 'max_error', 'prevalence'])
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


@pytest.mark.parametrize('step', ['before', 'calibration', 'scores'])
@pytest.mark.parametrize('command', ['train', 'evaluate'])
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
  assert loaded.made.experiment.tta == views
  if loaded.rule is not None:
    assert saved(folder)['fitted_for']['tta'] == views
  for entry in folder.read_metrics().values():
    assert entry['evaluation']['tta'] == views
  run(folder.path, **{'evaluate.tta': 'mirrors'})
  assert load(folder).rule is not None
  assert metrics(folder)['test']['evaluation']['tta'] == 'mirrors'


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
  assert 'no longer in the report, because evaluated differently: cells' in capsys.readouterr().out
  assert saved(folder)['fitted_for']['tta'] == 'mirrors'
  assert load(folder).rule is not None


def test_a_regression_of_before_answers_as_it_did(regression, tmp_path):
  """There calibration.json held the temperature of the outputs, and predictions were at it."""
  folder = copied(regression, tmp_path / 'run')
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


@pytest.mark.parametrize('splits', [('test',), ()])
def test_a_run_without_the_wanted_splits_is_scored_on_validation(tmp_path, capsys, splits):
  changes = {'data.embedded.num_test': 0} if splits else {}
  folder = run(tmp_path / 'run', **changes, **{'evaluate.splits': splits})
  assert set(metrics(folder)) == {'validation'}
  assert 'but this data has none of them: validation is scored' in capsys.readouterr().out
  assert 'Chosen on validation: the epoch' in folder.report.read_text()
  run(folder.path, **changes, **{'evaluate.splits': splits})
  assert 'complete' in capsys.readouterr().out


def images_by_class(folder: workdir.Workdir, to: pathlib.Path) -> pathlib.Path:
  """The test images as a folder of classes."""
  table = reading.read_table(load(folder).made.experiment.data)[0]
  names = set(predictions_csv.read(folder.predictions('test')).file_N.tolist())
  for file, label, content in zip(table.file.tolist(), table.label, table.content, strict=True):
    if file in names:
      path = to / table.class_names[label] / file.replace('/', '_')
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(content)
  return to


@pytest.mark.parametrize('name', [*scoring.RESERVED, 'calibrated_test'])
def test_a_scored_folder_takes_no_name_that_a_run_uses_itself(single, tmp_path, monkeypatch, name):
  before = single.metrics.read_text()
  with pytest.raises(types.UserError, match='named like a split of the run; rename the folder'):
    evaluating.run(monkeypatch, single.path, data_dir=str(tmp_path / name))
  assert single.metrics.read_text() == before


def test_every_split_of_every_kind_of_run_has_a_name_that_no_scored_folder_takes():
  used = {*dataset.SPLITS, folds.HELD_OUT, folds.OUT_OF_FOLD, bagging.OUT_OF_BAG, 'train', workdir.FOLDS}
  assert used == set(scoring.RESERVED)


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


def member_of(folder: workdir.Workdir, k: int) -> workdir.Workdir:
  return workdir.Workdir(ensemble_file.member(folder, k))


def test_opening_a_run_hashes_each_checkpoint_once_and_restores_one_state(single, monkeypatch):
  hashed, restored = [], []
  damage, read = checksums.damage, checkpoint.Store._read
  monkeypatch.setattr(checksums, 'damage', lambda path: (hashed.append(path), damage(path))[1])
  monkeypatch.setattr(checkpoint.Store, '_read', lambda *arguments: (restored.append(1), read(*arguments))[1])
  loaded = load(single)
  assert len(hashed) == len(set(hashed)) > 0
  assert len(restored) == 1
  assert loaded.origin == metrics(single)['test']['checkpoint']
