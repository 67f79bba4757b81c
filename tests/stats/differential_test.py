"""The intervals of a differential count hold together as often as they say."""

import numpy as np
import pytest

from bloodcell_jax.stats import differential


def test_all_shares_lie_in_their_intervals_as_often_as_promised_and_single_ones_would_not():
  generator = np.random.default_rng(0)
  share_K = np.array([0.03, 0.3, 0.07, 0.6])
  held = {'together': 0, 'single': 0}
  for count_K in generator.multinomial(200, share_K, 1000):
    for kind, confidence in (('together', 0.95), ('single', 1 - 4 * 0.05)):
      low_K, high_K = differential.intervals(count_K, confidence).T
      held[kind] += bool(((low_K <= share_K) & (share_K <= high_K)).all())
  assert held['together'] >= 940
  # Negative control: intervals that are right one at a time miss one of four far more often.
  assert held['single'] < 900


def test_more_cells_know_more_and_none_know_nothing():
  few, many = (differential.intervals(np.array([1, 3]) * times, 0.95) for times in (10, 1000))
  assert (np.diff(many) < np.diff(few) / 5).all()
  np.testing.assert_array_equal(differential.intervals([0, 0], 0.95), [[0, 1], [0, 1]])
  for low, high in few:
    assert 0 <= low < high <= 1
  assert differential.intervals([0, 50], 0.95)[0, 0] == pytest.approx(0, abs=1e-9)
