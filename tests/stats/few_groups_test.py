"""Intervals of figures that rest on few groups cover, and none is made up where there is nothing to go by."""

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.stats import bootstrap, intervals, metrics

SPEC = intervals.Spec(num_resamples=200, confidence=0.95, interval='bca', prevalence=())
NAMES = ('A', 'B', 'C')


def drawn(generator, num_K, size, right, spread=0.0):
  """Groups of one class each, of which a share near `right` of the images is classified as it, or as the next."""
  label_G = np.repeat(np.arange(len(num_K)), num_K).astype(np.int32)
  share_G = np.clip(generator.normal(right, spread, len(label_G)), 0, 1)
  group_N = np.repeat(np.arange(len(label_G)), size)
  label_N = label_G[group_N]
  right_N = generator.uniform(size=len(group_N)) < share_G[group_N]
  predicted_N = np.where(right_N, label_N, (label_N + 1) % len(num_K))
  sure_N1 = generator.uniform(0.5, 0.9, (len(group_N), 1))
  eye_KK = np.eye(len(num_K))
  probs_NK = sure_N1 * eye_KK[predicted_N] + (1 - sure_N1) / len(num_K)
  names = group_N.astype(str)
  return types.Predictions(probs_NK, label_N, names, np.arange(len(names)).astype(str), NAMES[: len(num_K)])


def test_an_accuracy_a_little_above_half_is_covered_although_every_majority_is_right():
  generator = np.random.default_rng(0)
  covered, by_majority = [], []
  for seed in range(60):
    entry = bootstrap.summary(drawn(generator, (4, 4), 200, 0.62), SPEC, seed)
    # With as many groups of either class all three have the same true value.
    figures = (entry['accuracy'], entry['per_class']['A']['recall'], entry['per_class']['A']['f1'])
    covered.append([figure['low'] <= 0.62 <= figure['high'] for figure in figures])
    low, _ = intervals.binomial(entry['by_group']['majority']['num_right'], 8, 0.95)
    by_majority.append(min(low, entry['accuracy']['value']) <= 0.62)
  assert np.mean(covered, axis=0).min() >= 0.9
  # Negative control: the interval of the majorities, widened to contain the figure, misses it half of the time.
  assert np.mean(by_majority) < 0.75


def test_other_groups_add_no_certainty_to_the_recall_of_a_class_of_few():
  """Their left-out values are equal, and would count as degrees of freedom."""
  generator = np.random.default_rng(1)
  covered = []
  for seed in range(60):
    entry = bootstrap.summary(drawn(generator, (3, 60), 60, 0.65, 0.1), SPEC, seed)
    recall = entry['per_class']['A']['recall']
    covered.append(recall['low'] <= 0.65 <= recall['high'])
  assert np.mean(covered) >= 0.9


@pytest.mark.parametrize(('num', 'is_few'), [(1, True), (2, True), (3, False)])
def test_a_mean_over_classes_is_not_resampled_where_a_class_has_one_or_two_groups(num, is_few):
  entry = bootstrap.summary(drawn(np.random.default_rng(2), (20, 20, num), 40, 0.8, 0.1), SPEC, 0)
  exceptions = entry['interval']['exceptions']
  for name in ('balanced_accuracy', 'macro_f1'):
    assert (exceptions.get(name) == bootstrap.JOINT) == is_few, name
  assert 'accuracy' not in exceptions
  # The recall of the class is as good as unknown, and counts a third.
  width = entry['balanced_accuracy']['high'] - entry['balanced_accuracy']['low']
  assert (width > 0.3) == is_few


def test_a_class_of_one_group_has_no_interval_of_its_roc_area():
  one, two = (
    bootstrap.summary(drawn(np.random.default_rng(3), (20, 20, num), 40, 0.8, 0.1), SPEC, 0)['per_class'][
      'C'
    ]['roc_auc']
    for num in (1, 2)
  )
  assert 0.5 < one['value'] < 1
  assert one['low'] is one['high'] is None
  # Negative control: two groups have one.
  assert two['low'] < two['value'] < two['high']


def test_students_interval_is_undefined_where_a_figure_is_without_some_group():
  left_out_G = np.array([0.7, 0.8, 0.9, 0.8])
  assert np.isfinite(intervals.student(0.8, left_out_G, 0.95)).all()
  assert np.isnan(intervals.student(0.8, np.append(left_out_G, np.nan), 0.95)).all()
  assert np.isnan(intervals.student(0.8, left_out_G[:1], 0.95)).all()


def test_the_interval_of_a_few_groups_contains_both_of_its_parts():
  found = drawn(np.random.default_rng(4), (4, 4), 50, 0.6, 0.3)
  entry = bootstrap.summary(found, SPEC, 0)
  of_group, _ = metrics.sums(found)
  left_out_G = metrics.figures(metrics.leave_one_out(of_group))['accuracy']
  student = intervals.student(entry['accuracy']['value'], left_out_G, 0.95)
  exact = intervals.binomial(entry['by_group']['majority']['num_right'], 8, 0.95)
  bounds = np.clip([min(student[0], exact[0]), max(student[1], exact[1])], 0, 1)
  assert (entry['accuracy']['low'], entry['accuracy']['high']) == pytest.approx(tuple(bounds))
