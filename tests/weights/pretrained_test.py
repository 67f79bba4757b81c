"""One reader for every kind of weights."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import safetensors.numpy

from bloodcell_jax.base import types
from bloodcell_jax.weights import convention, own, pretrained, published

GOLDEN = pathlib.Path(__file__).parent / 'golden'


def test_the_suffix_tells_the_kind_and_the_kind_the_convention(twin, tmp_path):
  with np.load(GOLDEN / 'torchvision.npz') as file:
    safetensors.numpy.save_file(dict(file), tmp_path / 'x.safetensors')
  files = dict.fromkeys(('top.h5', 'top.weights.h5', 'top.keras'), convention.CAFFE)
  for path, expected in (
    *((twin[0] / name, known) for name, known in files.items()),
    (GOLDEN / 'torchvision.pth', convention.TORCHVISION),
    (tmp_path / 'x.safetensors', convention.TORCHVISION),
  ):
    found = pretrained.read(str(path), 'vgg16')
    assert found.convention == expected
    assert {'block1_conv1/kernel', 'fc1/bias', 'predictions/kernel'} < set(found.params)
    assert all(array.dtype == np.float32 for array in found.params.values())
    assert found.origin.startswith(f'{path.name}, SHA-256 ')


ABOUT = own.About({'rescale': 0.5}, ('A', 'B'))


def test_an_export_of_this_project_brings_its_pixels_and_classes(tmp_path):
  own.write(tmp_path / 'x.safetensors', {'a/bias': np.zeros(1), 'standardize/mean_C': np.zeros(3)}, ABOUT)
  found = pretrained.read(str(tmp_path / 'x.safetensors'), 'vgg16')
  assert found.about == ABOUT
  assert found.convention is None
  assert list(found.params) == ['a/bias'], 'statistics are no weights of the network'


def test_half_and_double_precision_become_single(tmp_path):
  own.write(tmp_path / 'x.safetensors', {'a/bias': np.ones(2, np.float16), 'b/bias': np.full(2, 0.1)}, ABOUT)
  found = pretrained.read(str(tmp_path / 'x.safetensors'), 'vgg16').params
  assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
  np.testing.assert_array_equal(found['b/bias'], np.full(2, 0.1, np.float32))


def test_what_is_not_finite_is_refused(tmp_path):
  own.write(tmp_path / 'x.safetensors', {'a/bias': np.array([1, np.nan], np.float32)}, ABOUT)
  with pytest.raises(types.UserError, match=r'x.safetensors.*a/bias has values that are not finite'):
    pretrained.read(str(tmp_path / 'x.safetensors'), 'vgg16')


@pytest.mark.parametrize(
  ('where', 'message'),
  [
    ('nowhere.h5', 'nowhere.h5: cannot be read'),
    (
      'weights.bin',
      "unknown kind of weights; give 'auto', 'pbc', the folder of a run, or a file ending in .h5",
    ),
    ('imagenet', 'unknown kind of weights'),
    ('old.npz', r'old\.npz: \.npz is no longer read; name the folder of the run'),
  ],
)
def test_what_cannot_be_read_is_one_clear_line(where, message):
  with pytest.raises(types.UserError, match=message):
    pretrained.read(where, 'vgg16')


def test_a_folder_is_one_clear_line(tmp_path):
  (tmp_path / 'x.h5').mkdir()
  with pytest.raises(types.UserError, match=r'x\.h5: cannot be read'):
    pretrained.read(str(tmp_path / 'x.h5'), 'vgg16')


@pytest.mark.parametrize('suffix', pretrained.READERS)
def test_a_wrong_file_is_one_clear_line(tmp_path, suffix):
  path = tmp_path / f'x{suffix}'
  for content in (b'', b'<!DOCTYPE html>\n<title>Not found</title>\n' * 40):
    path.write_bytes(content)
    with pytest.raises(types.UserError) as caught:
      pretrained.read(str(path), 'vgg16')
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', [name for record in published.RECORDS for name in record.files])
def test_a_published_name_on_another_file_is_refused(twin, tmp_path, monkeypatch, name):
  path = tmp_path / name
  path.write_bytes((twin[0] / 'base.h5').read_bytes())
  with pytest.raises(types.UserError, match=r'not the published file of that name'):
    pretrained.read(str(path), 'vgg16')
  monkeypatch.setattr(
    published, 'RECORDS', [dataclasses.replace(record, files={}) for record in published.RECORDS]
  )
  if name.endswith('.h5'):
    assert len(pretrained.read(str(path), 'vgg16').params) == 26, 'under another name it is a good file'
