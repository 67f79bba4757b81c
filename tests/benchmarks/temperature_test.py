"""The weight of the uncertain group: what is fitted on few groups serves new images."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import temperature
from bloodcell_jax.stats import calibration


def mean_loss(signal: float, num_groups: int) -> float:
  """Of new images, over temperatures fitted on 12 validation sets, less that of the best temperature."""
  new = temperature.draw(np.random.default_rng(0), signal, 1.0, 2000, 1)
  sets = [temperature.draw(np.random.default_rng(s), signal, 1.0, num_groups, 4) for s in range(1, 13)]
  fitted = [calibration.fit_temperature(one, np.ones(len(one))) for one in sets]
  return float(np.mean([temperature.log_loss(new, value) for value in fitted])) - temperature.log_loss(
    new, 1.0
  )


def test_the_best_temperature_of_drawn_predictions_is_the_overconfidence():
  new = temperature.draw(np.random.default_rng(0), 2.5, 2.0, 4000, 1)
  assert calibration.fit_temperature(new, np.ones(len(new))) == pytest.approx(2.0, rel=0.05)


def test_few_groups_without_an_error_make_no_probability_certain(monkeypatch):
  accurate, others = mean_loss(3.5, 10), mean_loss(1.5, 25)
  assert accurate < 0.02
  monkeypatch.setattr(calibration, 'UNCERTAIN', 0.0)
  # Negative control; where there are errors, it makes no difference.
  assert mean_loss(3.5, 10) > 0.05
  assert mean_loss(1.5, 25) == pytest.approx(others, abs=0.005)


def test_the_weights_of_the_table_do_not_stay_behind(monkeypatch):
  monkeypatch.setattr(temperature, 'GROUPS', (10,))
  before = calibration.UNCERTAIN
  lines = temperature.rows(1)
  assert before == calibration.UNCERTAIN
  assert len(lines) == 2 + len(temperature.SIGNALS) * 2
