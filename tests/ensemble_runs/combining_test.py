"""Members combined in other ways, exported, and from what finished runs predicted."""

from __future__ import annotations

import csv
import functools
import json
import pathlib

import evaluating
import numpy as np
import pytest
from absl import flags
from small_ensemble import NUM, config, copied, member, probs, run, stacked, told

from bloodcell_jax import commands
from bloodcell_jax.base import groups, types
from bloodcell_jax.commands import ensemble
from bloodcell_jax.ensemble_runs import combined_run
from bloodcell_jax.ensembles import combination, stacking
from bloodcell_jax.export import program
from bloodcell_jax.inference import classifier
from bloodcell_jax.plots import members_curve
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.train import signals

pytestmark = pytest.mark.usefixtures('blank_figures')


@pytest.fixture(scope='module')
def combined(averaged, tmp_path_factory):
  """The folder of the same members under another `ensemble.combine`, made once for each."""

  @functools.cache
  def make(combine: str) -> workdir.Workdir:
    return run(copied(averaged, tmp_path_factory.mktemp(combine) / 'run'), **{'ensemble.combine': combine})

  return make


@pytest.mark.parametrize(
  'combine',
  ['geometric', 'vote', *(pytest.param(name, marks=pytest.mark.long) for name in ('logits', 'weighted'))],
)
def test_another_way_of_combining_needs_no_training(combined, combine):
  folder = combined(combine)
  probs_MNK = stacked(folder, 'test')
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
def test_an_average_of_weights_is_one_network(averaged, combined, combine):
  folder = combined(combine)
  loaded = classifier.load(folder, signals.Stop())
  assert len(loaded.models.networks) == 1
  chosen = told(folder)['members']
  kernels = [
    classifier.load(member(folder, int(k)), signals.Stop()).params['dense_2']['kernel'] for k in chosen
  ]
  np.testing.assert_allclose(loaded.params['dense_2']['kernel'], np.mean(kernels, axis=0), atol=1e-6)
  if combine == 'swa':
    assert np.abs(probs(folder, 'test') - probs(averaged, 'test')).max() > 1e-6, 'it is no mean of answers'


@pytest.mark.parametrize('combine', ['auto', 'geometric', 'vote'])
def test_the_exported_program_answers_as_the_ensemble_does(combined, combine):
  loaded = classifier.load(combined(combine), signals.Stop())
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
  labels = []
  monkeypatch.setattr(members_curve, 'plot', lambda *drawn: labels.append(drawn[4]))
  folder = combine(monkeypatch, tmp_path / 'both', *paths)
  np.testing.assert_allclose(probs(folder, 'test'), stacked(averaged, 'test', (1, 3)).mean(0), atol=1e-12)
  assert set(json.loads(folder.metrics.read_text())) == {'test', 'validation'}
  assert labels == ['mean of probabilities']
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


@pytest.fixture(scope='module')
def crossed(blank_figures, tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path]:
  """The folders of two cross-validations of the same images, divided in different ways."""
  top = tmp_path_factory.mktemp('crossed')
  changes = {'ensemble.method': '', 'train.folds': 2, 'evaluate.splits': (), 'train.steps_per_epoch': 12}
  return run(top / 'a', **changes).path, run(top / 'b', seed=1, **changes).path


def out_of_fold(paths) -> list[types.Predictions]:
  """Those of each folder, in the order of the first."""
  each = [predictions_csv.read(workdir.Workdir(path).predictions('out_of_fold')) for path in paths]
  place = {name: i for i, name in enumerate(each[1].file_N.tolist())}
  return [each[0], each[1].take(np.array([place[name] for name in each[0].file_N.tolist()]))]


def test_cross_validations_are_combined_and_scored_out_of_fold_by_groups(crossed, tmp_path, monkeypatch):
  folder = combine(monkeypatch, tmp_path / 'both', *crossed)
  first, second = out_of_fold(crossed)
  np.testing.assert_allclose(probs(folder, 'out_of_fold'), (first.probs_NK + second.probs_NK) / 2, atol=1e-12)
  assert np.abs(first.probs_NK - second.probs_NK).max() > 1e-4, 'the networks differ'
  entry = json.loads(folder.metrics.read_text())['out_of_fold']
  assert entry['num_groups'] == 32
  assert entry['accuracy']['low'] < entry['accuracy']['value'] < entry['accuracy']['high']
  assert not folder.calibration.exists()
  page = folder.report.read_text()
  assert 'Each image of out_of_fold is answered by what was trained and fitted without its group' in page
  assert '2 runs (combined)' in page
  # What a fixed rule answers does not depend on what it is fitted on.
  assert 'of rules of its kind' not in page


@pytest.mark.parametrize('rule', ['weighted', 'logistic'])
def test_a_rule_fitted_on_cross_validations_is_scored_on_groups_that_it_was_not_fitted_on(
  crossed, tmp_path, monkeypatch, capsys, rule
):
  folder = combine(monkeypatch, tmp_path / 'both', *crossed, rule=rule)
  assert f'each image is answered by {rule} fitted without its group' in capsys.readouterr().out
  each = out_of_fold(crossed)
  found, (label_N, group_N) = probs(folder, 'out_of_fold'), (each[0].label_N, each[0].group_N)
  saved = combined_run.rule(rule, {'out_of_fold': each}, 'out_of_fold', 0)
  on_all = combination.apply(saved, combined_run.stack(each), np)
  assert np.abs(found - on_all).max() > 1e-6, 'that rule was fitted on these rows'
  assert told(folder)['learned_on'] == 'out_of_fold'
  assert 'of rules of its kind, each fitted without the groups' in folder.report.read_text()
  # The first fold, answered by the rule that the others give.
  fold_N = groups.folds(label_N, group_N, stacking.MOST_FOLDS, 0)
  held = np.flatnonzero(fold_N == 0)
  parts = [one.take(np.flatnonzero(fold_N != 0)) for one in each]
  own = combined_run.rule(rule, {'out_of_fold': parts}, 'out_of_fold', 0)
  expected = combination.apply(own, combined_run.stack([one.take(held) for one in each]), np)
  np.testing.assert_allclose(found[held], expected, atol=1e-12)


def test_a_rule_that_too_few_groups_could_test_is_refused_and_one_that_is_not_fitted_is_not(
  crossed, tmp_path, monkeypatch
):
  def of_two_groups(rows):
    named = [row for row in rows[1:] if row[1] == 'EOSINOPHIL']
    kept = set(sorted({row[2] for row in named})[:2])
    return [rows[0], *(row for row in rows[1:] if row[1] != 'EOSINOPHIL' or row[2] in kept)]

  paths = [
    edited(workdir.Workdir(path), tmp_path / path.name, 'out_of_fold', of_two_groups) for path in crossed
  ]
  with pytest.raises(
    types.UserError, match=r'EOSINOPHIL: .* 2 groups.* needs 3 or more.*; choose --rule=mean'
  ):
    combine(monkeypatch, tmp_path / 'refused', *paths, rule='logistic')
  assert not (tmp_path / 'refused' / 'metrics.json').exists()
  assert combine(monkeypatch, tmp_path / 'weighted', *paths, rule='weighted').report.exists()
  assert combine(monkeypatch, tmp_path / 'mean', *paths).report.exists()


def test_runs_without_common_validation_are_refused_by_rules_that_are_fitted_on_it(
  averaged, tmp_path, monkeypatch
):
  paths = [copied(member(averaged, k), tmp_path / str(k)) for k in (1, 2)]
  workdir.Workdir(paths[1]).predictions('validation').unlink()
  with pytest.raises(
    types.UserError, match='no validation in common, on which logistic is fitted; choose --rule=mean'
  ):
    combine(monkeypatch, tmp_path / 'refused', *paths, rule='logistic')
  assert combine(monkeypatch, tmp_path / 'mean', *paths).report.exists()
