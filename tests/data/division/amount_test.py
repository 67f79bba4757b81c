"""A few photographs, and a few images of each."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.data.division import amount
from bloodcell_jax.runs import run_data
from configs import default

NUM = (1, 2, 5, 9)  # images of each photograph


def table() -> types.Table:
  source = np.repeat([f'p{i}' for i in range(len(NUM))], NUM)
  source = source[np.random.default_rng(0).permutation(len(source))]
  name = np.array([f'{i}.png' for i in range(len(source))])
  label, split = np.zeros(len(source), np.int32), np.full(len(source), 'TRAIN')
  return types.Table(tuple(name), name, label, source, source, split, name, ('A',), 'drawn', True)


def count(rows) -> dict[str, int]:
  return dict(zip(*np.unique(table().source[rows], return_counts=True), strict=True))


def test_every_photograph_stays_with_at_most_so_many_images():
  rows = np.arange(sum(NUM))
  assert count(amount.few_copies(table(), rows, 4, 0)) == {'p0': 1, 'p1': 2, 'p2': 4, 'p3': 4}
  assert count(rows) != count(amount.few_copies(table(), rows, 4, 0)), 'without it there are more'
  np.testing.assert_array_equal(amount.few_copies(table(), rows, 9, 0), rows)


def test_the_rows_depend_on_the_seed_alone_and_are_ascending():
  rows = np.arange(1, sum(NUM))
  first, again, other = (amount.few_copies(table(), rows, 2, seed).tolist() for seed in (3, 3, 4))
  assert first == again == sorted(first)
  assert first != other
  assert set(first) <= set(rows.tolist())


def smears() -> types.Table:
  """40 photographs of two images, of three classes: 24, 12 and 4 photographs."""
  group = np.repeat([f'p{i:02}' for i in range(40)], 2)
  label = np.repeat(np.repeat([0, 1, 2], [24, 12, 4]), 2).astype(np.int32)
  order = np.random.default_rng(0).permutation(80)
  name, split = np.array([f'{i}.png' for i in range(80)]), np.full(80, 'TRAIN')
  group, label = group[order], label[order]
  return types.Table(tuple(name), name, label, group, group, split, name, ('A', 'B', 'C'), 'drawn', True)


def photographs(rows) -> list[int]:
  """The number of photographs of each class, all of whose images are there."""
  table = smears()
  group_G, size_G = np.unique(table.group[rows], return_counts=True)
  assert (size_G == 2).all()
  label_of = dict(zip(table.group, table.label, strict=True))
  return np.bincount([label_of[group] for group in group_G], minlength=3).tolist()


def test_few_groups_have_every_class_in_its_share():
  rows = np.arange(80)
  assert photographs(amount.few_groups(smears(), rows, 3, 0)) == [1, 1, 1]
  assert photographs(amount.few_groups(smears(), rows, 20, 0)) == [12, 6, 2]
  assert photographs(amount.few_groups(smears(), rows[::-1], 20, 0)) == [12, 6, 2]
  np.testing.assert_array_equal(amount.few_groups(smears(), rows, 41, 0), rows)
  with pytest.raises(
    types.UserError, match=r'train\.max_groups is 2, and so few groups lack the class C; raise it'
  ):
    amount.few_groups(smears(), rows, 2, 0)


def test_fewer_groups_are_a_part_of_more_and_depend_on_the_seed():
  rows = np.arange(80)
  chosen = [set(amount.few_groups(smears(), rows, most, 5).tolist()) for most in (3, 10, 25)]
  assert chosen[0] < chosen[1] < chosen[2]
  assert chosen[1] == set(amount.few_groups(smears(), rows, 10, 5).tolist())
  assert chosen[1] != set(amount.few_groups(smears(), rows, 10, 6).tolist())


@pytest.mark.parametrize('folds', [{}, {'train.folds': 3, 'train.fold': 2}])
def test_training_alone_takes_few_groups(folds):
  keys = {'train.max_groups': 8}
  few, all_of_them = divided(**folds, **keys), divided(**folds)
  assert len(few['train']) == 8 * 6 < len(all_of_them['train'])
  assert set(few['train']) < set(all_of_them['train'])
  for name in all_of_them.keys() - {'train'}:
    np.testing.assert_array_equal(few[name], all_of_them[name])


def test_all_folds_together_have_every_photograph_for_one_of_them_holds_it_out():
  keys = {'train.folds': 3}
  np.testing.assert_array_equal(divided(**keys, **{'train.max_groups': 8})['train'], divided(**keys)['train'])


def divided(**keys) -> dict[str, np.ndarray]:
  """The rows of the splits of a run of 12 photographs of each class, with 6 copies."""
  config = experiment.flat(default.get_config())
  config.update({
    'data.embedded.num_train': 12, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 6,
    'data.embedded.height': 32, 'data.embedded.width': 32, 'data.image_size': 8, **keys,
  })  # fmt: skip
  exp = experiment.from_flat(config)
  data = reading.build(exp.data, exp.division_seed, '/nonexistent', lambda done, total: None)
  return run_data.divide(data, exp).rows


@pytest.mark.parametrize('most', [0, 2])
def test_a_fold_that_is_read_alone_has_the_rows_that_it_was_trained_on(most):
  keys = {'train.folds': 3, 'train.max_copies': most}
  together, alone = divided(**keys), divided(**keys, **{'train.fold': 1})
  union = np.concatenate([alone[name] for name in ('train', 'validation', 'fold')])
  np.testing.assert_array_equal(np.sort(union), together['train'])
  assert len(union) == (96 if most else 288), 'negative control: without a limit all copies stay'


def test_a_bag_has_a_group_as_often_as_it_was_drawn():
  keys = {'ensemble.method': 'bagging', 'ensemble.members': 3, 'ensemble.member': 1}
  per_row = [
    np.unique(divided(**keys, **{'train.max_copies': most})['train'], return_counts=True)[1]
    for most in (0, 2)
  ]
  # The same groups are drawn, each row of them as often.
  assert per_row[1].max() > 1
  np.testing.assert_array_equal(np.bincount(per_row[0]) / 3, np.bincount(per_row[1]))


def test_a_run_takes_so_many_images_in_train_and_validation_and_all_in_test():
  config = experiment.flat(default.get_config())
  config.update({
    'data.embedded.num_train': 4, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 3,
    'data.validation_fraction': 0.5, 'data.embedded.height': 32, 'data.embedded.width': 32, 'data.image_size': 8,
  })  # fmt: skip
  sizes = {}
  for most in (0, 2):
    exp = experiment.resolve(experiment.nest({**config, 'train.max_copies': most}))
    data = reading.build(exp.data, exp.division_seed, '/nonexistent', lambda done, total: None)
    sizes[most] = {name: len(rows) for name, rows in run_data.divide(data, exp).rows.items()}
  assert {name: sizes[2][name] / num for name, num in sizes[0].items() if name in ('train', 'validation')} == {
    'train': pytest.approx(2 / 3), 'validation': pytest.approx(2 / 3),
  }  # fmt: skip
  assert sizes[2]['test'] == sizes[0]['test']
  for key in ('train.max_copies', 'train.max_groups'):
    with pytest.raises(types.UserError, match=rf'{key} is -1; it must be 1 or more, or 0 for all'):
      experiment.resolve(experiment.nest({**config, key: -1}))
