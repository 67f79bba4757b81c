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
