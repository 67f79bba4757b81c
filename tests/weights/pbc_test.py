"""The weights 'pbc' of the package: what their card says is so, and what begins with them knows what they have seen."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest

from bloodcell_jax.base import tree, types
from bloodcell_jax.export import card as card_lib
from bloodcell_jax.models import zoo
from bloodcell_jax.runs import starting_weights
from bloodcell_jax.storage import workdir
from bloodcell_jax.weights import own, pretrained, published

FOLDER = pretrained.PBC_FOLDER


@pytest.fixture(scope='module')
def card():
  return json.loads((FOLDER / 'card.json').read_text())


def test_the_card_is_that_of_the_file(card):
  assert card['sha256'] == hashlib.sha256((FOLDER / own.FILE).read_bytes()).hexdigest()
  for words in ('Acevedo', '10.17632/snkd93bnjr.1', 'CC BY 4.0'):
    assert words in card['images']
  assert 'configs/pretraining.py' in card['command']


def test_they_are_the_blocks_of_the_network_and_differ_from_those_of_imagenet():
  read = starting_weights.read('pbc', 'alexnet')
  model = zoo.build(zoo.Spec('alexnet', 0.0, 'mean_max', 256, 3, 1, False), 4)
  shapes = tree.names(zoo.shapes(model, 64))
  expected = {name: leaf.shape for name, leaf in shapes.items() if name.startswith('block')}
  assert {name: array.shape for name, array in read.params.items()} == expected
  before = pretrained.read('auto', 'alexnet').params
  change = {name: float(abs(read.params[name] - before[name]).max()) for name in before}
  assert all(change[f'block{i}_conv1/kernel'] > 1e-3 for i in range(2, 6))
  assert change['block1_conv1/kernel'] < 1e-3, 'the first block was frozen; only its rounding differs'
  assert read.about is not None
  assert read.about.pixels['preprocessing_function'] == 'torch'


def test_another_network_is_told_which_one_they_are_for():
  with pytest.raises(
    types.UserError, match=r"'pbc'; that is for alexnet, alexnet3, and model.name is 'vgg16'"
  ):
    starting_weights.read('pbc', 'vgg16')
  assert starting_weights.read('auto', 'vgg16').params, 'the advice leads to weights'


def test_the_name_means_the_weights_even_beside_a_folder_of_that_name(tmp_path, monkeypatch):
  (tmp_path / 'pbc').mkdir()
  monkeypatch.chdir(tmp_path)
  assert starting_weights.read('pbc', 'alexnet3').params
  with pytest.raises(types.UserError, match='no checkpoints of a network'):
    starting_weights.read('./pbc', 'alexnet3')


def test_without_the_file_the_line_says_what_to_do(tmp_path, monkeypatch):
  monkeypatch.setattr(pretrained, 'PBC_FOLDER', tmp_path)
  with pytest.raises(types.UserError, match='missing; install the package again'):
    pretrained.read('pbc', 'alexnet3')


def test_a_card_of_a_run_that_begins_with_them_names_their_images():
  lines = card_lib.licences('pbc', 'alexnet', 'kaggle')
  assert any('PBC (Acevedo et al. 2020)' in line and 'CC BY 4.0' in line for line in lines)
  assert not any('PBC' in line for line in card_lib.licences('auto', 'alexnet3', 'kaggle'))
  assert published.find('mine.h5', 'alexnet3') is None


def test_their_images_count_as_seen(card):
  lines = workdir.Workdir(os.fspath(FOLDER)).digests.read_text().splitlines()[1:]
  roles = [line.split(',')[0] for line in lines]
  assert roles.count('trained') == sum(images for images, _ in card['counts']['train'].values()) > 6000
  assert len({line.split(',')[2] for line in lines}) > 0.99 * len(lines)


def test_half_precision_is_enough():
  array = pretrained.read('pbc', 'alexnet3').params['block3_conv1/kernel']
  np.testing.assert_array_equal(array, array.astype(np.float16))
  assert np.isfinite(array).all()
