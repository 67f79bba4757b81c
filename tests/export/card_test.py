"""What the model card says of an adapted run, and of a run that began with another one's weights."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import sys
import types

import numpy as np
import pytest
import trained
from PIL import Image

from bloodcell_jax.config import experiment
from bloodcell_jax.data.images import brightness, decode
from bloodcell_jax.export import card, contract, examples, program
from bloodcell_jax.inference import classifier
from bloodcell_jax.reports import report, selection
from bloodcell_jax.storage import box, workdir
from bloodcell_jax.system import atomic

RESULT = {'new': {'num_images': 25, 'num_groups': 24}, 'num_home': 128, 'home': {'validation': {}}}


@pytest.fixture(scope='module')
def loaded() -> classifier.Classifier:
  return trained.load('cnn_a', trained.RULE)


@pytest.fixture
def run(loaded, tmp_path) -> workdir.Workdir:
  """The folder of a run, of which one split has an entry on its calibration."""
  folder = trained.write_run(tmp_path / 'run', loaded)
  entries = folder.read_metrics()
  entries['test']['doubt'] = {'named': 1}
  atomic.write_json(folder.metrics, entries)
  return folder


def values(folder: workdir.Workdir, loaded: classifier.Classifier) -> dict:
  split = selection.calibrated_on(selection.choices(folder))
  return card.values(folder, loaded, contract.build(loaded, program.build(loaded), split), {}, {})


def text(folder: workdir.Workdir, loaded: classifier.Classifier) -> str:
  return card.text(values(folder, loaded), loaded, [])


def test_the_card_of_an_adapted_run_says_what_its_calibration_was_fitted_on(run, loaded):
  before = text(run, loaded)
  for said in ('fitted on validation: 8 groups', '(chosen on validation for', report.APPROXIMATE):
    assert said in before, 'negative control'
  assert 'Adapted from' not in before
  entries = run.read_metrics()
  atomic.write_json(run.metrics, {'cross_fitted': entries['test'], 'validation': entries['test']})
  atomic.write_json(run.adaptation, {'request': {'from': '/somewhere/old'}, 'result': RESULT})
  after = text(run, loaded)
  for said in (
    'fitted on cross_fitted: 8 groups',
    '(chosen on cross_fitted for',
    report.APPROXIMATE_ADAPTED,
    'Adapted from the run old with labels of 25 images of 24 groups of a new laboratory, which are the split '
    'cross_fitted, and with 128 old training images. The split validation is of the old laboratory.',
  ):
    assert said in after
  assert 'on validation' not in after
  assert '/somewhere' not in json.dumps(values(run, loaded))


def test_without_a_threshold_the_split_is_named_too(loaded):
  never = dataclasses.replace(loaded, rule=dataclasses.replace(trained.RULE, threshold=None))
  found = contract.build(never, program.build(never), selection.CROSS_FITTED)['calibration']
  assert found['fitted_on'] == 'cross_fitted'
  assert 'error rate on cross_fitted' in found['steps'][1]


@pytest.mark.parametrize('view', ['nucleus', 'cell'])
def test_an_example_does_not_stretch_what_was_stretched_before_it_was_cropped(loaded, tmp_path, view):
  whole = loaded.job.experiment.data.decode
  photo_HWC = np.full((90, 120, 3), 150, np.uint8)
  photo_HWC[40:50, 50:60] = (90, 40, 110)
  photo_HWC[:3] = 250  # the brightest place, outside the crop
  crop = Image.fromarray(photo_HWC[20:70, 30:80])
  stretched = brightness.stretch(crop, brightness.maximum(crop))
  assert stretched.getextrema() != crop.getextrema()
  crop.save(tmp_path / 'crop.png')
  assert np.array_equal(shown(whole, tmp_path / 'crop.png'), resized(stretched, whole))
  cropping = dataclasses.replace(whole, view=view)
  assert np.array_equal(shown(cropping, tmp_path / 'crop.png'), resized(crop, whole))
  assert 'stretched and then cropped' in card._crop_note(cropping)
  assert 'cropped' not in card._crop_note(whole)


def shown(spec: decode.Spec, path: pathlib.Path) -> np.ndarray:
  """What the program of an example is given, by the lines of the example before it."""
  lines = examples.source('stablehlo', spec).splitlines()
  found = {'sys': types.SimpleNamespace(argv=['', str(path)], exit=sys.exit)}
  start = next(i for i, line in enumerate(lines) if line.startswith('photo = '))
  end = next(i for i, line in enumerate(lines) if line.startswith('image = '))
  exec('\n'.join(['import numpy as np', 'from PIL import Image, ImageOps', *lines[start : end + 1]]), found)
  return found['image']


def resized(photo: Image.Image, spec: decode.Spec) -> np.ndarray:
  side = (spec.image_size, spec.image_size)
  return np.asarray(photo.resize(side, Image.Resampling[spec.interpolation.upper()]))


def licences(folder: workdir.Workdir) -> list[str]:
  return card._licences(folder, experiment.from_flat(folder.read_config()))


def test_weights_of_another_run_bring_its_licences(run, tmp_path):
  assert not any('PBC' in line for line in licences(run)), 'negative control'
  copy = workdir.Workdir(tmp_path / 'box')
  shutil.copytree(box.FOLDER, copy.path)
  own = licences(copy)
  assert any('CC BY 4.0. A. Acevedo' in line for line in own)
  assert any('ImageNet' in line for line in own)
  begun(run, copy.path)
  assert set(own) < set(licences(run))
  further = workdir.Workdir(tmp_path / 'further')
  shutil.copytree(run.path, further.path)
  begun(further, run.path)
  assert licences(further) == licences(run)
  shutil.rmtree(run.path)
  assert 'the initial weights: see their publisher' in licences(further)


def begun(folder: workdir.Workdir, weights: pathlib.Path) -> None:
  """Makes the run one that began with these weights."""
  changed = {
    'weights.path': str(weights),
    'augment.preprocessing_function': 'weights',
    'augment.rescale': 0.0,
  }
  atomic.write_json(folder.config, {**folder.read_config(), **changed})
