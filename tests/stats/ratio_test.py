"""A ratio of sums over groups, with its interval."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from bloodcell_jax.stats import bootstrap, intervals

SPEC = intervals.Spec(num_resamples=2000, confidence=0.95, interval='bca', prevalence=())


def test_a_share_of_sums_has_the_interval_of_resampled_groups():
  generator = np.random.default_rng(0)
  kept_G = generator.integers(1, 40, 60)
  wrong_G = generator.binomial(kept_G, 0.3)
  got = bootstrap.ratio(wrong_G, kept_G, SPEC, seed=0)
  slow = scipy.stats.bootstrap(
    (wrong_G, kept_G), lambda a, b: a.sum(-1) / b.sum(-1), paired=True, vectorized=False, n_resamples=2000,
    rng=np.random.default_rng(1), method='BCa',
  ).confidence_interval  # fmt: skip
  assert got['value'] == pytest.approx(wrong_G.sum() / kept_G.sum())
  assert (got['low'], got['high']) == pytest.approx((slow.low, slow.high), abs=0.01)
  assert bootstrap.ratio(wrong_G, 0 * kept_G, SPEC, 0) == {'value': None, 'low': None, 'high': None}
  few = bootstrap.ratio(wrong_G[:4], kept_G[:4], SPEC, 0)
  assert 0 <= few['low'] < few['value'] < few['high'] <= 1


def test_groups_that_all_agree_on_a_share_are_no_certainty():
  kept_G = np.array([3, 1, 4, 0, 5])
  none, all_of_them = bootstrap.ratio(0 * kept_G, kept_G, SPEC, 0), bootstrap.ratio(kept_G, kept_G, SPEC, 0)
  # Four groups have an image: 1 - 0.025 ** (1 / 4).
  assert none == {'value': 0.0, 'low': 0.0, 'high': pytest.approx(0.602, abs=1e-3)}
  assert all_of_them == {'value': 1.0, 'low': pytest.approx(0.398, abs=1e-3), 'high': 1.0}
  assert bootstrap.ratio(kept_G, 2 * kept_G, SPEC, 0) == {'value': 0.5, 'low': None, 'high': None}
