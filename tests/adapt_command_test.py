"""A run is adapted to recoloured cells, killed and continued, grown by a class, and used like any run."""

from __future__ import annotations

import json
import pathlib
import shutil

import adaptable
import html_checker
import numpy as np
import pytest
import recoloured
from adaptable import NEW_CLASS, flags, params
from starting import read_rows, run

from bloodcell_jax.adaptation import features, laboratory
from bloodcell_jax.inference import classifier
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress, signals


@pytest.fixture(scope='module')
def places(tmp_path_factory) -> dict[str, pathlib.Path]:
  return adaptable.write(tmp_path_factory.mktemp('adapt'))


@pytest.fixture(scope='module')
def adapted(places) -> tuple[pathlib.Path, str]:
  return adaptable.adapt(places, 'adapted', loads=())


def test_an_adapted_run_is_better_there_keeps_the_old_classes_and_is_an_ordinary_run(places, adapted):
  to, out = adapted
  result = json.loads((to / 'adaptation.json').read_text())['result']
  gain = result['new']['after']['accuracy']['value'] - result['new']['before']['accuracy']['value']
  assert gain > 0.05
  # The figure that its line leads with has its change too, with an interval.
  balanced = [result['new'][key]['balanced_accuracy'] for key in ('before', 'after', 'change')]
  assert balanced[2]['difference'] == pytest.approx(balanced[1]['value'] - balanced[0]['value'])
  assert balanced[2]['low'] < balanced[2]['difference'] < balanced[2]['high']
  home = result['home']['test']
  assert home['after']['accuracy']['value'] > home['before']['accuracy']['value'] - 0.1
  assert 'balanced accuracy' in out
  assert 'Synthetic data' in out
  page = (to / 'report.html').read_text()
  assert 'id="adaptation"' in page
  assert html_checker.check(page) == []
  assert 'on cross_fitted: 24 groups, 24 images' in page
  # Only the output layer has changed.
  before, after = params(places['run']), params(to)
  assert {name for name in after if after[name] != before[name]} == {'dense_2/kernel', 'dense_2/bias'}
  # The threshold is that of images left out, also after the run is evaluated again.
  kept = {name: (to / name).read_bytes() for name in ('calibration.json', 'unlike.npz')}
  calibration = json.loads(kept['calibration.json'])
  assert (calibration['num_images'], calibration['num_groups']) == (24, 24)
  code, _, err = run('evaluate', f'--workdir={to}')
  assert code == 0, err
  assert json.loads((to / 'calibration.json').read_text()) == calibration
  metrics = json.loads((to / 'metrics.json').read_text())
  assert set(metrics) == {'cross_fitted', 'test', 'validation'}
  assert metrics['cross_fitted']['doubt']['threshold'] == calibration['threshold']
  # Its laboratory is its own now: nothing of the folder is foreign to it, though it is to the run before.
  code, out, err = run('predict', str(places['other']), f'--workdir={to}', '--heat_maps=false')
  assert code == 0, err
  rows = read_rows(to / 'predict/other/predictions.csv')
  assert np.mean([row['predicted'] == 'unclassified (unlike)' for row in rows]) < 0.2
  proposed = read_rows(to / 'label_next.csv')
  labelled = {row['file'] for row in read_rows(places['labels.csv'])}
  assert proposed
  assert not labelled & {row['file'] for row in proposed}
  review = (to / 'predict/other/review.html').read_text()
  assert f'The first {len(proposed)} images are those whose labels would teach' in review
  assert (
    f'"file": "{proposed[0]["file"]}"'
    in review.split('"file"', 2)[0] + '"file"' + review.split('"file"', 2)[1]
  )
  # Again: it is complete.
  code, out, err = run(*flags(places, 'labels.csv', to))
  assert (code, 'complete' in out) == (0, True), err


def test_the_layer_that_was_fitted_on_mean_embeddings_answers_by_them(places, adapted, tmp_path):
  assert json.loads((adapted[0] / 'config.json').read_text())['evaluate.tta'] == 'mirrors_logits'
  loaded = classifier.load(workdir.Workdir(adapted[0]), signals.Stop())
  network, told = loaded.models.networks[0], progress.Progress()
  spec = network.job.experiment.data.decode
  found = laboratory.read(str(places['other']), (), loaded.class_names, spec, tmp_path, told)
  answers_NK, layer = loaded.probabilities(found.image_NHWC), network.output_layer
  by_kind = {
    kind: layer.probabilities(
      features.embed(network, found.table, found.image_NHWC, kind, tmp_path / kind, told)
    )
    for kind in ('mirrors_logits', 'none')
  }
  np.testing.assert_allclose(answers_NK, by_kind['mirrors_logits'], atol=1e-4)
  assert abs(answers_NK - by_kind['none']).max() > 1e-3


@pytest.mark.slow
def test_features_of_a_foreign_folder_are_aligned_where_the_run_asks_for_it(places, tmp_path):
  asking = tmp_path / 'asking'
  shutil.copytree(places['run'], asking)
  config = json.loads((asking / 'config.json').read_text())
  atomic.write_json(asking / 'config.json', {**config, 'evaluate.align_features': True})
  code, _, err = run('evaluate', f'--workdir={asking}')
  assert code == 0, err
  probs, said = {}, {}
  for folder in (places['run'], asking):
    code, out, err = run('predict', str(places['other']), f'--workdir={folder}', '--heat_maps=false')
    assert code == 0, err
    rows = read_rows(folder / 'predict/other/predictions.csv')
    assert {row['predicted'] for row in rows} == {'unclassified (unlike)'}, 'it is no less foreign'
    probs[folder] = np.array(
      [[float(x) for key, x in row.items() if key.startswith('prob_')] for row in rows]
    )
    said[folder] = 'features aligned' in out
  assert said == {places['run']: False, asking: True}
  before, after = probs[places['run']], probs[asking]
  assert np.abs(after - before).max() > 0.05
  np.testing.assert_allclose(after.sum(1), 1, atol=1e-3)
  slides = tmp_path / 'slides'
  recoloured.labels(slides / 'all.csv', recoloured.write(slides, 12), 12)
  for folder in (places['run'], asking):
    code, out, err = run('evaluate', f'--workdir={folder}', f'--data_dir={slides / "all.csv"}')
    assert code == 0, err
    said[folder] = 'features are aligned' in out
  assert said == {places['run']: False, asking: True}


def test_killed_and_typed_again_it_comes_to_the_same_bits(places, adapted, tmp_path):
  to = tmp_path / 'killed'
  # Some of the features are kept by then.
  plan = {
    'at': 'feature cache', 'after': 0.0, 'nth': 2, 'delay': 0.0, 'note': str(tmp_path / 'note.json'),
    'is_at_once': True,
  }  # fmt: skip
  code, _, err = run(*flags(places, 'labels.csv', to), plan=plan)
  assert code == -9, err
  assert list((to / 'cache').iterdir())
  assert not (to / 'report.html').exists(), 'the kill came too late to show anything'
  code, _, err = run(*flags(places, 'labels.csv', to))
  assert code == 0, err
  assert params(to) == params(adapted[0])
  for name in ('predictions/cross_fitted.csv', 'label_next.csv'):
    assert (to / name).read_bytes() == (adapted[0] / name).read_bytes(), name
  with np.load(to / 'unlike.npz') as one, np.load(adapted[0] / 'unlike.npz') as other:
    for name in one.files:
      np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_an_evaluation_that_is_killed_loses_nothing_that_only_the_adaptation_could_fit(adapted, tmp_path):
  to, plan = tmp_path / 'run', {'nth': 1, 'after': 0.0, 'delay': 0.0, 'is_at_once': True}
  shutil.copytree(adapted[0], to)
  measure = (to / 'unlike.npz').read_bytes()
  plan |= {'at': 'figures of merit', 'note': str(tmp_path / 'note.json')}
  code, _, err = run('evaluate', f'--workdir={to}', plan=plan)
  assert code == -9, err
  assert (to / 'unlike.npz').read_bytes() == measure
  # Negative control: it had begun to replace the figures, so the page of the earlier ones is gone.
  assert [(to / name).exists() for name in ('calibration.json', 'report.html')] == [True, False]
  code, _, err = run('evaluate', f'--workdir={to}')
  assert code == 0, err
  assert (to / 'unlike.npz').read_bytes() == measure
  assert html_checker.check((to / 'report.html').read_text()) == []


@pytest.mark.slow
def test_a_new_class_is_refused_unless_it_is_asked_for_and_then_the_old_ones_stay(places, tmp_path):
  to = tmp_path / 'grown'
  code, _, err = run(*flags(places, 'new.csv', to))
  assert (code, err.count('\n')) == (2, 1)
  assert f'knows no class {NEW_CLASS}' in err
  assert not to.exists()
  code, _, err = run(*flags(places, 'new.csv', to), f'--new_classes={NEW_CLASS}')
  assert code == 0, err
  names = classifier.load(workdir.Workdir(to), signals.Stop()).class_names
  assert names == tuple(sorted((NEW_CLASS, 'EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')))
  result = json.loads((to / 'adaptation.json').read_text())['result']
  assert result['labels'][NEW_CLASS] == 6
  home = result['home']['test']
  assert home['after']['accuracy']['value'] > home['before']['accuracy']['value'] - 0.15


def test_without_labels_it_only_proposes(places):
  code, out, err = run(
    'adapt', f'--workdir={places["run"]}', f'--config.data.dir={places["other"]}', '--propose=7'
  )
  assert code == 0, err
  assert len(read_rows(places['run'] / 'label_next.csv')) == 7
  assert 'shows them first on its review page' in out


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    ([], 'adapt needs the images of the new laboratory'),
    (['--workdir={run}'], 'adapt needs the images of the new laboratory'),
    (['--workdir={other}', '--data_dir={other}', '--labels_csv={labels.csv}'], 'no run here'),
    (['--workdir={run}', '--data_dir={other}/none', '--labels_csv={labels.csv}'], 'no such folder'),
    (['--workdir={run}', '--data_dir={other}/none'], 'no such folder'),
    (
      ['--workdir={run}', '--data_dir={other}', '--config.train.epochs=3'],
      'adapt keeps the settings of the run',
    ),
    (
      ['--workdir={run}', '--data_dir={other}', '--labels_csv={labels.csv}', '--to={run}'],
      'is the run itself',
    ),
    (
      ['--workdir={run}', '--data_dir={other}', '--labels_csv={labels.csv}', '--to={other}'],
      'is the folder of the images; choose another folder with --to',
    ),
    (['--workdir={run}', '--data_dir={other}', '--propose=-1'], 'it must be 0 or more'),
    (['--workdir={run}', '--data_dir={other}', '{other}'], 'adapt takes no paths'),
  ],
)
def test_adapt_refuses_what_it_cannot_use_in_one_line(places, arguments, said):
  given = []
  for argument in arguments:
    for name, path in places.items():
      argument = argument.replace(f'{{{name}}}', str(path))
    given.append(argument)
  code, _, err = run('adapt', *given)
  assert (code, err.count('\n')) == (2, 1), err
  assert said in err


def test_a_folder_of_another_run_or_other_labels_is_left_alone(places, adapted, tmp_path):
  to = adapted[0]
  before = (to / 'adaptation.json').read_bytes()
  code, _, err = run(*flags(places, 'new.csv', to), f'--new_classes={NEW_CLASS}')
  assert (code, err.count('\n')) == (2, 1)
  assert 'adapted to something else' in err
  assert (to / 'adaptation.json').read_bytes() == before
  other = tmp_path / 'other_run'
  other.mkdir()
  (other / 'config.json').write_text((places['run'] / 'config.json').read_text())
  code, _, err = run(*flags(places, 'labels.csv', other))
  assert (code, 'holds another run' in err) == (2, True), err


@pytest.mark.slow
def test_an_image_that_cannot_be_used_is_refused_and_the_corrected_labels_are_taken(places, tmp_path):
  other, to = tmp_path / 'other', tmp_path / 'to'
  rows = recoloured.write(other, 2)
  broken = (other / rows[0][0]).read_bytes()[:100]
  (other / 'broken.png').write_bytes(broken)
  recoloured.labels(tmp_path / 'labels.csv', [*rows, ('broken.png', rows[0][1], '')], 3)
  moved = {**places, 'other': other, 'labels.csv': tmp_path / 'labels.csv'}
  code, _, err = run(*flags(moved, 'labels.csv', to))
  assert code == 2
  assert 'broken' in err
  recoloured.labels(tmp_path / 'labels.csv', rows, 3)
  code, out, err = run(*flags(moved, 'labels.csv', to))
  assert code == 0, err
  assert 'has too few images to tell what its images usually look like' in out
