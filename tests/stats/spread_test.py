"""Mean and spread of several runs."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.stats import spread


def test_mean_and_spread_are_numpy_s():
  values = np.random.default_rng(0).random(5)
  found = spread.summarize(values.tolist())
  assert found['values'] == values.tolist()
  assert found['mean'] == pytest.approx(values.mean(), rel=1e-15)
  assert found['sd'] == pytest.approx(values.std(ddof=1), rel=1e-15)
  assert found['sd'] != pytest.approx(values.std(), rel=1e-3), 'the other divisor is seen'


def test_what_one_run_could_not_compute_has_no_mean():
  assert spread.summarize([0.5, None]) == {'values': [0.5, None], 'mean': None, 'sd': None}
