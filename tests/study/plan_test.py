"""The plan: what a time gives each row, what is left, and the correction by what runs really took."""

from __future__ import annotations

import re

import pytest
import tiny

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import cost
from bloodcell_jax.study import budget, plan, run_folder

COUNTS = cost.Counts(train=100, validation=20, scored=60)
LONG = {**tiny.TINY, 'train.steps_per_epoch': 200, 'train.epochs': 30}


class Clock:
  """Seconds that a test sets."""

  def __init__(self):
    self.now = 0.0

  def __call__(self):
    return self.now


def study(tmp_path, *names):
  make = tiny.study.row
  rows = tiny.rows(*(make('N', name, name, tiny.DEFAULT, LONG) for name in names or ('a', 'b', 'c')))
  return run_folder.runs(rows, [0], tmp_path)


def planned(runs, text, clock, update=0.1, began=0.0):
  costs = {
    cost.key(experiment.from_flat(run.row.flat)): cost.Cost((update,), 0.0, 0.001, False) for run in runs
  }
  return plan.Plan(runs, costs, COUNTS, budget.parse(text), began, clock)


def test_a_time_gives_every_row_the_same_share_and_ends_in_time(tmp_path):
  runs, clock = study(tmp_path), Clock()
  made = planned(runs, '10m', clock)
  lengths = []
  for run in runs:
    length = made.begin(run)
    clock.now += cost.OVERHEAD + 0.1 * length.updates
    made.end(run, length, False)
    lengths.append(length)
  assert len(set(lengths)) == 1
  assert 0.8 * 600 < clock.now <= 600
  longer = planned(study(tmp_path), '20m', Clock())
  assert longer.share() > 1.5 * planned(study(tmp_path), '10m', Clock()).share()


def test_what_was_spent_before_the_plan_counts(tmp_path):
  runs = study(tmp_path)
  late = Clock()
  late.now = 200.0
  assert planned(runs, '10m', late).share() < 0.8 * planned(runs, '10m', Clock()).share()
  assert planned(runs, '10m', late, began=200.0).share() == pytest.approx(
    planned(runs, '10m', Clock()).share()
  )


def test_rows_that_take_longer_than_estimated_shorten_those_that_follow(tmp_path):
  runs, clock = study(tmp_path), Clock()
  made = planned(runs, '10m', clock)
  first = made.begin(runs[0])
  clock.now += 3 * (cost.OVERHEAD + 0.1 * first.updates)
  made.end(runs[0], first, False)
  second = made.begin(runs[1])
  assert second.updates < 0.5 * first.updates


def test_a_time_longer_than_the_study_gives_each_row_its_own_length(tmp_path):
  runs = study(tmp_path)
  assert planned(runs, '40h', Clock()).begin(runs[0]) == budget.read_length(runs[0].row.flat)


def test_a_run_that_has_begun_keeps_its_length_and_counts_only_for_its_rest(tmp_path):
  runs = study(tmp_path)
  before = planned(runs, '0.1', Clock()).left()
  tiny.begin(runs[0], 2, budget.Length(200, (3,)))
  made = planned(runs, '0.1', Clock())
  assert made.begin(runs[0]) == budget.Length(200, (3,))
  assert made.left() < before - 0.6 * 60


def test_a_time_for_which_even_the_shortest_rows_are_too_long_is_refused(tmp_path):
  runs = study(tmp_path)
  with pytest.raises(
    types.UserError, match='budget is 1m, and 3 runs of a few updates each take about 8 min'
  ):
    planned(runs, '1m', Clock(), update=50.0)
  planned(runs, '1m', Clock(), update=1.0)


def test_a_run_that_failed_at_once_says_nothing_about_the_others(tmp_path):
  runs, clock = study(tmp_path), Clock()
  made = planned(runs, '10m', clock)
  share = made.share()
  made.end(runs[0], made.begin(runs[0]), True)
  assert made.share() >= share
  assert (made.num_done, made.total) == (1, 3)


@pytest.mark.parametrize(('text', 'names'), [('1s', ('a',)), ('1s', ('a', 'b'))])
def test_a_time_of_seconds_is_refused_with_seconds_and_what_it_asks_for_is_enough(tmp_path, text, names):
  runs = study(tmp_path, *names)
  with pytest.raises(types.UserError) as refused:
    planned(runs, text, Clock())
  takes = {1: '1 run of a few updates takes', 2: '2 runs of a few updates each take'}[len(names)]
  seconds = re.search(rf'budget is 1s, and {takes} about (\d+) s; give more', str(refused.value))[1]
  assert 1 < int(seconds) < 60
  planned(runs, f'{seconds}s', Clock())


def test_both_kinds_of_trees_of_a_network_are_fitted_at_once_and_counted_once(tmp_path):
  make = tiny.study.row
  fitted = [
    make('N', kind, kind, trees=kind, features_of=name)
    for kind, name in (('random_forest', 'a'), ('hist_gradient_boosting', 'a'))
  ]
  network, other = (make('N', name, name, tiny.DEFAULT, LONG) for name in 'ab')
  runs = run_folder.runs(tiny.rows(network, other, *fitted), [0], tmp_path)
  forest, clock = runs[2], Clock()
  assert planned(runs, '0.1', clock).left() == planned(runs[:3], '0.1', clock).left()
  assert planned(runs[:3], '0.1', clock).left() > planned(runs[:2], '0.1', clock).left() + cost.OVERHEAD
  # Those of another seed are others.
  seeds = run_folder.runs([forest.row], [0, 1], tmp_path)
  assert planned(seeds, '0.1', clock).left() == pytest.approx(2 * planned(seeds[:1], '0.1', clock).left())
  made = planned(runs, '0.1', clock)
  for run in runs[:3]:
    made.end(run, made.begin(run), False)
  made.leave_out(runs[3])
  assert (made.num_done, made.total, made.left()) == (4, 4, 0.0)
