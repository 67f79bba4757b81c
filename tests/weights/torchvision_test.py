"""torch's files, written by torch itself (golden/make_torch.py), read without torch."""

from __future__ import annotations

import collections
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from bloodcell_jax.base import types
from bloodcell_jax.weights import published, torchvision

GOLDEN = pathlib.Path(__file__).parent / 'golden'
RECORD = published.VGG16_TORCHVISION
FILES = ('torchvision.pth', 'torchvision_legacy.pth')


def values() -> dict[str, np.ndarray]:
  with np.load(GOLDEN / 'torchvision.npz') as file:
    return dict(file)


def assert_right(found):
  expected = values()
  assert len(found) == len(expected) == 32
  for theirs, ours in RECORD.layers.items():
    np.testing.assert_array_equal(found[f'{ours}/bias'], expected[f'{theirs}.bias'])
    if ours != 'fc1':
      axes = (2, 3, 1, 0) if theirs.startswith('features') else (1, 0)
      np.testing.assert_array_equal(found[f'{ours}/kernel'], expected[f'{theirs}.weight'].transpose(axes))


@pytest.mark.parametrize('name', FILES)
def test_what_torch_wrote_comes_out_under_keras_names(name):
  assert_right(torchvision.read_pth(GOLDEN / name, RECORD))


def test_safetensors_hold_the_same(tmp_path):
  safetensors.numpy.save_file(values(), tmp_path / 'x.safetensors')
  assert_right(torchvision.read_safetensors(tmp_path / 'x.safetensors', RECORD))


def test_the_first_dense_layer_reads_the_same_map_flattened_the_other_way():
  kernel = torchvision.read_pth(GOLDEN / FILES[0], RECORD)['fc1/kernel']
  map_HWC = np.random.default_rng(0).random((7, 7, 2), np.float32)
  expected = values()['classifier.0.weight'] @ map_HWC.transpose(2, 0, 1).reshape(-1)
  np.testing.assert_allclose(map_HWC.reshape(-1) @ kernel, expected, rtol=1e-5, atol=1e-6)
  assert np.abs(map_HWC.reshape(-1) @ values()['classifier.0.weight'].T - expected).max() > 0.1


def test_neither_torch_nor_its_code_is_imported():
  code = (
    'import sys; from bloodcell_jax.weights import published, torchvision; '
    f'torchvision.read_pth({str(GOLDEN / FILES[0])!r}, published.VGG16_TORCHVISION); '
    'print("torch" in sys.modules, len(sys.modules) > 9)'
  )
  environment = {**os.environ, 'PYTHONPATH': str(GOLDEN.parents[2])}
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment)
  assert done.stdout.split() == ['False', 'True'], done.stderr


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('share', [0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_one_clear_line(tmp_path, name, share):
  whole = (GOLDEN / name).read_bytes()
  path = tmp_path / 'x.pth'
  path.write_bytes(whole[: int(share * len(whole))])
  with pytest.raises(types.UserError, match=r'x\.pth: ') as caught:
    torchvision.read_pth(path, RECORD)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.99])
def test_safetensors_cut_short_are_one_clear_line(tmp_path, share):
  whole = safetensors.numpy.save(values())
  (tmp_path / 'x.safetensors').write_bytes(whole[: int(share * len(whole))])
  with pytest.raises(types.UserError, match=r'x\.safetensors: not a safetensors file'):
    torchvision.read_safetensors(tmp_path / 'x.safetensors', RECORD)


class Command:
  def __init__(self, command):
    self.command = command

  def __reduce__(self):
    return os.system, (self.command,)


def with_pickle(path, pickled, compression=zipfile.ZIP_STORED, data=None):
  """The golden archive with another pickle in it, or other data of the first tensor."""
  with zipfile.ZipFile(GOLDEN / FILES[0]) as before, zipfile.ZipFile(path, 'w', compression) as after:
    for name in before.namelist():
      content = before.read(name)
      if name.endswith('/data.pkl') and pickled is not None:
        content = pickled(content)
      if name.endswith('/data/0') and data is not None:
        content = data
      after.writestr(name, content)


def test_a_malicious_pickle_runs_nothing(tmp_path):
  mark = tmp_path / 'ran'
  bad = pickle.dumps(collections.OrderedDict({'features.0.weight': Command(f'touch {mark}')}), 2)
  with_pickle(tmp_path / 'new.pth', lambda _: bad)
  head = b''.join(pickle.dumps(v, 2) for v in (torchvision.MAGIC_NUMBER, 1001, {'little_endian': True}))
  (tmp_path / 'old.pth').write_bytes(head + bad + pickle.dumps([], 2))
  (tmp_path / 'first.pth').write_bytes(bad)
  for name in ('new.pth', 'old.pth', 'first.pth'):
    with pytest.raises(types.UserError, match=r'refused, its pickle asks for .*(system|OrderedDict)'):
      torchvision.read_pth(tmp_path / name, RECORD)
  assert not mark.exists()
  pickle.loads(bad)
  assert mark.exists(), 'the pickle must be one that runs a command where it is not stopped'


def test_a_zip_bomb_is_refused_unread(tmp_path):
  with_pickle(tmp_path / 'x.pth', None, zipfile.ZIP_DEFLATED, bytes(2**26))
  assert (tmp_path / 'x.pth').stat().st_size < 2**20
  with pytest.raises(types.UserError, match=r'refused.*compressed'):
    torchvision.read_pth(tmp_path / 'x.pth', RECORD)


def tensor_args(content, before, after):
  assert before in content
  return content.replace(before, after, 1)


@pytest.mark.parametrize(
  ('before', 'after', 'message'),
  [
    # The shape (2, 3, 3, 3) and its strides, and the offset before them, in pickle's opcodes.
    (b'QK\x00(K\x02K\x03K\x03K\x03t', b'QK\x00(K\xffK\x03K\x03K\x03t', 'beyond its data'),
    (b'QK\x00(K\x02K\x03K\x03K\x03t', b'QK\x09(K\x02K\x03K\x03K\x03t', 'beyond its data'),
    (b'QK\x00(K\x02K\x03K\x03K\x03t', b'QK\x00(K\x02K\x03K\x03Nt', 'no proper shape'),
    (
      b'features.0.weight',
      b'features.1.weight',
      "'features.1.weight' is not a weight of torchvision's VGG16",
    ),
    (b'FloatStorage', b'FloatStorag3', 'asks for .torch.FloatStorag3'),
  ],
)
def test_tensors_that_are_not_what_they_should_be_are_refused(tmp_path, before, after, message):
  with_pickle(tmp_path / 'x.pth', lambda content: tensor_args(content, before, after))
  with pytest.raises(types.UserError, match=message):
    torchvision.read_pth(tmp_path / 'x.pth', RECORD)


def test_tensor_data_of_another_size_is_refused(tmp_path):
  with_pickle(tmp_path / 'x.pth', None, data=bytes(12))
  with pytest.raises(types.UserError, match=r'has 12 bytes, not 216'):
    torchvision.read_pth(tmp_path / 'x.pth', RECORD)


def test_what_is_no_state_dict_of_vgg16_is_one_clear_line():
  for given, message in (
    ([1, 2], 'not a state dict'),
    ({'features.0.weight': 1}, 'not a state dict'),
    ({}, 'holds no weights'),
    ({'conv1.weight': np.zeros((1, 1, 1, 1))}, "is not a weight of torchvision's VGG16"),
    ({'features.0.weight': np.zeros((1, 1))}, 'has 2 axes'),
    ({'classifier.0.weight': np.zeros((1, 50))}, 'no multiple of 7 x 7'),
  ):
    with pytest.raises(types.UserError, match=message):
      torchvision.named(given, RECORD, 'x.pth')
