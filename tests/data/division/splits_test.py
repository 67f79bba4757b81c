"""The rows of each split."""

import numpy as np
import pytest

from bloodcell_jax.base import groups, types
from bloodcell_jax.data.division import splits


def _table(**parts):
  """For each split a list of (label, group); one row each."""
  split, label, group = zip(*((s, k, g) for s, rows in parts.items() for k, g in rows), strict=True)
  names = np.array([f'{i}.png' for i in range(len(split))], str)
  return types.Table(
    content=tuple(names),
    file=names,
    label=np.array(label, np.int32),
    source=names,
    group=np.array(group, str),
    split=np.array(split, str),
    digest=names,
    class_names=('EOSINOPHIL', 'MONOCYTE'),
    name='made',
    synthetic=True,
  )


def _rows(num_groups, first=0, copies=3):
  return [(k, f'{k}-{g}') for k in (0, 1) for g in range(first, first + num_groups) for _ in range(copies)]


def _share_a_group(table, a, b):
  return bool(set(table.group[a]) & set(table.group[b]))


def test_no_group_in_train_and_validation():
  table = _table(TRAIN=_rows(10), TEST=_rows(4, first=20))
  rows = splits.rows(table, 0.2, 0, 0)
  assert list(rows) == ['train', 'validation', 'test']
  assert not _share_a_group(table, rows['train'], rows['validation'])
  assert sorted([*rows['train'], *rows['validation']]) == np.flatnonzero(table.split == 'TRAIN').tolist()
  # The control: rows held out one by one tear groups apart.
  shuffled = np.random.default_rng(0).permutation(60)
  assert _share_a_group(table, shuffled[:48], shuffled[48:])


def test_validation_has_about_its_fraction_of_each_class():
  table = _table(TRAIN=_rows(10))
  rows = splits.rows(table, 0.2, 0, 0)
  assert np.bincount(table.label[rows['validation']]).tolist() == [6, 6]


@pytest.mark.parametrize('fraction', [0.3, 0.35, 0.4, 0.45, 0.15, 0.22])
def test_any_fraction_is_held_out_of_each_class_to_within_half_a_group(fraction):
  for num_groups in (7, 20, 51, 250):
    table = _table(TRAIN=_rows(num_groups))
    rows = splits.rows(table, fraction, 0, 0)
    assert not _share_a_group(table, rows['train'], rows['validation'])
    for count in np.bincount(table.label[rows['validation']], minlength=2):
      assert abs(count - fraction * 3 * num_groups) <= 1.5 + 1e-9
  # Negative control: of many groups one over a whole number is further away.
  assert abs(1 / round(1 / fraction) - fraction) * 3 * 250 > 1.5


@pytest.mark.parametrize('fraction', [0.3, 0.4])
def test_groups_of_any_size_and_of_both_classes_come_near_to_the_fraction(fraction):
  generator = np.random.default_rng(0)
  rows = [
    (int(generator.random() < 0.3), f'{g}') for g in range(40) for _ in range(generator.integers(1, 30))
  ]
  table = _table(TRAIN=rows)
  actual = [splits.rows(table, fraction, 0, seed)['validation'] for seed in (0, 0, 1)]
  assert actual[0].tolist() == actual[1].tolist()
  assert actual[0].tolist() != actual[2].tolist()
  for held in actual:
    share_K = np.bincount(table.label[held]) / np.bincount(table.label)
    np.testing.assert_allclose(share_K, fraction, atol=0.03)
    assert not _share_a_group(table, held, np.setdiff1d(np.arange(len(table)), held))


@pytest.mark.parametrize('num_parts', [2, 3, 4, 5, 10])
def test_one_over_a_whole_number_is_the_first_of_so_many_folds(num_parts):
  table = _table(TRAIN=_rows(12))
  held = groups.split(table.label, table.group, 1 / num_parts, 3)
  np.testing.assert_array_equal(held, groups.folds(table.label, table.group, num_parts, 3) == 0)


def test_the_seed_alone_decides():
  table = _table(TRAIN=_rows(10))
  first, again, other = (splits.rows(table, 0.2, 0, seed)['validation'].tolist() for seed in (0, 0, 1))
  assert first == again
  assert first != other


def test_the_data_s_own_splits_are_kept_whole_even_where_they_leak():
  table = _table(TRAIN=[*_rows(3), (0, 'shared')], VALIDATION=[*_rows(2, first=9), (0, 'shared')])
  rows = splits.rows(table, 0.2, 0, 0)
  for split in ('train', 'validation'):
    assert rows[split].tolist() == np.flatnonzero(table.split == split.upper()).tolist()
  assert _share_a_group(table, rows['train'], rows['validation'])


def test_without_a_test_split_one_is_held_out_that_shares_no_group():
  table = _table(TRAIN=_rows(12))
  rows = splits.rows(table, 0.25, 0.25, 0)
  assert list(rows) == ['train', 'validation', 'test']
  for a, b in (('train', 'test'), ('validation', 'test'), ('train', 'validation')):
    assert not _share_a_group(table, rows[a], rows[b])
  assert sum(len(r) for r in rows.values()) == len(table)
  assert 'test' not in splits.rows(table, 0.25, 0, 0)


def test_a_held_out_test_shares_no_group_with_validation_of_the_data():
  shared = [(k, f'{k}-{g}') for k in (0, 1) for g in range(4)]
  table = _table(TRAIN=_rows(8), VALIDATION=[*_rows(3, first=20), *shared])
  for seed in range(5):
    rows = splits.rows(table, 0.2, 0.25, seed)
    assert len(rows['validation']) == 26
    assert len(rows['train']) + len(rows['test']) == 48
    for a in ('train', 'validation'):
      assert not _share_a_group(table, rows[a], rows['test'])
    assert _share_a_group(table, rows['train'], rows['validation']), (
      'what leaks in the data is left to be seen'
    )


def test_a_class_that_validation_shows_whole_leaves_no_test_to_hold_out():
  table = _table(TRAIN=_rows(8), VALIDATION=[(1, f'1-{g}') for g in range(8)])
  with pytest.raises(types.UserError, match='class MONOCYTE: every group of TRAIN is in VALIDATION too'):
    splits.rows(table, 0.2, 0.25, 0)


def test_test_rows_of_the_data_are_never_trained_on_and_test_fraction_is_not_used():
  table = _table(TRAIN=_rows(8), TEST=_rows(8))
  rows = splits.rows(table, 0.25, 0.25, 0)
  test = set(np.flatnonzero(table.split == 'TEST'))
  assert set(rows['test']) == test
  assert not test & {*rows['train'], *rows['validation']}


def test_test_clean_leaves_out_the_groups_of_train_and_is_there_only_where_it_differs():
  seen = [(0, '0-0'), (1, '1-3')]
  rows = splits.rows(_table(TRAIN=_rows(5), TEST=[*_rows(2, first=9), *seen]), 0.2, 0, 0)
  assert len(rows['test']) == 14
  assert rows['test_clean'].tolist() == rows['test'][:12].tolist()
  assert 'test_clean' not in splits.rows(_table(TRAIN=_rows(5), TEST=_rows(2, first=9)), 0.2, 0, 0)
  assert 'test_clean' not in splits.rows(_table(TRAIN=_rows(5), TEST=seen), 0.2, 0, 0)


def test_other_splits_pass_through():
  table = _table(TRAIN=_rows(5), TEST_SIMPLE=_rows(1, first=8), ORIGINALS=_rows(2, first=8))
  rows = splits.rows(table, 0.2, 0, 0)
  assert {k: len(v) for k, v in rows.items() if k.startswith('test')} == {
    'test_simple': 6,
    'test_originals': 12,
  }


@pytest.mark.parametrize('key', ['data.validation_fraction', 'data.test_fraction'])
def test_too_few_groups_names_the_class_and_a_value_that_works(key):
  table = _table(TRAIN=[*_rows(6), *((0, f'more{g}') for g in range(5))])
  fractions = {'data.validation_fraction': (0.1, 0.0), 'data.test_fraction': (0.0, 0.1)}[key]
  with pytest.raises(types.UserError, match='class MONOCYTE') as caught:
    splits.rows(table, *fractions, 0)
  assert f'{key}=0.1' in str(caught.value)
  assert 'set it to 0.17 or more' in str(caught.value)
  assert '\n' not in str(caught.value)
  splits.rows(table, *(0.17 if f else 0 for f in fractions), 0)


def test_a_class_of_one_group_cannot_be_divided():
  with pytest.raises(types.UserError, match=r'class MONOCYTE.*cannot be divided'):
    splits.rows(_table(TRAIN=[*((0, f'g{g}') for g in range(9)), (1, 'only'), (1, 'only')]), 0.5, 0, 0)


def test_groups_of_several_classes_still_give_every_part_every_class():
  # Most groups show both classes, some only one.
  rng = np.random.default_rng(3)
  rows = [(int(k), f'g{g}') for g in range(14) for k in rng.integers(0, 2, int(rng.integers(1, 6)))]
  table = _table(TRAIN=rows)
  for seed in range(20):
    parts = splits.rows(table, 0.2, 0, seed)
    assert all(len(set(table.label[parts[s]])) == 2 for s in ('train', 'validation'))


@pytest.mark.parametrize('fraction', [-0.1, 0.6])
def test_a_fraction_out_of_range_names_its_key(fraction):
  with pytest.raises(types.UserError, match=r'data\.validation_fraction'):
    splits.rows(_table(TRAIN=_rows(5)), fraction, 0, 0)


def test_nothing_to_train_on_is_one_line():
  with pytest.raises(types.UserError, match='no image to train on'):
    splits.rows(_table(TEST=_rows(2)), 0.2, 0, 0)


def test_the_real_test_clean_has_2311_images(real_images):
  from bloodcell_jax.data.sources import kaggle

  table, _ = kaggle.table(str(real_images))
  rows = splits.rows(table, 0.2, 0, 0)
  sizes = {name: len(r) for name, r in rows.items()}
  assert sizes['train'] + sizes['validation'] == 9957
  assert {k: v for k, v in sizes.items() if k.startswith('test')} == {
    'test': 2487,
    'test_clean': 2311,
    'test_simple': 71,
    'test_originals': 71,
  }
  assert not _share_a_group(table, rows['train'], rows['validation'])
  assert not _share_a_group(table, rows['train'], rows['test_clean'])
  assert _share_a_group(table, np.concatenate([rows['train'], rows['validation']]), rows['test'])
