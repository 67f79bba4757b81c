"""Augmented training images are images that training trains on: of the config's fold, member and bag."""

from __future__ import annotations

import json
import pathlib

import pytest
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.commands import augment
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import run_data
from bloodcell_jax.train import signals
from configs import default

CHANGES = {
  'data.embedded.num_train': 8, 'data.embedded.num_test': 2, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.cache': 'memory',
  'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'augment.horizontal_flip': True,
}  # fmt: skip
BAGS = {'ensemble.method': 'bagging', 'ensemble.members': 3}
CASES = {
  'run': {},
  'fold': {'train.folds': 2, 'train.fold': 2},
  'member': {'ensemble.method': 'average', 'ensemble.member': 2},
  'bag': {**BAGS, 'ensemble.member': 2},
}


def save(monkeypatch, tmp_path: pathlib.Path, flat) -> set[int]:
  """The rows of the images that `augment --save_to_dir` writes."""
  values = flags.FlagValues()
  for name, value in (
    ('save_to_dir', tmp_path / 'saved'),
    ('save_prefix', 'a'),
    ('save_format', 'png'),
    ('rebuild', ''),
  ):
    flags.DEFINE_string(name, str(value), '', flag_values=values)
  flags.DEFINE_integer('num_images', 64, '', flag_values=values)
  values(['main.py'])
  monkeypatch.setattr(flags, 'FLAGS', values)
  request = commands.Request(experiment.nest(flat), 'test', str(tmp_path / 'run'), ())
  augment.run(request, signals.Stop())
  return {int(path.name.split('_')[1]) for path in (tmp_path / 'saved').rglob('*.png')}


def training(exp: experiment.Experiment, tmp_path: pathlib.Path) -> set[int]:
  data = run_data.reader(exp, tmp_path)(lambda done, total: None)
  return set(data.rows['train'].tolist())


@pytest.mark.parametrize('case', CASES)
def test_no_image_that_training_holds_out_is_among_the_augmented_ones(case, monkeypatch, tmp_path):
  flat = {**experiment.flat(default.get_config()), **CHANGES, **CASES[case]}
  seen = training(experiment.from_flat(flat), tmp_path)
  assert save(monkeypatch, tmp_path, flat) == seen
  if case in ('fold', 'bag'):
    # Negative control: a run of all images trains on others.
    assert (
      training(
        experiment.from_flat({**flat, 'train.fold': 0, 'train.folds': 0, 'ensemble.member': 0}), tmp_path
      )
      - seen
    )


def test_sheets_of_two_images_of_one_name_lie_side_by_side_and_are_named_by_their_images(tmp_path):
  flat = {**experiment.flat(default.get_config()), **CHANGES}
  request = commands.Request(experiment.nest(flat), 'test', str(tmp_path / 'run'), ())
  exp, names = experiment.from_flat(flat), []
  for image in ('/monday/a.png', '/tuesday/a.png', '/monday/a.png', ''):
    record = augment._Record(tmp_path / 'run', request, exp)
    names.append(record.name('augmentation_a' if image else 'augmentation', image))
    record.write()
  assert names == ['augmentation_a.png', 'augmentation_a-2.png', 'augmentation_a.png', 'augmentation.png']
  saved = json.loads((tmp_path / 'run' / 'augment.json').read_text())
  assert saved['sheets']['augmentation_a-2.png'] == '/tuesday/a.png'
  assert (saved['run'], saved['config'], saved['data']['source']) == (
    str(tmp_path / 'run'),
    'test',
    'embedded',
  )


def test_the_rows_are_those_of_the_run_in_the_folder_whatever_its_format(monkeypatch, tmp_path):
  flat = {**experiment.flat(default.get_config()), **CHANGES, **BAGS, 'ensemble.member': 2}
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'config.json').write_text(json.dumps(flat))
  old, new = (training(experiment.from_flat({**flat, 'format': number}), tmp_path) for number in (1, 2))
  assert old != new
  assert save(monkeypatch, tmp_path, flat) == old
