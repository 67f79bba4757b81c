"""Keras' files of both layouts, written by Keras itself."""

from __future__ import annotations

import zipfile

import h5py
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.weights import keras3, keras_h5, published

SUFFIXES = ('.h5', '.weights.h5', '.keras')


def read(path):
  reader = keras3.read_keras if path.suffix == '.keras' else keras_h5.read
  return reader(path, published.VGG16_KERAS)


def assert_same(found, expected):
  assert set(found) == set(expected)
  for name, array in expected.items():
    np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('label', ['base', 'top', 'within'])
def test_every_weight_comes_out_under_its_name(twin, label, suffix):
  folder, values = twin
  assert len(values[label]) == {'base': 26, 'top': 32, 'within': 28}[label]
  assert_same(read(folder / f'{label}{suffix}'), values[label])


def without_names(path):
  """Rewrites a file as the first versions of Keras 3 wrote it."""
  with h5py.File(path, 'r+') as file:
    file.visititems(lambda _, item: item.attrs.pop('name', None) and None)


@pytest.mark.parametrize('label', ['base', 'top', 'within'])
def test_the_first_versions_of_keras_3_wrote_no_names(twin, tmp_path, label):
  folder, values = twin
  with zipfile.ZipFile(folder / f'{label}.keras') as before:
    before.extractall(tmp_path)
  without_names(tmp_path / 'model.weights.h5')
  with zipfile.ZipFile(tmp_path / 'old.keras', 'w') as after:
    for name in ('config.json', 'model.weights.h5'):
      after.write(tmp_path / name, name)
  assert_same(read(tmp_path / 'old.keras'), values[label])
  if label == 'within':
    with pytest.raises(types.UserError, match=r'is not named in it; save the model as .keras'):
      read(tmp_path / 'model.weights.h5')
  else:
    assert_same(read(tmp_path / 'model.weights.h5'), values[label])


def write_keras_2(path, values, folder_of, weight_of):
  with h5py.File(path, 'w') as file:
    for name, array in values.items():
      layer, weight = name.split('/')
      file[f'{layer}/{folder_of(layer)}{weight_of(layer, weight)}'] = array


@pytest.mark.parametrize(
  ('folder_of', 'weight_of'),
  [
    # As keras-applications published its files; as Keras 2 wrote; the same in the second model of a session.
    (lambda layer: '', lambda layer, weight: f'{layer}_{"W" if weight == "kernel" else "b"}_1:0'),
    (lambda layer: f'{layer}/', lambda layer, weight: f'{weight}:0'),
    (lambda layer: f'{layer}_1/', lambda layer, weight: f'{weight}:0'),
  ],
  ids=['published', 'keras 2', 'second model'],
)
def test_names_of_keras_2_are_understood(twin, tmp_path, folder_of, weight_of):
  values = twin[1]['top']
  write_keras_2(tmp_path / 'x.h5', values, folder_of, weight_of)
  assert_same(read(tmp_path / 'x.h5'), values)


def test_a_layer_saved_twice_is_refused(tmp_path):
  with h5py.File(tmp_path / 'x.h5', 'w') as file:
    for outer in ('a', 'b'):
      for layer in ('fc1', 'fc2'):
        file[f'{outer}/{layer}/kernel:0'] = np.zeros(1)
  with pytest.raises(types.UserError, match=r'fc1/kernel is there twice'):
    read(tmp_path / 'x.h5')


def test_code_in_a_keras_file_is_not_looked_at(twin, tmp_path):
  folder, values = twin
  with zipfile.ZipFile(folder / 'base.keras') as before:
    config, weights = before.read('config.json'), before.read('model.weights.h5')
  bad = config.replace(
    b'"activation": "linear"', b'"activation": {"class_name": "__lambda__", "config": "boom"}'
  )
  assert bad != config
  with zipfile.ZipFile(tmp_path / 'x.keras', 'w') as after:
    after.writestr('config.json', bad)
    after.writestr('model.weights.h5', weights)
  assert_same(read(tmp_path / 'x.keras'), values['base'])


def rezip(path, to, compression, **members):
  with zipfile.ZipFile(path) as before, zipfile.ZipFile(to, 'w', compression) as after:
    for name in before.namelist():
      after.writestr(name, members.get(name.split('.')[0], before.read(name)))


def test_a_zip_bomb_is_refused_unread(twin, tmp_path):
  rezip(twin[0] / 'base.keras', tmp_path / 'x.keras', zipfile.ZIP_DEFLATED, model=bytes(2**26))
  assert (tmp_path / 'x.keras').stat().st_size < 2**20
  with pytest.raises(types.UserError, match=r'x.keras: refused.*compressed'):
    read(tmp_path / 'x.keras')


@pytest.mark.parametrize('members', [{'config': b'{}'}, {'config': b'['}, {'model': b'no HDF5'}])
def test_a_keras_file_of_other_contents_is_one_clear_line(twin, tmp_path, members):
  rezip(twin[0] / 'base.keras', tmp_path / 'x.keras', zipfile.ZIP_STORED, **members)
  with pytest.raises(types.UserError, match=r'x.keras: ') as caught:
    read(tmp_path / 'x.keras')
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('share', [0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_one_clear_line(twin, tmp_path, suffix, share):
  whole = (twin[0] / f'base{suffix}').read_bytes()
  path = tmp_path / f'x{suffix}'
  path.write_bytes(whole[: int(share * len(whole))])
  with pytest.raises(types.UserError, match=f'x{suffix}: ') as caught:
    read(path)
  assert '\n' not in str(caught.value)


def test_links_out_of_the_file_are_not_followed(tmp_path):
  secret = tmp_path / 'secret.h5'
  with h5py.File(secret, 'w') as file:
    file['a/kernel'] = np.ones(3)
  (tmp_path / 'raw').write_bytes(bytes(12))
  with h5py.File(tmp_path / 'link.h5', 'w') as file:
    file['fc1/kernel:0'] = np.zeros(3)
    file['fc1/bias:0'] = h5py.ExternalLink(str(secret), '/a/kernel')
  assert list(read(tmp_path / 'link.h5')) == ['fc1/kernel']
  with h5py.File(tmp_path / 'raw.h5', 'w') as file:
    file.create_dataset('fc1/kernel:0', (3,), 'f4', external=[(str(tmp_path / 'raw'), 0, 12)])
  layout = h5py.VirtualLayout((3,), 'f8')
  layout[:] = h5py.VirtualSource(str(secret), 'a/kernel', (3,))
  with h5py.File(tmp_path / 'virtual.h5', 'w') as file:
    file.create_virtual_dataset('fc1/kernel:0', layout)
  for name in ('raw.h5', 'virtual.h5'):
    with pytest.raises(types.UserError, match=r'refused.*in another file'):
      read(tmp_path / name)


def test_arrays_larger_than_their_file_are_refused_unread(tmp_path):
  with h5py.File(tmp_path / 'empty.h5', 'w') as file:
    file.create_dataset('fc1/kernel:0', (2**40,), 'f4')  # without any data, all zeros
  with h5py.File(tmp_path / 'packed.h5', 'w') as file:
    file.create_dataset('fc1/kernel:0', data=np.zeros(2**22, 'f4'), compression='gzip')
  for name in ('empty.h5', 'packed.h5'):
    with pytest.raises(types.UserError, match=r'far larger than the file'):
      read(tmp_path / name)


def test_another_hdf5_file_is_one_clear_line(tmp_path):
  for name, path, array, message in (
    ('text.h5', 'fc1/kernel:0', 'hello', 'where weights are floats'),
    ('flat.h5', 'kernel:0', np.zeros(3), 'outside any layer'),
  ):
    with h5py.File(tmp_path / name, 'w') as file:
      file[path] = array
    with pytest.raises(types.UserError, match=message):
      read(tmp_path / name)
  h5py.File(tmp_path / 'none.h5', 'w').close()
  with pytest.raises(types.UserError, match=r'holds no weights'):
    read(tmp_path / 'none.h5')


def test_names_are_those_of_keras_own_vgg16():
  convs = [name for name in published.VGG16_KERAS.layers.values() if name not in published.VGG16_KERAS.head]
  assert len(convs) == 13
  assert (convs[0], convs[4], convs[-1]) == ('block1_conv1', 'block3_conv1', 'block5_conv3')
