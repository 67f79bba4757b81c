"""Features on disk: continued where they were left, never wrong in silence."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.images import feature_cache

SHAPE = (10, 2, 3, 4)
VALUES = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


class Stopped(Exception):
  """Stands for a stop or a kill between two blocks."""


@pytest.fixture(autouse=True)
def _blocks_of_three_items(monkeypatch):
  monkeypatch.setattr(feature_cache, 'BLOCK_BYTES', 3 * feature_cache.num_bytes(SHAPE[1:], 'float32'))


class Compute:
  """Gives VALUES, notes for which items, and stops before the item `stop_at`."""

  def __init__(self, values=VALUES, stop_at=None):
    self.values, self.stop_at, self.items = values, stop_at, []

  def __call__(self, items):
    if self.stop_at is not None and self.stop_at in items:
      raise Stopped
    self.items += items.tolist()
    return self.values[items]


def build(folder, compute, dtype='float32', name='block4-abc'):
  return feature_cache.read_or_build(folder, name, SHAPE, dtype, compute, lambda done, total: None)


def test_features_are_computed_once_in_order_and_read_back(tmp_path):
  first, again = Compute(), Compute()
  np.testing.assert_array_equal(build(tmp_path, first), VALUES)
  actual = build(tmp_path, again)
  np.testing.assert_array_equal(actual, VALUES)
  assert first.items == list(range(10))
  assert again.items == []
  assert not actual.flags.writeable
  np.testing.assert_array_equal(build(tmp_path, Compute(-VALUES), name='block4-other'), -VALUES)


@pytest.mark.parametrize('stop_at', [0, 2, 4, 9])
def test_an_interrupted_computation_goes_on_behind_its_last_block(tmp_path, stop_at):
  with pytest.raises(Stopped):
    build(tmp_path, Compute(stop_at=stop_at))
  assert not (tmp_path / 'block4-abc.npy').exists(), 'nothing half-made under the final name'
  rest = Compute()
  np.testing.assert_array_equal(build(tmp_path, rest), VALUES)
  assert rest.items == list(range(3 * (stop_at // 3), 10))


def flip(path):
  data = bytearray(path.read_bytes())
  data[-5] ^= 1
  path.write_bytes(data)


def cut(path):
  path.write_bytes(path.read_bytes()[:-7])


def empty(path):
  path.write_bytes(b'')


@pytest.mark.parametrize(('damage', 'computed'), [(flip, [9]), (cut, [9]), (empty, range(10))])
def test_damage_is_found_and_only_what_is_lost_computed_anew(tmp_path, damage, computed):
  build(tmp_path, Compute())
  damage(tmp_path / 'block4-abc.npy')
  again = Compute()
  np.testing.assert_array_equal(build(tmp_path, again), VALUES)
  assert again.items == list(computed)
  untouched = Compute()
  build(tmp_path, untouched)
  assert untouched.items == []


@pytest.mark.parametrize('damage', [cut, empty])
def test_lost_checksums_mean_that_nothing_is_believed(tmp_path, damage):
  build(tmp_path, Compute())
  damage(tmp_path / 'block4-abc.json')
  again = Compute()
  np.testing.assert_array_equal(build(tmp_path, again), VALUES)
  assert again.items == list(range(10))


def test_bfloat16_is_rounded_to_the_nearest(tmp_path):
  actual = build(tmp_path, Compute(), 'bfloat16')
  assert actual.dtype == ml_dtypes.bfloat16
  np.testing.assert_array_equal(actual, VALUES.astype(ml_dtypes.bfloat16))
  assert (np.asarray(actual, np.float32) != VALUES).any()
  # The same name with another dtype is another file's size: it is replaced.
  np.testing.assert_array_equal(build(tmp_path, Compute()), VALUES)


def test_a_key_changes_with_every_part():
  parts = {'weights': 'a', 'images': 'b', 'num_views': '1'}
  keys = {feature_cache.key(**{**parts, name: 'other'}) for name in parts} | {feature_cache.key(**parts)}
  assert len(keys) == 4
  assert feature_cache.key(**dict(reversed(parts.items()))) == feature_cache.key(**parts)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path):
  with pytest.raises(types.UserError, match=r'stages\.num_augmented') as caught:
    feature_cache.check_room(tmp_path, 2**60)
  assert '\n' not in str(caught.value)
  assert feature_cache.check_room(tmp_path, 1) > 1


@pytest.mark.parametrize(('key', 'value'), [('dtype', 'float16'), ('num_augmented', 0)])
def test_a_setting_that_makes_no_sense_is_named(key, value):
  with pytest.raises(types.UserError, match='stages'):
    feature_cache.Spec(**{'dtype': 'float32', 'num_augmented': 1, key: value})
