"""A straight line, a knee and noise are told apart."""

import numpy as np
import pytest

from benchmarks import growth_line

WORK = [10, 20, 50, 100, 200]


def costs(work=WORK, fixed=5.0, unit=0.3):
  return [fixed + unit * x for x in work]


def test_a_line_with_a_fixed_cost_is_straight_although_its_exponent_is_below_one():
  line = growth_line.judge(WORK, costs(), 0.0)
  assert line.is_straight
  assert (line.intercept, line.slope) == pytest.approx((5.0, 0.3))
  assert 0.5 < line.exponent < 0.9
  assert growth_line.sentence(line, WORK).startswith('straight within 1 %')
  assert growth_line.judge(WORK, costs(fixed=0), 0.0).exponent == pytest.approx(1)


def test_a_knee_is_named_with_what_it_costs_at_the_end():
  cost = costs()
  cost[3] *= 1.5
  cost[4] *= 2
  line = growth_line.judge(WORK, cost, 0.0)
  assert (line.knee, line.num_fitted, line.is_straight) == (100, 3, False)
  assert line.at(200) == pytest.approx(65)
  assert 'straight within 1 % to 50; from 100 on it costs more than the line: 2 times at 200' in (
    growth_line.sentence(line, WORK)
  )


def test_what_becomes_cheaper_is_said_to_cost_less():
  cost = costs()
  cost[4] *= 0.5
  line = growth_line.judge(WORK, cost, 0.0)
  assert line.knee == 200
  assert 'costs less than the line: 0.5 times' in growth_line.sentence(line, WORK)


def test_noise_that_falls_is_a_level_line_and_no_knee_beyond_all_measure():
  line = growth_line.judge([4, 10, 100, 1000], [550, 560, 500, 900], 0.0)
  assert (line.slope, line.knee) == (0, 1000)
  assert line.ratio == pytest.approx(900 / 535, rel=0.02)


def test_noise_is_no_knee():
  for seed in range(50):
    noise = 1 + 0.04 * np.random.default_rng(seed).uniform(-1, 1, len(WORK))
    line = growth_line.judge(WORK, np.array(costs()) * noise, 0.0)
    assert line.is_straight, seed


def test_measurements_that_vary_more_widen_what_counts_as_straight():
  cost = costs()
  cost[4] *= 1.3
  assert growth_line.judge(WORK, cost, 0.0).knee == 200
  line = growth_line.judge(WORK, cost, 0.2)
  assert line.is_straight
  assert 'repeated measurements differ by up to 20 %' in growth_line.sentence(line, WORK)


def test_a_square_is_no_straight_line_and_has_the_exponent_two():
  work = [1, 10, 100, 1000]
  line = growth_line.judge(work, [x**2 for x in work], 0.0)
  assert not line.is_straight
  assert line.exponent == pytest.approx(2)


def test_two_points_are_no_series():
  with pytest.raises(ValueError, match='3 or more'):
    growth_line.judge([1, 2], [1, 2], 0.0)
  with pytest.raises(ValueError, match='ascend'):
    growth_line.judge([1, 3, 2], [1, 2, 3], 0.0)
