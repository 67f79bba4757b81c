"""What leaks between the splits of a data set, and what does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.division import leaks


def table(rows: list[tuple[str, str, str]]) -> types.Table:
  """Rows of (split, group, digest), each file named by its split and place."""
  split, group, digest = (np.array(column, str) for column in zip(*rows, strict=True))
  names = np.array([f'{s}/{i}.png' for i, s in enumerate(split)], str)
  label = np.zeros(len(rows), np.int32)
  return types.Table(tuple(names), names, label, names, group, split, digest, ('A',), 'made', True)


def rows(made: types.Table) -> dict[str, np.ndarray]:
  return {split.lower(): np.flatnonzero(made.split == split) for split in np.unique(made.split)}


CLEAN = [('TRAIN', f'g{i}', f'd{i}') for i in range(6)] + [('VALIDATION', 'v', 'v'), ('TEST', 't', 't')]


def actual(*more: tuple[str, str, str]) -> tuple[types.Table, leaks.Leaks]:
  made = table([*CLEAN, *more])
  return made, leaks.find(made, rows(made))


def test_a_clean_split_is_not_refused_and_has_no_note():
  made, none = actual()
  assert none.counts() == {'train_in_validation': 0, 'test_in_training': 0}
  assert leaks.note(none.counts()) == ''
  leaks.check(made, none)


def test_a_test_that_shares_a_group_but_no_image_is_not_refused():
  made, none = actual(('TEST', 'g1', 'another view'), ('TEST_SIMPLE', 'v', 'and another'))
  leaks.check(made, none)
  assert not any(none.counts().values())


def test_rows_of_train_in_groups_of_validation_are_named():
  made, some = actual(('VALIDATION', 'g2', 'x'), ('VALIDATION', 'g2', 'y'), ('TRAIN', 'g2', 'z'))
  assert some.counts() == {'train_in_validation': 2, 'test_in_training': 0}
  assert some.train.tolist() == [[2, 8], [10, 8]]
  with pytest.raises(types.UserError, match=r'data\.allow_leak=True') as caught:
    leaks.check(made, some)
  assert '2 training images share a photograph with validation' in str(caught.value)
  assert 'TRAIN/2.png and VALIDATION/8.png' in str(caught.value)
  assert '\n' not in str(caught.value)


def test_one_image_in_two_groups_leaks_as_well():
  _, some = actual(('VALIDATION', 'other', 'd2'))
  assert some.train.tolist() == [[2, 8]]


@pytest.mark.parametrize('split', ['TEST', 'TEST_SIMPLE', 'ORIGINALS'])
def test_rows_of_a_test_that_are_rows_of_train_or_validation_are_named(split):
  made, some = actual((split, 'other', 'd3'), (split, 'another', 'v'))
  assert some.test.tolist() == [[8, 3], [9, 6]]
  assert not len(some.train)
  with pytest.raises(types.UserError, match='2 test images are in training or validation') as caught:
    leaks.check(made, some)
  assert f'{split}/8.png and TRAIN/3.png' in str(caught.value)


def test_a_row_of_two_tests_counts_once():
  made = table([*CLEAN, ('TEST', 'other', 'd3')])
  by_split = rows(made)
  assert leaks.find(made, {**by_split, 'test_clean': by_split['test']}).counts()['test_in_training'] == 1


def test_of_many_pairs_the_first_are_named_and_all_are_counted():
  made, some = actual(*(('VALIDATION', f'g{i}', f'x{i}') for i in range(6)))
  with pytest.raises(types.UserError, match='6 training images') as caught:
    leaks.check(made, some)
  assert str(caught.value).count('TRAIN/') == leaks.MOST_NAMED == 2
  assert ', ...' in str(caught.value)


def test_several_divisions_count_each_row_once():
  _, some = actual(('VALIDATION', 'g2', 'x'))
  _, more = actual(('VALIDATION', 'g2', 'x'), ('VALIDATION', 'g4', 'x'))
  assert leaks.together([some, more, some]).train[:, 0].tolist() == [2, 4]


def test_a_table_without_training_rows_has_no_leak():
  made = table(CLEAN)
  assert not any(leaks.find(made, {'cells': np.arange(8)}).counts().values())


def test_the_real_images_are_not_refused(real_images):
  from bloodcell_jax.data.division import splits
  from bloodcell_jax.data.sources import kaggle

  made, _ = kaggle.table(str(real_images))
  divided = splits.rows(made, 0.2, 0, 0)
  leaks.check(made, leaks.find(made, divided))
  # The control: one training image that stands in TEST too.
  digest = made.digest.copy()
  digest[divided['test'][0]] = digest[divided['train'][0]]
  changed = dataclasses.replace(made, digest=digest)
  with pytest.raises(types.UserError, match='1 test image is'):
    leaks.check(changed, leaks.find(changed, divided))
