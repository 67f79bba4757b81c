"""This package's own file of weights."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from bloodcell_jax import types
from bloodcell_jax.weights import convention, project_export

ARRAYS = {
  'block1_conv1/kernel': np.random.default_rng(0).random((3, 3, 3, 2), np.float32),
  'block1_conv1/bias': np.array([0.5, -0.0], np.float32),
}


@pytest.fixture
def path(tmp_path):
  project_export.write(tmp_path / 'x.npz', ARRAYS, convention.CAFFE, 'a test')
  return tmp_path / 'x.npz'


def npy(array, allow_pickle=False):
  buffer = io.BytesIO()
  np.lib.format.write_array(buffer, array, allow_pickle=allow_pickle)
  return buffer.getvalue()


def with_member(path, name, content, compression=zipfile.ZIP_STORED):
  """The same file, one member replaced or added."""
  with zipfile.ZipFile(path) as file:
    members = {member: file.read(member) for member in file.namelist()}
  with zipfile.ZipFile(path, 'w', compression) as file:
    for member, before in {**members, name: None}.items():
      file.writestr(member, content if member == name else before)


def test_arrays_convention_and_origin_come_back(path):
  arrays, found, origin = project_export.read(path)
  assert set(arrays) == set(ARRAYS)
  for name, array in ARRAYS.items():
    assert arrays[name].dtype == array.dtype
    assert arrays[name].tobytes() == array.tobytes()
    assert arrays[name].shape == array.shape
  assert (found, origin) == (convention.CAFFE, 'a test')


def test_numpy_opens_it_without_pickles(path):
  with np.load(path, allow_pickle=False) as file:
    np.testing.assert_array_equal(file['block1_conv1/kernel'], ARRAYS['block1_conv1/kernel'])


def test_the_same_weights_give_the_same_bytes(path, tmp_path):
  project_export.write(tmp_path / 'y.npz', dict(reversed(ARRAYS.items())), convention.CAFFE, 'a test')
  assert path.read_bytes() == (tmp_path / 'y.npz').read_bytes()
  project_export.write(tmp_path / 'y.npz', ARRAYS, convention.UNIT, 'a test')
  assert path.read_bytes() != (tmp_path / 'y.npz').read_bytes()


def test_the_name_says_what_it_is(tmp_path):
  with pytest.raises(types.UserError, match=r'must be named .npz'):
    project_export.write(tmp_path / 'x.h5', ARRAYS, convention.CAFFE, 'a test')


def test_an_array_of_objects_is_refused_and_runs_nothing(path, tmp_path):
  class Command:
    def __reduce__(self):
      return os.system, (f'touch {tmp_path / "ran"}',)

  bad = npy(np.array([Command()], object), allow_pickle=True)
  with_member(path, 'block1_conv1/bias.npy', bad)
  with pytest.raises(types.UserError, match=r'x.npz: refused, .*no array of floats'):
    project_export.read(path)
  assert not (tmp_path / 'ran').exists()
  np.load(io.BytesIO(bad), allow_pickle=True)
  assert (tmp_path / 'ran').exists(), 'it must be one that runs a command where it is not stopped'


def test_a_header_that_claims_more_than_there_is_is_refused(path):
  data = npy(np.zeros(3, np.float32))
  with_member(path, 'block1_conv1/bias.npy', data.replace(b'(3,), }         ', b'(3000000000,), }'))
  with pytest.raises(types.UserError, match=r'of the size it claims'):
    project_export.read(path)


def test_a_zip_bomb_is_refused_unread(path):
  with_member(path, 'bomb.npy', npy(np.zeros(2**24, np.float32)), zipfile.ZIP_DEFLATED)
  assert path.stat().st_size < 2**20
  with pytest.raises(types.UserError, match=r'refused.*compressed'):
    project_export.read(path)


def test_members_that_claim_more_than_the_file_has_are_refused(path):
  data = bytearray(path.read_bytes())
  at = data.index(b'PK\x01\x02')  # the first entry of the directory; its two sizes stand 20 bytes further
  data[at + 20 : at + 28] = b'\xff\xff\xff\x7f' * 2
  path.write_bytes(data)
  with pytest.raises(types.UserError, match=r'x.npz: '):
    project_export.read(path)


@pytest.mark.parametrize(
  ('about', 'message'),
  [
    (b'[]', 'does not say'),
    (b'{', 'damaged'),
    (json.dumps({'format': 'other'}).encode(), 'does not say'),
    (json.dumps({'format': project_export.FORMAT}).encode(), 'x.npz: pixel convention: the keys must be'),
  ],
)
def test_a_file_that_does_not_tell_its_convention_is_refused(path, about, message):
  with_member(path, project_export.ABOUT, about)
  with pytest.raises(types.UserError, match=message):
    project_export.read(path)


def test_any_other_npz_is_one_clear_line(tmp_path):
  np.savez(tmp_path / 'x.npz', **{'block1_conv1/bias': np.zeros(3)})
  with pytest.raises(types.UserError, match=r'not exported by this package'):
    project_export.read(tmp_path / 'x.npz')
  (tmp_path / 'x.npz').write_bytes(pickle.dumps([1]))
  with pytest.raises(types.UserError, match=r'no archive of weights'):
    project_export.read(tmp_path / 'x.npz')


@pytest.mark.parametrize('share', [0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_one_clear_line(path, share):
  whole = path.read_bytes()
  path.write_bytes(whole[: int(share * len(whole))])
  with pytest.raises(types.UserError, match=r'x.npz: no archive of weights'):
    project_export.read(path)


def test_a_flipped_bit_is_seen(path):
  data = bytearray(path.read_bytes())
  data[data.index(ARRAYS['block1_conv1/kernel'].tobytes()) + 5] ^= 1
  path.write_bytes(data)
  with pytest.raises(types.UserError, match=r'damaged'):
    project_export.read(path)
