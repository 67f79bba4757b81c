"""The restricted unpickler: arrays come out, code does not run."""

from __future__ import annotations

import io
import os
import pathlib
import pickle

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.weights import unpickle


class Command:
  """Unpickled by pickle itself, it runs a shell command."""

  def __init__(self, command: str):
    self.command = command

  def __reduce__(self):
    return os.system, (self.command,)


def load(data: bytes, admitted=unpickle.NUMPY):
  return unpickle.load(io.BytesIO(data), 'x.ckpt', admitted)


@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_arrays_come_out_as_they_went_in(protocol):
  array = np.arange(6, dtype=np.float32).reshape(2, 3)
  admitted = unpickle.NUMPY
  if protocol == 2:
    # Before protocol 3 bytes are written as text.
    admitted = {**admitted, '_codecs.encode': lambda text, _: text.encode('latin1')}
  loaded = load(pickle.dumps({'a': {'b': array}}, protocol), admitted)
  np.testing.assert_array_equal(loaded['a']['b'], array)


def test_numpys_old_and_new_names_are_the_same():
  data = pickle.dumps(np.arange(3.0), 3)
  new, old = b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n'
  assert new in data or old in data
  for name in (new, old):
    np.testing.assert_array_equal(load(data.replace(new, name).replace(old, name)), np.arange(3.0))


def test_a_malicious_pickle_runs_nothing(tmp_path: pathlib.Path):
  mark = tmp_path / 'ran'
  for protocol in range(6):
    data = pickle.dumps({'a': Command(f'touch {mark}')}, protocol)
    with pytest.raises(types.UserError, match=r'x.ckpt: refused.*system'):
      load(data)
    assert not mark.exists()
  pickle.loads(data)
  assert mark.exists(), 'the pickle must be one that runs a command where it is not stopped'


@pytest.mark.parametrize(
  'name', ['builtins eval', 'numpy.lib.npyio load', 'numpy ndarray.__reduce__', 'pickle loads']
)
def test_no_other_name_is_found(name):
  module, attribute = name.split()
  with pytest.raises(types.UserError, match=r'refused'):
    load(f'c{module}\n{attribute}\n.'.encode())


def test_a_pickle_may_not_set_memory_aside_or_refer_outside_itself():
  with pytest.raises(types.UserError, match=r'places in memory'):
    load(b'\x80\x02Nr\xff\xff\xff\x7f.')
  with pytest.raises(types.UserError, match=r'outside itself'):
    load(b'\x80\x02K\x01Q.')


@pytest.mark.parametrize(
  'data', [b'', b'hello', pickle.dumps(np.arange(99.0))[:-50], b'\x80\x02.', b'\x80\x02K\x01b.']
)
def test_damaged_bytes_are_one_clear_line(data):
  with pytest.raises(types.UserError, match=r'x.ckpt: not a pickle of weights, or cut short') as caught:
    load(data)
  assert '\n' not in str(caught.value)


def test_the_file_is_left_behind_the_pickle():
  file = io.BytesIO(pickle.dumps([1]) + pickle.dumps([2]) + b'rest')
  assert [unpickle.load(file, 'x', {}) for _ in range(2)] == [[1], [2]]
  assert file.read() == b'rest'
