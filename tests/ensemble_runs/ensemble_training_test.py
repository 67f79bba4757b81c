"""Ensembles from their config to their report: averaged, bagged, boosted, stacked; interrupted; used like any run."""

from __future__ import annotations

import json

import evaluating
import numpy as np
import pytest
from small_ensemble import NUM, config, copied, member, probs, run, stacked, told

from bloodcell_jax.base import run_format, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.ensembles import boosting, combination, stacking
from bloodcell_jax.inference import classifier
from bloodcell_jax.plots import members_curve
from bloodcell_jax.runs import run_data, saved_run, stage_training
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.train import signals

pytestmark = pytest.mark.usefixtures('blank_figures')


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


def test_interrupted_at_a_member_it_goes_on_there_to_the_same_bits_and_each_command_reads_the_images_once(
  averaged, tmp_path, monkeypatch
):
  reads, build = [], reading.build
  monkeypatch.setattr(reading, 'build', lambda *args: reads.append(1) or build(*args))
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
  assert len(reads) == 1, 'once for two members'
  written = member(workdir.Workdir(tmp_path), 1).report.stat().st_mtime_ns
  folder = run(tmp_path)
  assert calls == [1, 2, 1, 2, 3]
  assert len(reads) == 2, 'another command reads them anew, and the counter sees it'
  assert member(folder, 1).report.stat().st_mtime_ns == written, 'what is done is not done again'
  for path in ('predictions/test.csv', 'predictions/validation.csv', 'metrics.json', 'ensemble.json'):
    assert (folder.path / path).read_text() == (averaged.path / path).read_text()


def test_a_folder_of_a_member_or_of_another_ensemble_is_refused(averaged):
  with pytest.raises(types.UserError, match='is a member of an ensemble'):
    run(member(averaged, 1).path)
  with pytest.raises(types.UserError, match=r'optimizer\.learning_rate was'):
    run(averaged.path, **{'optimizer.learning_rate': 0.5})


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
  with pytest.raises(types.UserError, match='with snapshot each depends on those before it'):
    run(folder.path, **{'ensemble.method': 'snapshot', 'train.epochs': 2})
  assert member(folder, 1).read_config()['train.epochs'] == folder.read_config()['train.epochs'] == 1


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
def test_a_boosted_member_is_taught_what_those_before_it_left(tmp_path, kind, monkeypatch):
  labels = []
  monkeypatch.setattr(members_curve, 'plot', lambda *drawn: labels.append(drawn[4]))
  changes = {'ensemble.method': kind, 'ensemble.members': 2, 'train.steps_per_epoch': 40}
  folder = run(tmp_path, **changes)
  assert labels == [f'{kind}, in the order of training'], 'the curve is of that rule, not of a mean'
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


@pytest.mark.long
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
  before = folder.config.read_bytes()
  with pytest.raises(types.UserError, match=r'ensemble\.folds was 2 and is 3'):
    run(folder.path, **{'ensemble.combine': 'logistic', 'ensemble.folds': 3})
  assert folder.config.read_bytes() == before
  assert member(folder, 1).read_config()['ensemble.folds'] == 2
  # A rule that needs no folds takes the place of stacking, whatever its config says of them.
  run(folder.path, **{'ensemble.folds': 3})
  assert (told(folder)['combine'], folder.read_config()['ensemble.folds']) == ('auto', 2)


@pytest.mark.slow
def test_members_of_different_architecture_stand_side_by_side(tmp_path):
  changes = {'ensemble.architectures': ('cnn_a', 'cnn_svr'), 'ensemble.members': 2, 'data.image_size': 46}
  folder = run(tmp_path, **changes)
  names = [member(folder, k).read_environment()['network']['name'] for k in (1, 2)]
  assert names == ['cnn_a', 'cnn_svr']
  page = folder.report.read_text()
  assert '<p>cnn_a: ' in page
  assert '<p>cnn_svr: ' in page
  np.testing.assert_allclose(probs(folder, 'test'), stacked(folder, 'test', (1, 2)).mean(0), atol=1e-12)
  with pytest.raises(types.UserError, match=r'has .cnn_z.'):
    experiment.resolve(config(**{'ensemble.architectures': ('cnn_z',)}))


def test_the_ensemble_classifies_and_is_evaluated_like_any_run(averaged, tmp_path, monkeypatch):
  folder = workdir.Workdir(copied(averaged, tmp_path / 'copy'))
  loaded = classifier.load(folder, signals.Stop())
  exp = loaded.job.experiment
  data = run_data.reader(saved_run.read_experiment(folder, None), tmp_path)(lambda done, total: None)
  rows = data.rows['test']
  images = data.image_NHWC[rows][: exp.evaluate_batch_size]
  np.testing.assert_allclose(loaded.probabilities(images), probs(folder, 'test')[: len(images)], atol=1e-6)
  before = json.loads(folder.metrics.read_text())
  evaluating.run(monkeypatch, folder.path)
  after = json.loads(folder.metrics.read_text())
  assert after['test']['accuracy'] == before['test']['accuracy']
  assert after['test']['log_loss']['value'] == pytest.approx(before['test']['log_loss']['value'], abs=1e-6)


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
