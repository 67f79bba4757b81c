"""The small modules that everything stands on: types, rng, tree, groups, atomic, parallel, process."""

from __future__ import annotations

import ast
import csv
import importlib.metadata
import itertools
import json
import os
import pathlib
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import groups, rng, tree, types
from bloodcell_jax.system import atomic, process
from bloodcell_jax.train import devices


def table(**changes) -> types.Table:
  names = np.array(['a.png', 'b.png', 'c.png'])
  columns = {
    'content': ('a', 'b', 'c'), 'file': names, 'label': np.array([0, 1, 0], np.int32), 'source': names,
    'group': np.array(['g', 'g', 'h']), 'split': np.array(['TRAIN'] * 3), 'digest': names,
    'class_names': ('X', 'Y'), 'name': 'three', 'synthetic': False,
  }  # fmt: skip
  return types.Table(**{**columns, **changes})


def test_a_table_takes_rows_in_the_order_asked_for():
  taken = table().take([2, 0])
  assert taken.content == ('c', 'a')
  assert taken.file.tolist() == ['c.png', 'a.png']
  assert taken.label.tolist() == [0, 0]


def test_a_table_that_takes_all_rows_is_itself_and_columns_that_are_one_array_stay_one():
  whole = table()
  assert whole.take([0, 1, 2]) is whole
  for rows in ([0, 2, 1], [0, 1]):
    taken = whole.take(rows)
    assert taken is not whole
    assert taken.file is taken.source is taken.digest
    assert taken.group is not taken.file
    assert taken.group.tolist() == whole.group[rows].tolist()


def test_a_table_with_two_rows_of_one_name_or_a_label_without_class_is_refused():
  with pytest.raises(types.UserError, match=r'a\.png: two images'):
    table(file=np.array(['a.png', 'a.png', 'c.png']))
  with pytest.raises(ValueError, match='label'):
    table(label=np.array([0, 1, 2], np.int32))
  with pytest.raises(ValueError, match='group'):
    table(group=np.array(['g', 'h']))


def test_keys_depend_on_seed_and_name_and_on_nothing_else():
  def draw(seed, name):
    return float(jax.random.uniform(rng.key(seed, name)))

  assert draw(1, 'init') == draw(1, 'init')
  assert len({draw(1, 'init'), draw(1, 'dropout'), draw(2, 'init')}) == 3
  first = rng.generator(3, 'order', 1).integers(0, 1 << 30, 4)
  np.testing.assert_array_equal(first, rng.generator(3, 'order', 1).integers(0, 1 << 30, 4))
  for other in (rng.generator(3, 'order', 2), rng.generator(3, 'other', 1), rng.generator(4, 'order', 1)):
    assert not np.array_equal(first, other.integers(0, 1 << 30, 4))


def test_keys_are_the_same_in_another_process():
  code = 'from bloodcell_jax.base import rng; print(rng.generator(0, "order", 0).integers(0, 1 << 30))'
  environment = {**os.environ, 'PYTHONHASHSEED': '7'}
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, env=environment, check=True
  )
  assert int(done.stdout) == rng.generator(0, 'order', 0).integers(0, 1 << 30)


def test_names_and_nest_are_inverse_and_a_mask_selects_by_whole_names():
  weights = {'block1': {'kernel': 1, 'bias': 2}, 'block11': {'kernel': 3}}
  assert tree.nest(tree.names(weights)) == weights
  assert tree.mask(weights, ['block1/.*']) == {
    'block1': {'kernel': True, 'bias': True},
    'block11': {'kernel': False},
  }
  with pytest.raises(ValueError, match='blok1'):
    tree.mask(weights, ['blok1/.*'])


def test_a_fingerprint_changes_with_any_bit_name_or_type():
  weights = {'a': np.zeros(3, np.float32)}
  others = [{'b': np.zeros(3, np.float32)}, {'a': np.zeros(3)}, {'a': np.zeros((3, 1), np.float32)}]
  others.append({'a': np.array([0, 0, np.nextafter(0, 1, dtype=np.float32)], np.float32)})
  assert tree.fingerprint(weights) == tree.fingerprint({'a': np.zeros(3, np.float32)})
  assert len({tree.fingerprint(w) for w in (weights, *others)}) == 5


def rows_of_groups(num_groups=60, size=5):
  group_N = np.repeat([f'g{i}' for i in range(num_groups)], size)
  return np.repeat(np.arange(num_groups) % 3, size), group_N


@pytest.mark.parametrize('num', [0, 1, groups._BLOCK, groups._BLOCK + 1, 2 * groups._BLOCK + 2])
def test_the_numbers_of_texts_are_their_places_among_the_different_ones(num):
  for num_different in (1, num // 3 + 1, 10**6):
    text_N = np.random.default_rng(num).integers(0, num_different, num).astype(str)
    np.testing.assert_array_equal(groups.numbers(text_N), np.unique(text_N, return_inverse=True)[1])


def shared(held: np.ndarray, group_N: np.ndarray) -> set:
  return set(group_N[held]) & set(group_N[~held])


def test_no_group_in_two_splits():
  label_N, group_N = rows_of_groups()
  held = groups.split(label_N, group_N, 0.2, seed=0)
  assert not shared(held, group_N)
  assert np.bincount(label_N[held]).tolist() == [20, 20, 20]
  by_image = np.random.default_rng(0).random(len(group_N)) < 0.2
  assert shared(by_image, group_N), 'a split by images must be seen'


def test_no_group_in_two_folds_and_every_row_in_one():
  label_N, group_N = rows_of_groups()
  fold_N = groups.folds(label_N, group_N, 5, seed=0)
  assert sorted(set(fold_N)) == [0, 1, 2, 3, 4]
  assert all(not shared(fold_N == k, group_N) for k in range(5))
  np.testing.assert_array_equal(fold_N, groups.folds(label_N, group_N, 5, seed=0))
  assert not np.array_equal(fold_N, groups.folds(label_N, group_N, 5, seed=1))


def test_a_class_with_fewer_groups_than_folds_is_refused():
  with pytest.raises(ValueError, match='class 1 has 2 groups, fewer than 3'):
    groups.folds(np.array([0, 0, 0, 1, 1]), np.array(list('abcde')), 3, seed=0)


def test_a_resample_draws_as_many_groups_as_there_are():
  drawn = groups.resample(20, 500, seed=0, name='bootstrap')
  assert drawn.shape == (500, 20)
  assert (drawn.sum(1) == 20).all()
  # With replacement: about (1 - 1/20)^20 = 36 % of the groups are missing from a resample.
  assert (drawn == 0).mean() == pytest.approx(0.358, abs=0.01)


def test_a_file_is_whole_or_the_old_one(tmp_path, monkeypatch):
  path = tmp_path / 'deep' / 'a.json'
  atomic.write_json(path, {'a': 1})
  assert stat.S_IMODE(path.stat().st_mode) & 0o400
  with pytest.raises(ValueError, match='JSON'):
    atomic.write_json(path, {'a': float('nan')})

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(OSError, match='No space'):
    atomic.write_json(path, {'a': 2})
  assert json.loads(path.read_text()) == {'a': 1}
  assert [p.name for p in path.parent.iterdir()] == ['a.json']


def test_a_table_of_cells_is_written_row_by_row_and_stays_the_old_one_where_a_row_fails(tmp_path):
  rows = [('file', 'label'), ('a,"b".png', 1), ('größe\n2.png', 0.5)]
  path = tmp_path / 'a.csv'
  atomic.write_csv(path, iter(rows))
  with path.open(encoding='utf-8', newline='') as file:
    assert list(csv.reader(file)) == [[str(cell) for cell in row] for row in rows]
  assert path.read_bytes().count(b'\r') == 0
  assert atomic.is_intact(path)

  def failing():
    yield rows[0]
    raise types.RunError('the image is gone')

  before = path.read_bytes()
  with pytest.raises(types.RunError, match='gone'):
    atomic.write_csv(path, failing())
  assert path.read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == ['a.csv']


def batch(num: int) -> types.Batch:
  image_BHWC = np.arange(num, dtype=np.float32).reshape(num, 1, 1, 1) + 1
  return types.Batch(
    image_BHWC, np.ones((num, 2), np.float32), np.ones(num, np.float32), np.arange(num, dtype=np.int32)
  )


@pytest.mark.parametrize('num', [1, 4, 5, 7])
def test_every_row_is_in_one_shard_and_padding_has_no_weight(num):
  sharded = devices.shard(batch(num), devices.devices(2, 'pmap'), 0)
  assert sharded.weight_B.shape[0] == 2
  weight_B = sharded.weight_B.reshape(-1)
  assert weight_B.sum() == num
  np.testing.assert_array_equal(
    sharded.image_BHWC.reshape(-1)[weight_B > 0], batch(num).image_BHWC.reshape(-1)
  )


@pytest.mark.parametrize('num', [4, 5])
def test_a_function_gives_the_same_on_one_and_two_devices(num):
  def double(params, given):
    return params * given.image_BHWC.reshape(-1)

  for count, parallel in itertools.product((1, 2), devices.PARALLEL):
    apply = devices.make_apply(double, devices.devices(count, parallel))
    np.testing.assert_array_equal(apply(jnp.float32(2), batch(num)), 2 * np.arange(1, num + 1))


def test_more_devices_than_there_are_is_an_error_that_names_the_key():
  with pytest.raises(types.UserError, match=r'train\.num_devices is 99'):
    devices.devices(99, 'pmap')


def test_an_unknown_way_to_share_a_batch_is_an_error_that_names_the_key():
  with pytest.raises(types.UserError, match=r"train\.parallel is 'xmap'; choose one of pmap, jit"):
    devices.devices(1, 'xmap')


def run_set_up(**environment: str) -> dict[str, str]:
  code = (
    'import os; from bloodcell_jax.system import process; process.set_up(); process.set_up(); import json; '
  )
  code += 'import jax; jax.numpy.ones(3).sum(); print(json.dumps(dict(os.environ)))'
  own = ('XLA_FLAGS', 'TF_CPP_MIN_LOG_LEVEL', process.SWITCH, process.CACHE)
  clean = {name: value for name, value in os.environ.items() if name not in own}
  done = subprocess.run(
    [sys.executable, '-c', code], env={**clean, **environment}, capture_output=True, text=True, check=True
  )
  return json.loads(done.stdout)


def test_the_process_sets_itself_up_once_and_leaves_what_the_user_set(tmp_path):
  found = run_set_up(XDG_CACHE_HOME=str(tmp_path))
  # An unknown flag aborts the process, so only the versions that know it get it.
  known = importlib.metadata.version('jaxlib').startswith(('0.9.', '0.10.', '0.11.', '0.12.'))
  assert found.get('XLA_FLAGS', '') == (process.YNN if known else '')
  # Compiled programs are kept in the user's cache folder.
  if sys.platform == 'linux':
    assert found['JAX_COMPILATION_CACHE_DIR'].startswith(str(tmp_path))
  given = {
    'XLA_FLAGS': f'--xla_force_host_platform_device_count=2 {process.YNN}LIBRARY_FUSION_TYPE_DOT',
    'TF_CPP_MIN_LOG_LEVEL': '0',
    'JAX_COMPILATION_CACHE_DIR': str(tmp_path / 'elsewhere'),
  }
  assert found.items().isdisjoint(given.items())
  assert given.items() <= run_set_up(**given).items()


def test_xla_computes_reductions_itself():
  """With YNNPACK, two threads that run a program for the first time at once can crash."""
  optimized = jax.jit(lambda x: x.min((1, 2, 3))).lower(jnp.zeros((8, 32, 32, 3))).compile().as_text()
  assert 'reduce' in optimized
  assert 'ynn' not in optimized


def test_the_set_up_is_switched_off_by_a_variable():
  assert 'XLA_FLAGS' not in run_set_up(**{process.SWITCH: '1'})


def purposes(sources: Iterable[str]) -> Counter[str]:
  """How often each stream of random numbers is named where numbers are drawn."""
  calls = (node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
  return Counter(
    call.args[1].value
    for call in calls
    if ast.unparse(call.func) in ('rng.generator', 'rng.key') and isinstance(call.args[1], ast.Constant)
  )


def test_a_stream_of_random_numbers_has_one_purpose():
  folder = pathlib.Path(rng.__file__).parent.parent
  found = purposes(path.read_text() for path in folder.rglob('*.py'))
  assert {'order', 'dropout', 'init'} <= set(found)
  assert [name for name, times in found.items() if times > 1] == []
  assert purposes(["rng.generator(1, 'a')", "rng.key(2, 'a')"]) == {'a': 2}
