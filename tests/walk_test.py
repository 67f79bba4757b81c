"""Every network through train, evaluate, predict, explain and export, as a user types it, on synthetic smears.

Minutes, so it is left out of the quick suite: `python -m pytest -m slow -n 0 tests/walk_test.py`.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from bloodcell_jax.base import tree
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.models import vgg16
from bloodcell_jax.weights import own
from configs import default

ROOT = pathlib.Path(__file__).parent.parent
FEW = (
  '--config.data.embedded.num_train=8', '--config.data.embedded.num_test=4', '--config.data.embedded.num_copies=2',
  '--config.data.embedded.height=100', '--config.data.embedded.width=120', '--config.train.batch_size=8',
  '--config.evaluate.num_resamples=100', "--config.evaluate.splits=('validation','test')",
)  # fmt: skip
SHORT = ('--config.train.epochs=1', '--config.train.steps_per_epoch=2')
STAGED = (
  '--config.data.image_size=36',
  '--config.stages.head.epochs=1',
  '--config.stages.block5.epochs=1',
  '--config.train.steps_per_epoch=2',
)
NETWORKS = {
  'cnn_a': ('--config=configs/cnn_a.py', '--config.data.image_size=46', *SHORT),
  'cnn_b': ('--config=configs/cnn_b.py', '--config.data.image_size=94', *SHORT),
  'vgg16 torchvision': ('--config=configs/finetune.py', *STAGED),
  'vgg16 caffe': ('--config=configs/finetune.py', '--config.weights.path={caffe}', *STAGED),
  'ensemble': (
    '--config=configs/ensemble.py',
    '--config.data.image_size=94',
    '--config.ensemble.members=2',
    *SHORT,
  ),
  'cnn_svr': ('--config=configs/cnn_svr.py:softmax', '--config.train.steps_per_epoch=2'),
}

pytestmark = pytest.mark.slow


def run(*arguments: object) -> str:
  """What a command prints; it must end well."""
  done = subprocess.run(
    [sys.executable, 'main.py', *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=900,
    env={**os.environ, 'XLA_FLAGS': ''},
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout


@pytest.fixture(scope='module')
def caffe(tmp_path_factory) -> pathlib.Path:
  """Weights of VGG16 under Caffe's convention, of small random numbers."""
  model = vgg16.VGG16('average', 1, 0.0, 4, 1, 5, 1, np.float32, 'direct')
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), np.zeros((1, 36, 36, 3), np.float32), np.zeros(1, np.int32), False)
  )
  drawn = np.random.default_rng(0)
  names = {name: leaf for name, leaf in tree.names(shapes['params']).items() if name.startswith('block')}
  arrays = {name: drawn.normal(0, 0.01, leaf.shape).astype(np.float32) for name, leaf in names.items()}
  exp = experiment.resolve(default.get_config())
  pixels = dataclasses.replace(exp.transform.standardize, preprocessing_function='caffe', rescale=0.0)
  path = tmp_path_factory.mktemp('weights') / 'caffe.safetensors'
  own.write(path, arrays, own.About(dataclasses.asdict(pixels), ('A', 'B')))
  return path


@pytest.mark.parametrize('name', NETWORKS)
def test_a_network_goes_through_every_command(name, caffe, tmp_path):
  folder, images = tmp_path / 'run', tmp_path / 'slide'
  images.mkdir()
  spec = embedded.Spec(num_train=2, num_test=0, num_copies=1, height=100, width=120, seed=5)
  for i, drawn in enumerate(embedded.draw_all(spec)):
    (images / f'{i}.png').write_bytes(drawn.png)
  trained = run(*(a.format(caffe=caffe) for a in NETWORKS[name]), *FEW, f'--workdir={folder}')
  assert 'Synthetic' in trained
  before = json.loads((folder / 'metrics.json').read_text())['test']['macro_f1']
  run('evaluate', f'--workdir={folder}')
  assert json.loads((folder / 'metrics.json').read_text())['test']['macro_f1'] == before
  assert 'Synthetic' in run('predict', images, f'--workdir={folder}')
  with open(folder / 'predict/slide/predictions.csv', newline='') as file:
    assert len(list(csv.DictReader(file))) == 8
  of_one = folder / 'members/1' if name == 'ensemble' else folder
  run('explain', images / '0.png', f'--workdir={of_one}')
  assert json.loads((of_one / 'explain/explain.json').read_text())['images']
  run('export', f'--workdir={folder}')
  card = json.loads((folder / 'export/model_card.json').read_text())
  assert max(entry['max_difference'] for entry in card['parity'].values()) < 1e-4


def test_the_whole_study_runs_in_minutes_on_the_embedded_images_and_makes_one_page(tmp_path):
  began, folder = time.monotonic(), tmp_path / 'study'
  run('study', '--budget=8', f'--workdir={folder}')
  assert time.monotonic() - began < 900
  rows = json.loads((folder / 'study.json').read_text())['rows']
  assert len(rows) >= 15
  assert {row['state'] for row in rows} == {'complete'}
  assert all('test' in row['metrics'] for row in rows)
  assert 'Synthetic data' in (folder / 'study.html').read_text()
