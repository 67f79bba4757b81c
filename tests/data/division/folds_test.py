"""The rows of the folds of a cross-validation."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import folds

COPIES, GROUPS, NUM = 3, (12, 12, 24), 4  # images a group, groups of each class, folds


def data(**changes) -> dataset.Dataset:
  """Three classes; the last groups of each are VALIDATION of the data, and a test stands beside them."""
  rows = [
    (k, f'{k}-{g}', g >= num - 2) for k, num in enumerate(GROUPS) for g in range(num) for _ in range(COPIES)
  ]
  label, group, own = (np.array(column) for column in zip(*rows, strict=True))
  split = np.where(own, 'VALIDATION', 'TRAIN')
  label, group = np.append(label, [0, 1, 2]), np.append(group, ['t0', 't1', 't2'])
  split = np.append(split, ['TEST'] * 3)
  names = np.array([f'{i}.png' for i in range(len(label))])
  table = types.Table(
    tuple(names), names, label.astype(np.int32), names, group, split, names, ('A', 'B', 'C'), 'made', True
  )
  actual = {'train': 'TRAIN', 'validation': 'VALIDATION', 'test': 'TEST'}
  by_split = {name: np.flatnonzero(split == s) for name, s in actual.items()}
  return dataset.Dataset(table, np.zeros((len(label), 1, 1, 3), np.uint8), by_split, [], [], ())


def divide(whole: dataset.Dataset, num: int, fold: int, seed: int = 0) -> dataset.Dataset:
  return whole.with_rows(folds.divide(whole.table, whole.rows, folds.Spec(num, fold), 0.25, seed))


def divided(seed: int = 0) -> list[dataset.Dataset]:
  return [divide(data(), NUM, k, seed) for k in range(1, NUM + 1)]


def shared(part: dataset.Dataset, a: str, b: str) -> bool:
  return bool(set(part.table.group[part.rows[a]]) & set(part.table.group[part.rows[b]]))


def test_every_row_of_train_and_validation_is_held_out_once():
  parts = divided()
  held = np.concatenate([part.rows['fold'] for part in parts])
  assert sorted(held) == np.flatnonzero(parts[0].table.split != 'TEST').tolist()
  for part in parts:
    used = np.concatenate([part.rows[name] for name in ('train', 'validation', 'fold')])
    assert sorted(used) == sorted(held)
    assert part.rows['test'].tolist() == data().rows['test'].tolist()


def test_no_group_of_a_fold_is_in_its_train_or_validation():
  for part in divided():
    for a, b in (('fold', 'train'), ('fold', 'validation'), ('train', 'validation')):
      assert not shared(part, a, b)
  # The control: rows dealt one by one tear groups apart.
  part = divided()[0]
  order = np.random.default_rng(0).permutation(sum(GROUPS) * COPIES)
  assert shared(dataset.Dataset(part.table, part.image_NHWC, {'fold': order[:36], 'train': order[36:]}, [], [], ()),
                'fold', 'train')  # fmt: skip


def test_every_fold_has_its_share_of_each_class():
  for part in divided():
    assert np.bincount(part.table.label[part.rows['fold']]).tolist() == [n * COPIES // NUM for n in GROUPS]
    assert len(set(part.table.label[part.rows['validation']])) == len(GROUPS)


def test_the_seed_alone_decides():
  first, again, other = (divided(seed) for seed in (0, 0, 1))
  assert [part.fingerprint() for part in first] == [part.fingerprint() for part in again]
  assert [part.fingerprint() for part in first] != [part.fingerprint() for part in other]
  whole = divide(data(), NUM, 0)
  assert list(whole.rows) == ['train', 'test']
  after = divide(whole, NUM, 2)
  assert after.fingerprint() == first[1].fingerprint(), 'divided before or not'


def test_without_folds_the_data_stays_as_it_is():
  whole = data()
  assert divide(whole, 0, 0).fingerprint() == whole.fingerprint()


def test_too_many_folds_name_the_key_and_the_class():
  with pytest.raises(types.UserError, match=r'class A has 12 groups .*train\.folds=13') as caught:
    divide(data(), 13, 1)
  assert '\n' not in str(caught.value)
