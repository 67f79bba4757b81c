"""Figures at a prevalence: its shares are those of every resample, so that they add no uncertainty."""

import dataclasses

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.stats import bootstrap, intervals, metrics, resamples

PREVALENCE = (0.2, 0.3, 0.5)
SPEC = intervals.Spec(num_resamples=100, confidence=0.95, interval='bca', prevalence=PREVALENCE)


def drawn(seed, num_groups=12):
  """Three classes; every fourth group has images of two."""
  generator = np.random.default_rng(seed)
  group_N = np.repeat(np.arange(num_groups), generator.integers(1, 8, num_groups))
  label_N = group_N % 3
  label_N = np.where((group_N % 4 == 0) & (generator.uniform(size=len(group_N)) < 0.5), 0, label_N)
  probs_NK = generator.dirichlet(np.ones(3), len(group_N)) + 0.6 * np.eye(3)[label_N]
  probs_NK /= probs_NK.sum(1, keepdims=True)
  names = group_N.astype(str)
  files = np.arange(len(names)).astype(str)
  return types.Predictions(probs_NK, label_N.astype(np.int32), names, files, ('A', 'B', 'C'))


def of_rows(found, rows):
  """The figures of some rows, weighted to the prevalence."""
  chosen = found.take(rows)
  sums, _ = metrics.sums(chosen, metrics.prevalence_weights(chosen, PREVALENCE))
  return metrics.figures(metrics.combine(sums, np.ones((1, len(sums.log_loss)))))


def test_each_resample_and_each_set_without_a_group_is_weighted_by_itself():
  found = drawn(0)
  names = np.unique(found.group_N)
  rows_of = [np.flatnonzero(found.group_N == name) for name in names]
  computed = resamples.Figures.at_prevalence(found, SPEC, 7)
  times_RG = next(resamples.blocks(len(names), SPEC.num_resamples, 7))
  sets = {
    'value': [(np.arange(len(found)), 0)],
    'drawn': [
      (np.concatenate([rows_of[g] for g in np.repeat(range(12), times_RG[r])]), r) for r in range(10)
    ],
    'left_out': [(np.concatenate([rows for h, rows in enumerate(rows_of) if h != g]), g) for g in range(12)],
  }
  for part, cases in sets.items():
    for rows, i in cases:
      assert len(np.unique(found.label_N[rows])) == 3
      for name, expected in of_rows(found, rows).items():
        got = getattr(computed, part)[name][i]
        np.testing.assert_allclose(got, expected[0], rtol=1e-9, err_msg=f'{part} {name} {i}')
  # Negative control: weighted as the whole set is, a resample has another figure.
  whole, _ = metrics.sums(found, metrics.prevalence_weights(found, PREVALENCE))
  fixed = metrics.figures(metrics.combine(whole, times_RG))['accuracy']
  assert np.abs(fixed[:10] - computed.drawn['accuracy'][:10]).max() > 0.01


def test_groups_that_differ_in_their_class_alone_leave_no_doubt_at_known_shares():
  """Each group of a class has the same images, so that the shares of the classes are all that resamples differ in."""
  label_N = np.repeat(np.arange(30) % 3, 4).astype(np.int32)
  wrong_N = np.arange(120) % 4 < np.array([0, 1, 2])[label_N]
  probs_NK = 0.1 + 0.7 * np.eye(3)[(label_N + wrong_N) % 3]
  names = np.repeat(np.arange(30), 4).astype(str)
  found = types.Predictions(probs_NK, label_N, names, np.arange(120).astype(str), ('A', 'B', 'C'))
  entry = bootstrap.summary(found, dataclasses.replace(SPEC, num_resamples=500), 0)
  at = entry['at_prevalence']['accuracy']
  assert at['value'] == pytest.approx(0.2 + 0.3 * 0.75 + 0.5 * 0.5)
  assert at['low'] is at['high'] is None
  # Negative control: the accuracy of a set whose shares are drawn varies.
  assert entry['accuracy']['high'] - entry['accuracy']['low'] > 0.05


def test_a_resample_without_a_class_has_the_other_shares_in_proportion():
  found = drawn(0)
  computed = resamples.Figures.at_prevalence(found, SPEC, 7)
  times_RG = next(resamples.blocks(12, SPEC.num_resamples, 7))
  has_RK = metrics.combine(metrics.sums(found)[0], times_RG).actual_K > 0
  lacking = np.flatnonzero(~has_RK.all(1))
  assert 0 < len(lacking) < SPEC.num_resamples
  for r in lacking:
    recall_K = computed.drawn['recall'][r]
    share_K = np.where(has_RK[r], PREVALENCE, 0) / np.dot(has_RK[r], PREVALENCE)
    assert computed.drawn['accuracy'][r] == pytest.approx(np.nansum(share_K * recall_K))
