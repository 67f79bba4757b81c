"""A few images of each photograph."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.data.division import copies
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
  assert count(copies.few(table(), rows, 4, 0)) == {'p0': 1, 'p1': 2, 'p2': 4, 'p3': 4}
  assert count(rows) != count(copies.few(table(), rows, 4, 0)), 'without it there are more'
  np.testing.assert_array_equal(copies.few(table(), rows, 9, 0), rows)


def test_the_rows_depend_on_the_seed_alone_and_are_ascending():
  rows = np.arange(1, sum(NUM))
  first, again, other = (copies.few(table(), rows, 2, seed).tolist() for seed in (3, 3, 4))
  assert first == again == sorted(first)
  assert first != other
  assert set(first) <= set(rows.tolist())


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
  with pytest.raises(types.UserError, match=r'train\.max_copies is -1; it must be 1 or more, or 0 for all'):
    experiment.resolve(experiment.nest({**config, 'train.max_copies': -1}))
