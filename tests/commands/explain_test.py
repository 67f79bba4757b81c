"""The command on a trained run, for every network, and on everything that can be wrong with what it is given."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import blank_figure
import few_filters
import html_checker
import jax
import numpy as np
import pytest
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import explain, train
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.explain import explainer as explainer_lib
from bloodcell_jax.inference import classifier
from bloodcell_jax.plots import figure
from bloodcell_jax.runs import job, scoring
from bloodcell_jax.storage import predictions_csv
from bloodcell_jax.train import signals
from configs import default, finetune

CHANGES = {
  'data.image_size': 46, 'data.pipeline': 'numpy', 'data.cache': 'memory', 'data.embedded.num_train': 5,
  'data.embedded.num_test': 2, 'data.embedded.num_copies': 2, 'data.embedded.height': 60, 'data.embedded.width': 80,
  'train.batch_size': 8, 'train.epochs': 1, 'train.steps_per_epoch': 2, 'train.num_devices': 1,
  'evaluate.num_resamples': 100, 'evaluate.splits': ('test',),
}  # fmt: skip
FEW = ((2, 4), (2, 4), (3, 4), (3, 4), (3, 4))


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> pathlib.Path:
  """The folder of a run that was hardly trained."""
  folder = tmp_path_factory.mktemp('runs') / 'tiny'
  flat = {**experiment.flat(default.get_config()), **CHANGES}
  with pytest.MonkeyPatch.context() as patch:
    for each in blank_figure.replacements():
      patch.setattr(*each)
    train.run(commands.Request(experiment.nest(flat), 'test', str(folder), ()), signals.Stop())
  return folder


@pytest.fixture
def blank(monkeypatch):
  """Figures are small white pictures, for tests that claim nothing of what they show."""
  for each in blank_figure.replacements():
    monkeypatch.setattr(*each)


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> pathlib.Path:
  """A folder of two images."""
  folder = tmp_path_factory.mktemp('cells')
  spec = embedded.Spec(num_train=1, num_test=0, num_copies=1, height=60, width=80, seed=3)
  for i, drawn in enumerate(embedded.draw_all(spec)[:2]):
    (folder / f'cell{i}.png').write_bytes(drawn.png)
  return folder


def start(folder: str | pathlib.Path, *paths: object, stop: signals.Stop | None = None, **given) -> dict:
  """Runs the command in this process; what explain.json says."""
  if 'target_class' not in flags.FLAGS:
    explain.define_flags()
  flags.FLAGS.unparse_flags()
  given = {'target_class': '', 'max_images': 0, 'missed': '', **given}
  flags.FLAGS(['main', *(f'--{name}={value}' for name, value in given.items())])
  explain.run(commands.Request(None, '', str(folder), tuple(map(str, paths))), stop or signals.Stop())
  return json.loads((pathlib.Path(folder) / 'explain' / 'explain.json').read_text())


def test_without_a_path_an_image_of_each_class_of_the_test_split_is_explained(run, monkeypatch, capsys):
  notes = {}
  original = figure.png
  monkeypatch.setattr(
    figure, 'png', lambda made, note: notes.setdefault(id(made), note) and original(made, note)
  )
  made = start(run)
  assert [entry['labelled'] for entry in made['images']] == list(embedded.CLASS_NAMES)
  assert all(entry['file'].startswith('TEST/') for entry in made['images'])
  page = (run / 'explain' / 'explain.html').read_text()
  assert html_checker.check(page) == []
  assert 'Synthetic' in page
  assert len(notes) == 9  # two an image, and the filters
  assert all('Synthetic' in note for note in notes.values())
  assert made['note'] == scoring.SYNTHETIC
  assert capsys.readouterr().out.strip().splitlines()[-1].startswith('Synthetic')
  assert all(layer['agrees'] for layer in made['layers'])
  for entry in made['images']:
    for name in entry['files']:
      assert (run / 'explain' / name).stat().st_size > 1000
    numbers = entry['numbers']
    assert numbers['completeness']['gap'] <= 0.01
    for shares in numbers['share'].values():
      assert all(share is None or 0 <= share <= 1 for share in shares.values())
  checked = made['images'][0]['numbers']['rank_correlation']
  assert all(abs(value) < 0.99 for values in checked.values() for value in values if value is not None)


@pytest.mark.usefixtures('blank')
def test_the_arrays_are_those_of_the_image_and_of_every_layer(run, images):
  made = start(run, images / 'cell0.png')
  (entry,) = made['images']
  with np.load(run / 'explain' / entry['files'][2]) as arrays:
    names = [name for name in arrays if name.startswith('layer:')]
    assert names == [f'layer:{layer["name"]}' for layer in made['layers']]
    for layer in made['layers']:
      values = arrays[f'layer:{layer["name"]}']
      assert list(values.shape) == layer['shape']
      assert entry['numbers']['zeros'][layer['name']] == np.mean(values == 0)
    weight = np.abs(arrays['integrated_gradients_HW'])
    share = weight[arrays['region_border_HW']].sum() / weight.sum()
    assert share == pytest.approx(entry['numbers']['share']['integrated_gradients']['border'], rel=1e-4)
    np.testing.assert_allclose(
      arrays['integrated_gradients_HWC'].sum(), entry['numbers']['completeness']['sum'], rtol=1e-3
    )


@pytest.mark.usefixtures('blank')
def test_another_class_is_explained_on_demand_and_files_of_the_set_before_go(run, images):
  before = start(run, images)
  assert before['note'] == scoring.SYNTHETIC_TRAINING, 'these images may be real'
  predicted = before['images'][0]['predicted']
  other = next(name for name in embedded.CLASS_NAMES if name != predicted)
  made = start(run, images / 'cell0.png', target_class=other)
  assert (made['images'][0]['predicted'], made['images'][0]['explained']) == (predicted, other)
  assert made['images'][0]['numbers']['share'] != before['images'][0]['numbers']['share']
  present = {path.name for path in (run / 'explain').iterdir()}
  assert present == {'explain.html', 'explain.json', 'filters.png', *made['images'][0]['files']}


@pytest.mark.usefixtures('blank')
def test_an_image_that_cannot_be_read_is_listed_and_the_others_are_explained(run, images, tmp_path, capsys):
  (tmp_path / 'a_broken.png').write_bytes((images / 'cell0.png').read_bytes()[:200])
  (tmp_path / 'b_empty.jpg').write_bytes(b'')
  (tmp_path / 'notes.txt').write_text('no image')
  (tmp_path / 'z.png').write_bytes((images / 'cell1.png').read_bytes())
  made = start(run, tmp_path)
  assert [pathlib.Path(entry['file']).name for entry in made['images']] == ['z.png']
  assert [pathlib.Path(p['file']).name for p in made['problems']] == [
    'notes.txt',
    'a_broken.png',
    'b_empty.jpg',
  ]
  page = (run / 'explain' / 'explain.html').read_text()
  assert 'Left out: 3' in page
  assert 'zero bytes' in page
  assert capsys.readouterr().out.count('left out: ') == 3


@pytest.mark.usefixtures('blank')
def test_more_images_than_asked_for_are_told(run, images, capsys):
  assert len(start(run, images, max_images=1)['images']) == 1
  assert 'the first 1 of 2 images' in capsys.readouterr().out


@pytest.mark.usefixtures('blank')
def test_of_each_photograph_that_is_missed_the_image_furthest_from_its_label_is_explained(run, capsys):
  answers = predictions_csv.read(run / 'predictions' / 'test.csv')
  probability_N = answers.probs_NK[np.arange(len(answers)), answers.label_N]
  right_N = answers.probs_NK.argmax(1) == answers.label_N
  wanted = []
  for group in np.unique(answers.group_N):
    own = np.flatnonzero(answers.group_N == group)
    if right_N[own].mean() < 0.5:
      wanted.append(str(answers.file_N[own[probability_N[own].argmin()]]))
  assert 0 < len(wanted) < len(np.unique(answers.group_N)), 'some are missed, and some are not'
  made = start(run, missed='test', max_images=len(wanted) + 1)
  assert sorted(entry['file'] for entry in made['images']) == sorted(wanted)
  assert all(entry['labelled'] for entry in made['images'])
  assert len(start(run, missed='test', max_images=1)['images']) == 1
  assert f'the first 1 of {len(wanted)} images' in capsys.readouterr().out


@pytest.mark.parametrize(
  ('paths', 'given', 'said'),
  [
    (['TEXT'], {'missed': 'test'}, 'leave out the paths, or --missed'),
    (
      [],
      {'missed': 'elsewhere'},
      "'elsewhere', whose images are not in the data of the run; name their files",
    ),
    (
      [],
      {'missed': 'validation'},
      "'validation', of which the run has no predictions; the scored splits are test;",
    ),
    (['nowhere.png'], {}, 'nowhere.png: no such file or folder'),
    (['EMPTY'], {}, 'no image there'),
    (['BROKEN'], {}, 'no image could be read'),
    (['TEXT'], {}, 'is text, not an image'),
    ([], {'target_class': 'MONOCYT'}, 'did you mean MONOCYTE'),
    ([], {'max_images': -1}, 'max_images is -1'),
  ],
)
def test_bad_input_is_one_line(run, tmp_path, paths, given, said):
  # As of a folder scored by `evaluate --data_dir`, with names that the run has too.
  (run / 'predictions' / 'elsewhere.csv').write_bytes((run / 'predictions' / 'test.csv').read_bytes())
  (tmp_path / 'EMPTY').mkdir()
  (tmp_path / 'BROKEN').write_bytes(b'\x89PNG\0 no image')
  (tmp_path / 'TEXT').write_bytes(b'no image')
  with pytest.raises(types.UserError, match=said) as caught:
    start(run, *(tmp_path / path for path in paths), **given)
  assert '\n' not in str(caught.value)


def test_a_folder_without_a_finished_run_is_told(run, images, tmp_path):
  with pytest.raises(types.UserError, match='no run here'):
    start(tmp_path, images)
  for name in ('config.json', 'environment.json'):
    (tmp_path / name).write_bytes((run / name).read_bytes())
  with pytest.raises(types.UserError, match='no checkpoints; train the run first'):
    start(tmp_path, images)
  config = json.loads((run / 'config.json').read_text())
  (tmp_path / 'config.json').write_text(json.dumps({**config, 'train.folds': 3}))
  with pytest.raises(types.UserError, match=r'explain one of its folds: --workdir=.*1'):
    start(tmp_path, images)


@pytest.mark.usefixtures('blank')
def test_a_stop_between_images_leaves_whole_files_and_the_page_before(run, images):
  start(run, images / 'cell0.png')
  page = (run / 'explain' / 'explain.html').read_bytes()
  stop = signals.Stop()
  stop.requested = True
  with pytest.raises(signals.Stopped):
    start(run, images, stop=stop)
  assert (run / 'explain' / 'explain.html').read_bytes() == page
  assert not [path for path in (run / 'explain').iterdir() if path.name.startswith('.')]


@pytest.fixture
def narrow():
  with few_filters.blocks(FEW):
    yield


@pytest.mark.usefixtures('narrow')
def test_vgg16_is_explained_with_its_own_pixels(monkeypatch):
  flat = {
    **experiment.flat(finetune.get_config()), 'data.image_size': 40, 'weights.path': '', 'model.head': 'average',
    'augment.preprocessing_function': '', 'train.num_devices': 1,
  }  # fmt: skip
  exp = experiment.resolve(experiment.nest(flat))
  x = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
  caffe, torch = (
    dataclasses.replace(exp.transform.standardize, preprocessing_function=name, rescale=0.0)
    for name in ('caffe', 'torch')
  )
  made, other = (
    job.Job(exp, dataset.empty(embedded.CLASS_NAMES), pixels, None, signals.Stop())
    for pixels in (caffe, torch)
  )
  # He's scale, so that 13 layers deep something is left.
  params = jax.tree.map(lambda leaf: leaf * 1.6, made.params)
  loaded = classifier.from_network(made, params, None, '', {'best_epoch': 1, 'epochs': 1})
  explainer = explainer_lib.Explainer(loaded)
  assert explainer.last_convolution == 'block5_conv3'
  found = explainer.explain(x, 2, check_all=False)
  assert len(found.activations.maps) == 21
  logits = [
    made.model.apply({'params': params}, each.standardize(x[None]), np.zeros(1, np.int32), False)[0]
    for each in (made, other)
  ]
  np.testing.assert_allclose(found.activations.logit_K, logits[0], rtol=1e-3, atol=1e-5)
  assert not np.allclose(found.activations.logit_K, logits[1], rtol=0.1)


def test_the_page_is_whole_in_a_browser(run, images, tmp_path):
  import browser

  start(run, images / 'cell0.png')
  for width in (1280, 400):
    with browser.opened(run / 'explain' / 'explain.html', width) as driver:
      assert browser.problems(driver, width) == []
      assert driver.execute_script('return [...document.images].every(i => i.naturalWidth > 0)')
      driver.find_element('css selector', 'summary').click()
      assert driver.find_element('css selector', 'details img').is_displayed()


def test_the_folder_of_the_run_is_asked_for():
  with pytest.raises(types.UserError, match='--workdir=runs/NAME'):
    start('')
