"""What --budget, --seeds and --rows mean, and the length a share gives."""

from __future__ import annotations

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import study as study_config
from bloodcell_jax.study import budget
from bloodcell_jax.study.budget import Length
from configs import study

ROWS = study_config.resolve(study.get_config())
STUDY = Length(200, (30,))


def test_the_whole_share_is_the_rows_own_length():
  for row in ROWS:
    own = budget.read_length(row.flat)
    assert budget.scaled(own, 1.0) == own
  assert budget.scaled(STUDY, 0.5) != STUDY, 'half of it is another'


@pytest.mark.parametrize('share', [0.9, 0.5, 0.1, 0.05, 0.01, 0.003])
def test_a_share_of_a_length_is_that_share_of_its_updates(share):
  for own in (STUDY, Length(150, (80,)), Length(180, (70,)), Length(199, (6, 6))):
    got = budget.scaled(own, share)
    assert got.updates == pytest.approx(
      share * own.updates, rel=0.12, abs=len(own.epochs) * budget.LEAST_EPOCHS
    )
    assert got.steps <= own.steps
    assert all(1 <= mine <= whole for mine, whole in zip(got.epochs, own.epochs, strict=True))


def test_a_small_share_keeps_a_few_epochs_and_the_smallest_one_update_a_stage():
  assert budget.scaled(STUDY, 0.05) == Length(100, (3,))
  assert budget.scaled(Length(199, (6, 6)), 0.01) == Length(4, (3, 3))
  assert budget.scaled(STUDY, 1e-9) == Length(1, (1,))
  assert budget.scaled(STUDY, budget.shortest(STUDY)) == Length(1, (3,))


def test_a_length_written_to_a_config_is_read_from_it():
  for row in ROWS:
    own = budget.read_length(row.flat)
    other = Length(7, tuple(range(1, len(own.epochs) + 1)))
    assert budget.read_length(budget.with_length(row.flat, other)) == other
    assert budget.read_length(row.flat) == own


def test_the_studys_lengths_are_those_of_the_study():
  lengths = {row.name: str(budget.read_length(row.flat)) for row in ROWS if not row.trees}
  assert lengths['cnn_b-rmsprop'] == lengths['cnn_a-sgd'] == '30 x 200'
  assert lengths['cnn_b-long'] == '80 x 150'
  assert lengths['cnn_b-augmented'] == '70 x 180'
  assert lengths['vgg16-crop-sgd'] == '6 + 6 x 199'


def test_a_share_without_an_update_is_refused_with_the_row_and_the_least_share():
  own = {'long': STUDY, 'short': Length(10, (2, 1))}
  with pytest.raises(
    types.UserError, match=r'budget is 0\.05, .*row short \(2 \+ 1 x 10\); the least is 0\.1'
  ):
    budget.check(budget.parse('0.05'), own, 2)
  budget.check(budget.parse('0.1'), own, 2)
  with pytest.raises(types.UserError, match=r'row short .*; the least is 0\.1'):
    budget.check(budget.parse('0.0001'), own, 2)
  with pytest.raises(types.UserError, match=r'the least is 0\.00008$'):
    budget.check(budget.parse('0.00001'), {'long': Length(180, (70,))}, 1)
  budget.check(budget.parse('0.00008'), {'long': Length(180, (70,))}, 1)
  with pytest.raises(types.UserError, match='for 200 networks'):
    budget.check(budget.parse('2m'), own, 200)
  budget.check(budget.parse('2m'), own, 100)


@pytest.mark.parametrize('text', ['', '0', '-1', 'x', '1d', '0m', '1e3', 'nan', '5%'])
def test_what_is_no_budget_is_refused(text):
  with pytest.raises(types.UserError, match='budget is'):
    budget.parse(text)


@pytest.mark.parametrize('text', ['', '0', 'x', '-1', '1.5', '5000', f'0,{2**32}'])
def test_what_are_no_seeds_is_refused(text):
  with pytest.raises(types.UserError, match='seeds is'):
    budget.seeds(text)


def test_patterns_select_rows_in_the_order_of_the_table_and_an_unknown_one_names_the_nearest():
  names = [row.name for row in ROWS]
  assert budget.select(['vgg16-*head', 'cnn_a-*'], names) == [
    'cnn_a-rmsprop',
    'cnn_a-adam',
    'cnn_a-sgd',
    'vgg16-head',
    'vgg16-crop-head',
  ]
  assert budget.select([], names) == names
  with pytest.raises(types.UserError, match=r"rows has 'cnn_b-rmspro', .* did you mean cnn_b-rmsprop\?"):
    budget.select(['cnn_a-*', 'cnn_b-rmspro'], names)


def test_the_networks_of_a_stacked_ensemble_are_counted_with_those_of_its_folds():
  by_name = {row.name: budget.num_trainings(row.flat) for row in ROWS}
  assert (by_name['cnn_a-sgd'], by_name['averaged'], by_name['stacked']) == (1, 3, 9)
