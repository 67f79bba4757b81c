"""The simulation of coverage runs, and tells an interval that covers from one that does not."""

from __future__ import annotations

import numpy as np

from benchmarks import coverage
from bloodcell_jax.stats import bootstrap, metrics

FIVE = coverage.Design((5, 5, 5, 5), 2.5, 1.0)


def test_the_simulation_gives_a_share_for_every_figure():
  found = coverage.cover(FIVE, trials=3, images=10, num_resamples=100, seed=0)
  assert set(found) == {figure.name for figure in metrics.FIGURES}
  assert all(0 <= shares['with_interval'] <= 1 for shares in found.values())


def test_an_interval_that_misses_the_truth_is_seen(monkeypatch):
  summary = bootstrap.summary

  def shifted(predictions, spec, seed):
    entry = summary(predictions, spec, seed)
    return {**entry, 'accuracy': {'value': 0.0, 'low': -2.0, 'high': -1.0}}

  monkeypatch.setattr(bootstrap, 'summary', shifted)
  found = coverage.cover(FIVE, trials=3, images=10, num_resamples=100, seed=0)
  assert found['accuracy']['reported'] == 0
  assert found['accuracy']['bootstrap'] > 0


def test_a_design_drawn_at_random_has_as_many_groups_as_asked_for():
  design = coverage.DESIGNS['12 at random']
  assert coverage.draw_groups(design, np.random.default_rng(0)).sum() == 12
  assert len(coverage.draw(design, 10, np.random.default_rng(0))) > 0


def test_the_design_of_low_accuracy_has_groups_whose_majority_is_right():
  found = coverage.draw(coverage.DESIGNS['8, low'], 400, np.random.default_rng(0))
  of_group, _ = metrics.sums(found)
  label_G, majority_G = metrics.majority(of_group)
  assert (found.probs_NK.argmax(1) == found.label_N).mean() < 0.6
  assert (label_G == majority_G).all()
