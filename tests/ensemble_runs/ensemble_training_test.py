"""Ensembles from their config to their report: averaged, bagged, boosted, stacked; interrupted; used like any run."""

from __future__ import annotations

import csv
import json
import pathlib
import shutil

import evaluating
import numpy as np
import pytest
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import run_format, types
from bloodcell_jax.commands import ensemble, train
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.ensembles import boosting, combination, stacking
from bloodcell_jax.export import program
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import run_data, saved_run, stage_training
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import ensemble_file, predictions_csv, workdir
from bloodcell_jax.train import signals
from configs import default

pytestmark = pytest.mark.usefixtures('blank_figures')

NUM = 3
CHANGES = {
  'data.embedded.num_train': 8, 'data.embedded.num_test': 3, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.pipeline': 'numpy',
  'data.cache': 'memory', 'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'train.batch_size': 8,
  'train.epochs': 1, 'train.steps_per_epoch': 4, 'train.num_devices': 1, 'ensemble.method': 'average',
  'ensemble.members': NUM, 'evaluate.splits': ('test',), 'evaluate.num_resamples': 100,
}  # fmt: skip


def config(**changes):
  flat = {**experiment.flat(default.get_config()), **CHANGES, **changes}
  return experiment.nest(flat)


def run(folder: pathlib.Path, **changes) -> workdir.Workdir:
  train.run(commands.Request(config(**changes), 'test', str(folder), ()), signals.Stop())
  return workdir.Workdir(folder)


def member(folder: workdir.Workdir, k: int) -> workdir.Workdir:
  return workdir.Workdir(ensemble_file.member(folder, k))


def stacked(folder: workdir.Workdir, split: str, members=range(1, NUM + 1)) -> np.ndarray:
  return np.stack([predictions_csv.read(member(folder, k).predictions(split)).probs_NK for k in members])


def probs(folder: workdir.Workdir, split: str) -> np.ndarray:
  return predictions_csv.read(folder.predictions(split)).probs_NK


def told(folder: workdir.Workdir):
  return json.loads(folder.ensemble.read_text())


@pytest.fixture(scope='module')
def averaged(tmp_path_factory) -> workdir.Workdir:
  return run(tmp_path_factory.mktemp('average'))


def copied(folder: workdir.Workdir, to: pathlib.Path) -> pathlib.Path:
  shutil.copytree(folder.path, to)
  return to


def test_the_mean_is_that_of_networks_that_differ_in_seed_alone(averaged):
  probs_MNK = stacked(averaged, 'test')
  np.testing.assert_allclose(probs(averaged, 'test'), probs_MNK.mean(0), atol=1e-12)
  assert np.abs(probs_MNK[0] - probs_MNK[1]).max() > 1e-4, 'the members differ'
  fingerprints = {member(averaged, k).read_environment()['data']['fingerprint'] for k in range(1, NUM + 1)}
  assert fingerprints == {averaged.read_environment()['data']['fingerprint']}, 'all see the same division'


def test_a_member_trained_alone_is_the_member_of_the_ensemble_bit_for_bit(averaged, tmp_path):
  alone = run(tmp_path, **{'ensemble.member': 2})
  assert (
    member(alone, 2).predictions('test').read_text() == member(averaged, 2).predictions('test').read_text()
  )
  assert not member(alone, 1).path.exists()
  assert not alone.ensemble.exists(), 'an ensemble that is not complete answers nothing'
  with pytest.raises(types.UserError, match=r'ensemble\.json is missing'):
    classifier.load(alone, signals.Stop())


@pytest.mark.slow
def test_members_trained_in_one_program_are_those_trained_alone(averaged, tmp_path):
  folder = run(tmp_path, **{'ensemble.vectorized': 2})
  for k in range(1, NUM + 1):
    assert member(folder, k).report.exists()
  np.testing.assert_allclose(stacked(folder, 'test'), stacked(averaged, 'test'), atol=1e-5)
  with pytest.raises(types.UserError, match='differ in model'):
    run(
      tmp_path / 'two',
      **{'ensemble.vectorized': 2, 'ensemble.architectures': ('cnn_svr', 'cnn_a'), 'data.image_size': 46},
    )


def test_interrupted_at_a_member_it_goes_on_there_and_ends_with_the_same_bits(
  averaged, tmp_path, monkeypatch
):
  calls = []

  def second_stops(made, *rest):
    calls.append(made.experiment.ensemble.member)
    if len(calls) == 2:
      raise signals.Stopped
    return staging_run(made, *rest)

  staging_run = stage_training.run
  monkeypatch.setattr(stage_training, 'run', second_stops)
  with pytest.raises(signals.Stopped):
    run(tmp_path)
  written = member(workdir.Workdir(tmp_path), 1).report.stat().st_mtime_ns
  folder = run(tmp_path)
  assert calls == [1, 2, 1, 2, 3]
  assert member(folder, 1).report.stat().st_mtime_ns == written, 'what is done is not done again'
  for path in ('predictions/test.csv', 'predictions/validation.csv', 'metrics.json', 'ensemble.json'):
    assert (folder.path / path).read_text() == (averaged.path / path).read_text()


def test_a_folder_of_a_member_or_of_another_ensemble_is_refused(averaged):
  with pytest.raises(types.UserError, match='is a member of an ensemble'):
    run(member(averaged, 1).path)
  with pytest.raises(types.UserError, match=r'optimizer\.learning_rate was'):
    run(averaged.path, **{'optimizer.learning_rate': 0.5})


@pytest.mark.parametrize('combine', ['geometric', 'logits', 'vote', 'weighted'])
def test_another_way_of_combining_needs_no_training(averaged, tmp_path, monkeypatch, combine):
  folder = workdir.Workdir(copied(averaged, tmp_path / 'copy'))
  probs_MNK = stacked(folder, 'test')
  run(folder.path, **{'ensemble.combine': combine})
  found = told(folder)
  assert found['combine'] == combine
  expected = {
    'vote': combination.vote(np.ones(NUM)),
    'weighted': combination.weighted(np.array(found['weights'] or [1])),
  }.get(combine, combination.geometric(NUM, 4))
  np.testing.assert_allclose(probs(folder, 'test'), combination.apply(expected, probs_MNK, np), atol=1e-12)
  if combine == 'weighted':
    assert sum(found['weights']) == pytest.approx(1)


@pytest.mark.parametrize('combine', ['swa', 'soup'])
def test_an_average_of_weights_is_one_network(averaged, tmp_path, combine):
  folder = run(copied(averaged, tmp_path / 'copy'), **{'ensemble.combine': combine})
  loaded = classifier.load(folder, signals.Stop())
  assert len(loaded.models.networks) == 1
  chosen = told(folder)['members']
  kernels = [
    classifier.load(member(folder, int(k)), signals.Stop()).params['dense_2']['kernel'] for k in chosen
  ]
  np.testing.assert_allclose(loaded.params['dense_2']['kernel'], np.mean(kernels, axis=0), atol=1e-6)
  if combine == 'swa':
    assert np.abs(probs(folder, 'test') - probs(averaged, 'test')).max() > 1e-6, 'it is no mean of answers'


@pytest.mark.slow
def test_a_snapshot_begins_where_the_one_before_it_ended(tmp_path):
  folder = run(tmp_path, **{'ensemble.method': 'snapshot', 'train.epochs': 1})
  exp = saved_run.read_experiment(member(folder, 2), None)
  begun = {}
  for k in (1, 2):
    loaded = classifier.load(member(folder, k), signals.Stop())
    begun[k] = loaded.params['conv2d_1']['kernel']
  fresh = run(tmp_path / 'fresh', **{'ensemble.member': 2, 'seed': 0})
  alone = classifier.load(member(fresh, 2), signals.Stop()).params['conv2d_1']['kernel']
  near, far = (np.abs(begun[2] - other).mean() for other in (begun[1], alone))
  assert near < far / 2, 'three small steps away from the first, far from one begun anew'
  assert exp.seed == run_format.member_seed(run_format.CURRENT, 0, 2)


def test_a_bag_has_whole_groups_and_out_of_bag_is_answered_by_those_who_never_saw_it(tmp_path):
  folder = run(tmp_path, **{'ensemble.method': 'bagging', 'ensemble.members': 2})
  left = [predictions_csv.read(member(folder, k).predictions('out_of_bag')) for k in (1, 2)]
  found = predictions_csv.read(folder.predictions('out_of_bag'))
  by_file = [dict(zip(one.file_N.tolist(), one.probs_NK, strict=True)) for one in left]
  assert set(found.file_N) == set(by_file[0]) | set(by_file[1])
  for name, probs_K in zip(found.file_N.tolist(), found.probs_NK, strict=True):
    np.testing.assert_allclose(probs_K, np.mean([b[name] for b in by_file if name in b], axis=0), atol=1e-12)
  for k in (1, 2):
    exp = saved_run.read_experiment(member(folder, k), None)
    data = run_data.reader(exp, tmp_path)(lambda done, total: None)
    groups = {
      split: set(data.table.group[data.rows[split]]) for split in ('train', 'out_of_bag', 'validation')
    }
    assert not groups['train'] & groups['out_of_bag']
    assert not groups['validation'] & (groups['train'] | groups['out_of_bag'])
    _, times = np.unique(data.table.group[data.rows['train']], return_counts=True)
    assert times.max() > 2, 'a group is drawn twice, with both of its images'
    assert all(count % 2 == 0 for count in times)
  assert 0 < told(folder)['out_of_bag_share'] < 1
  assert 'out_of_bag' in folder.report.read_text()


@pytest.mark.parametrize('kind', ['samme', pytest.param('samme_r', marks=pytest.mark.slow), 'gradient'])
def test_a_boosted_member_is_taught_what_those_before_it_left(tmp_path, kind):
  changes = {'ensemble.method': kind, 'ensemble.members': 2, 'train.steps_per_epoch': 40}
  folder = run(tmp_path, **changes)
  exp = saved_run.read_experiment(folder, None)
  train_1 = predictions_csv.read(member(folder, 1).predictions('train'))
  state = boosting.init(
    boosting.Spec(kind, exp.ensemble.shrinkage), train_1.label_N, train_1.group_N, len(train_1.class_names)
  )
  state = boosting.observe(state, train_1.probs_NK)
  found = told(folder)
  assert found['boosting']['shares'][: state.num_members] == pytest.approx(list(state.alpha_M))
  if not state.ended:
    state = boosting.observe(state, predictions_csv.read(member(folder, 2).predictions('train')).probs_NK)
  used = range(1, len(found['members']) + 1)
  rule = boosting.combine(state, len(used))
  expected = combination.apply(rule, stacked(folder, 'test', used), np)
  np.testing.assert_allclose(probs(folder, 'test'), expected, atol=1e-12)
  if kind == 'gradient':
    assert abs(stacked(folder, 'test', [1]) - 0.25).max() < 0.25, 'residuals are less than probabilities'


@pytest.mark.slow
def test_boosting_interrupted_between_members_gives_the_same_bits(tmp_path, monkeypatch):
  changes = {'ensemble.method': 'samme_r', 'ensemble.members': 2}
  whole = run(tmp_path / 'whole', **changes)
  staging_run, calls = stage_training.run, []

  def stops(made, *rest):
    calls.append(1)
    if len(calls) == 2:
      raise signals.Stopped
    return staging_run(made, *rest)

  monkeypatch.setattr(stage_training, 'run', stops)
  with pytest.raises(signals.Stopped):
    run(tmp_path / 'cut', **changes)
  cut = run(tmp_path / 'cut', **changes)
  assert cut.predictions('test').read_text() == whole.predictions('test').read_text()
  assert told(cut)['boosting'] == told(whole)['boosting']


def test_stacking_learns_from_answers_to_rows_that_no_member_s_twin_had_seen(averaged, tmp_path):
  folder = run(copied(averaged, tmp_path / 'copy'), **{'ensemble.combine': 'logistic', 'ensemble.folds': 2})
  answers = []
  for k in range(1, NUM + 1):
    own = workdir.Workdir(member(folder, k).path / 'out_of_fold')
    answers.append(predictions_csv.read(own.predictions('out_of_fold')))
    for fold in (1, 2):
      part = workdir.Workdir(own.path / 'folds' / str(fold))
      exp = saved_run.read_experiment(part, None)
      assert exp.seed == saved_run.read_experiment(member(folder, k), None).seed, (
        'the twin has the seed of its member'
      )
      data = run_data.reader(exp, tmp_path)(lambda done, total: None)
      held, seen = (set(data.table.group[data.rows[name]]) for name in ('fold', 'train'))
      assert not held & seen
      assert set(predictions_csv.read(part.predictions('fold')).group_N) == held
  assert {tuple(one.file_N) for one in answers} == {tuple(answers[0].file_N)}
  rule = stacking.fit(
    'logistic', np.stack([one.probs_NK for one in answers]), answers[0].label_N, answers[0].group_N, 0
  )
  expected = combination.apply(rule, stacked(folder, 'test'), np)
  np.testing.assert_allclose(probs(folder, 'test'), expected, atol=1e-12)
  found = classifier.load(folder, signals.Stop())
  assert found.models.combination.kind == 'logistic', 'stored and applied as one model'


@pytest.mark.slow
def test_members_of_different_architecture_stand_side_by_side(tmp_path):
  changes = {'ensemble.architectures': ('cnn_a', 'cnn_svr'), 'ensemble.members': 2, 'data.image_size': 46}
  folder = run(tmp_path, **changes)
  names = [member(folder, k).read_environment()['network']['name'] for k in (1, 2)]
  assert names == ['cnn_a', 'cnn_svr']
  np.testing.assert_allclose(probs(folder, 'test'), stacked(folder, 'test', (1, 2)).mean(0), atol=1e-12)
  with pytest.raises(types.UserError, match=r'has .cnn_z.'):
    experiment.resolve(config(**{'ensemble.architectures': ('cnn_z',)}))


def test_the_ensemble_classifies_and_is_evaluated_like_any_run(averaged, tmp_path, monkeypatch):
  folder = workdir.Workdir(copied(averaged, tmp_path / 'copy'))
  loaded = classifier.load(folder, signals.Stop())
  exp = loaded.made.experiment
  data = run_data.reader(saved_run.read_experiment(folder, None), tmp_path)(lambda done, total: None)
  rows = data.rows['test']
  images = data.image_NHWC[rows][: exp.evaluate_batch_size]
  np.testing.assert_allclose(loaded.probabilities(images), probs(folder, 'test')[: len(images)], atol=1e-6)
  before = json.loads(folder.metrics.read_text())
  evaluating.run(monkeypatch, folder.path)
  after = json.loads(folder.metrics.read_text())
  assert after['test']['accuracy'] == before['test']['accuracy']
  assert after['test']['log_loss']['value'] == pytest.approx(before['test']['log_loss']['value'], abs=1e-6)


@pytest.mark.parametrize('combine', ['auto', 'geometric', 'vote'])
def test_the_exported_program_answers_as_the_ensemble_does(averaged, tmp_path, combine):
  folder = run(copied(averaged, tmp_path / 'copy'), **{'ensemble.combine': combine})
  loaded = classifier.load(folder, signals.Stop())
  exported = program.build(loaded)
  assert {name.split('/')[0] for name in exported.weights} == {'member_1', 'member_2', 'member_3'}
  images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
  found = exported.probabilities(exported.weights, images)
  none = np.zeros(4, np.int32)
  plain = types.Predictions(
    loaded.probabilities(images), none, none.astype(str), none.astype(str), loaded.class_names
  )
  expected = calibration.scaled(plain, loaded.rule.temperature).probs_NK
  np.testing.assert_allclose(found, expected, atol=1e-5)
  # A vote that all members win has probabilities 0 and 1, which no temperature changes: control with other weights.
  other = {name: weight * 0 for name, weight in exported.weights.items()}
  assert np.abs(exported.probabilities(other, images) - expected).max() > 1e-4


def test_views_are_averaged_in_evaluation_prediction_and_export(averaged, tmp_path, monkeypatch):
  folder = workdir.Workdir(copied(averaged, tmp_path / 'copy'))
  before = probs(folder, 'test')
  evaluating.run(monkeypatch, folder.path, config=config(**{'evaluate.tta': 'symmetries'}))
  assert np.abs(probs(folder, 'test') - before).max() > 1e-5
  loaded = classifier.load(folder, signals.Stop())
  images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
  turned = np.ascontiguousarray(np.rot90(images, axes=(1, 2)))
  np.testing.assert_allclose(loaded.probabilities(images), loaded.probabilities(turned), atol=1e-6)
  exported = program.build(loaded)
  np.testing.assert_allclose(
    exported.probabilities(exported.weights, images),
    exported.probabilities(exported.weights, turned),
    atol=1e-5,
  )
  plain = classifier.load(averaged, signals.Stop())
  assert np.abs(plain.probabilities(images) - plain.probabilities(turned)).max() > 1e-5


def test_the_report_shows_members_gain_and_diversity(averaged):
  page = averaged.report.read_text()
  for text in (
    'Members',
    '<th scope="row">ensemble</th>',
    'Compared with member',
    'disagreement',
    'Synthetic',
    'members on test',
  ):
    assert text in page
  found = told(averaged)
  assert (averaged.figures / 'members.png').exists()
  assert len(found['figures']['test']) == NUM
  assert 'Synthetic' in found['note']


def combine(monkeypatch, to: pathlib.Path, *paths: pathlib.Path, rule: str = 'mean') -> workdir.Workdir:
  values = flags.FlagValues()
  flags.DEFINE_bool('combine', True, '', flag_values=values)
  flags.DEFINE_string('rule', rule, '', flag_values=values)
  flags.DEFINE_bool('trees', False, '', flag_values=values)
  values(['main.py'])
  monkeypatch.setattr(flags, 'FLAGS', values)
  ensemble.run(commands.Request(None, '', str(to), tuple(map(str, paths))), signals.Stop())
  return workdir.Workdir(to)


def test_runs_are_combined_from_what_they_predicted(averaged, tmp_path, monkeypatch):
  paths = [member(averaged, k).path for k in (1, 3)]
  folder = combine(monkeypatch, tmp_path / 'both', *paths)
  np.testing.assert_allclose(probs(folder, 'test'), stacked(averaged, 'test', (1, 3)).mean(0), atol=1e-12)
  assert set(json.loads(folder.metrics.read_text())) == {'test', 'validation'}
  assert 'Synthetic' in folder.report.read_text()
  combine(monkeypatch, tmp_path / 'both', *paths)
  with pytest.raises(types.UserError, match='another config'):
    combine(monkeypatch, tmp_path / 'both', *reversed(paths))
  with pytest.raises(types.UserError, match='has no network of its own'):
    classifier.load(folder, signals.Stop())


def edited(folder: workdir.Workdir, to: pathlib.Path, split: str, change) -> pathlib.Path:
  path = copied(folder, to)
  file = workdir.Workdir(path).predictions(split)
  rows = list(csv.reader(file.read_text().splitlines()))
  file.unlink()
  file.write_text(''.join(','.join(row) + '\n' for row in change(rows)))
  return path


@pytest.mark.parametrize(
  ('split', 'change', 'said'),
  [
    ('test', lambda rows: rows[:-1], 'predicted by one model and not by the other'),
    (
      'test',
      lambda rows: [[cell.replace('LYMPHOCYTE', 'LYMPHO') for cell in row] for row in rows],
      'the classes differ',
    ),
    ('test', lambda rows: [rows[0], *([r[0], r[1], 'x', *r[3:]] for r in rows[1:])], 'group differs'),
  ],
)
def test_runs_of_other_rows_classes_or_groups_are_refused(
  averaged, tmp_path, monkeypatch, split, change, said
):
  other = edited(member(averaged, 2), tmp_path / 'other', split, change)
  with pytest.raises(types.UserError, match=said):
    combine(monkeypatch, tmp_path / 'both', member(averaged, 1).path, other)
  assert not (tmp_path / 'both' / 'metrics.json').exists()


def test_another_division_of_validation_is_no_hindrance_where_nothing_is_fitted(
  averaged, tmp_path, monkeypatch
):
  other = edited(member(averaged, 2), tmp_path / 'other', 'validation', lambda rows: rows[:-1])
  paths = (member(averaged, 1).path, other)
  folder = combine(monkeypatch, tmp_path / 'both', *paths)
  assert set(json.loads(folder.metrics.read_text())) == {'test'}
  assert not folder.calibration.exists()
  with pytest.raises(types.UserError, match='validation of'):
    combine(monkeypatch, tmp_path / 'fitted', *paths, rule='weighted')


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'ensemble.method': 'mixture'}, 'ensemble.method'),
    ({'ensemble.members': 0}, 'ensemble.members'),
    ({'ensemble.member': 4}, 'ensemble.member'),
    ({'ensemble.method': '', 'ensemble.member': 1}, 'ensemble.member'),
    ({'ensemble.combine': 'median'}, 'ensemble.combine'),
    ({'ensemble.method': 'samme', 'ensemble.combine': 'mean'}, 'has its own rule'),
    ({'ensemble.method': 'bagging', 'ensemble.combine': 'mlp'}, 'needs ensemble.method=average'),
    ({'ensemble.method': 'gradient', 'train.monitor': 'val_accuracy'}, 'train.monitor'),
    ({'ensemble.combine': 'soup', 'ensemble.architectures': ('cnn_a', 'cnn_b')}, 'cannot be averaged'),
    ({'ensemble.shrinkage': 0.0}, 'ensemble.shrinkage'),
    ({'ensemble.folds': 1}, 'ensemble.folds'),
    ({'ensemble.patience': -1}, 'ensemble.patience'),
    ({'ensemble.vectorized': -1}, 'ensemble.vectorized'),
    ({'ensemble.method': 'samme', 'ensemble.vectorized': 2}, 'one after another'),
    ({'train.folds': 2}, 'is not cross-validated'),
  ],
)
def test_what_does_not_go_together_is_told(changes, said):
  with pytest.raises(types.UserError, match=said):
    experiment.resolve(config(**changes))


def test_members_differ_in_seed_and_share_the_division_of_the_config():
  exps = [experiment.resolve(config(**{'ensemble.member': k})) for k in (0, 1, 2)]
  assert len({one.seed for one in exps}) == 3
  assert {one.division_seed for one in exps} == {0}
  assert exps[1].evaluate_splits == ('validation', 'test')
  # Negative control: another seed of the config divides otherwise.
  assert experiment.resolve(config(seed=1, **{'ensemble.member': 1})).division_seed == 1


def test_the_images_of_an_ensemble_are_read_once_whatever_the_number_of_members(tmp_path, monkeypatch):
  reads, build = [], reading.build
  monkeypatch.setattr(reading, 'build', lambda *args: reads.append(1) or build(*args))
  run(tmp_path / 'all')
  assert len(reads) == 1
  # Negative control: the counter sees members that are trained in runs of their own.
  for k in (1, 2):
    run(tmp_path / 'apart', **{'ensemble.member': k})
  assert len(reads) == 3
