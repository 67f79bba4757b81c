"""Two models on the same images: a true difference is found, a false one seldom, other rows are refused."""

import dataclasses

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.stats import intervals, metrics, paired

SPEC = intervals.Spec(num_resamples=500, confidence=0.95, interval='bca', prevalence=())


def compare(first, second, spec, seed):
  return paired.compare(first, second, paired.headlines(), spec, seed)


def pair(seed, num_groups=30, size=12, gain=0.0, by_group=0.3):
  """Two models' answers; each model has groups that suit it, and the second is right `gain` more often."""
  generator = np.random.default_rng(seed)
  group_N = np.repeat(np.arange(num_groups), size)
  label_N = (group_N % 2).astype(np.int32)
  file_N = np.array([f'{i:04d}.jpeg' for i in range(len(group_N))])
  made = []
  for extra in (0.0, gain):
    share_G = np.clip(0.6 + extra + generator.uniform(-by_group, by_group, num_groups), 0, 1)
    right_N = generator.uniform(size=len(group_N)) < share_G[group_N]
    called_N = np.where(right_N, label_N, 1 - label_N)
    made.append(
      types.Predictions(0.6 * np.eye(2)[called_N] + 0.2, label_N, group_N.astype(str), file_N, ('A', 'B'))
    )
  return made


def shuffled(found, seed=0):
  rows = np.random.default_rng(seed).permutation(len(found))
  columns = {name: getattr(found, name)[rows] for name in ('probs_NK', 'label_N', 'group_N', 'file_N')}
  return dataclasses.replace(found, **columns)


def test_a_difference_that_is_there_is_found():
  got = compare(*pair(0, gain=0.25), SPEC, seed=0)
  for name in paired.headlines():
    assert got[name]['low'] > 0, name
    assert got[name]['p_value'] < 0.01, name
    assert got[name]['difference'] == pytest.approx(got[name]['second'] - got[name]['first'])
    assert got[name]['low'] <= got[name]['difference'] <= got[name]['high']


def test_the_test_is_seldom_wrong_by_group_and_often_by_image():
  rejected = {'group': 0, 'image': 0}
  spec = intervals.Spec(num_resamples=100, confidence=0.95, interval='bca', prevalence=())
  for seed in range(60):
    first, second = pair(seed, size=30)
    rejected['group'] += compare(first, second, spec, seed)['accuracy']['p_value'] < 0.05
    by_image = [dataclasses.replace(one, group_N=one.file_N) for one in (first, second)]
    rejected['image'] += compare(*by_image, spec, seed)['accuracy']['p_value'] < 0.05
  # Of 60, 3 are expected; 9 or more have a probability under 1 %.
  assert rejected['group'] <= 8, rejected
  assert rejected['image'] > 12, rejected


def test_the_order_of_rows_does_not_matter():
  first, second = pair(1, gain=0.1)
  expected = compare(first, second, SPEC, seed=0)
  got = compare(first, shuffled(second), SPEC, seed=0)
  for name in paired.headlines():
    assert got[name] == pytest.approx(expected[name])
  assert (paired.aligned(first, shuffled(second)).probs_NK == second.probs_NK).all()


def test_swapping_the_models_negates_the_difference_and_keeps_the_p_value():
  first, second = pair(2, gain=0.1)
  one, other = compare(first, second, SPEC, 0), compare(second, first, SPEC, 0)
  for name in paired.headlines():
    assert other[name]['difference'] == pytest.approx(-one[name]['difference'])
    assert other[name]['p_value'] == one[name]['p_value']
    assert (other[name]['low'], other[name]['high']) == pytest.approx((-one[name]['high'], -one[name]['low']))


def test_a_model_does_not_differ_from_itself():
  first, _ = pair(3)
  got = compare(first, shuffled(first), SPEC, seed=0)
  for name in paired.headlines():
    assert got[name]['difference'] == got[name]['low'] == got[name]['high'] == 0
    assert got[name]['p_value'] == 1


def test_few_groups_are_swapped_in_every_way():
  # The second model is right in all of 6 groups, the first in none: 2 of 64 ways are as extreme.
  first, second = pair(4, num_groups=6)
  label_N = first.label_N
  first = dataclasses.replace(first, probs_NK=np.eye(2)[1 - label_N])
  second = dataclasses.replace(second, probs_NK=np.eye(2)[label_N])
  got = compare(first, second, SPEC, seed=0)
  assert got['accuracy']['p_value'] == 2 / 64
  assert got['interval']['method'] == intervals.STUDENT


def test_other_rows_are_refused_in_one_line_that_names_one():
  first, second = pair(5)
  label_N, group_N = second.label_N.copy(), second.group_N.copy()
  label_N[3], group_N[3] = 1 - label_N[3], 'other'
  fewer = types.Predictions(
    second.probs_NK[1:], second.label_N[1:], second.group_N[1:], second.file_N[1:], second.class_names
  )
  twice = dataclasses.replace(
    second, file_N=np.where(second.file_N == '0001.jpeg', '0002.jpeg', second.file_N)
  )
  for broken, message in (
    (fewer, r'^0000\.jpeg: predicted by one model and not by the other'),
    (twice, r'^0002\.jpeg: predicted twice'),
    (dataclasses.replace(second, label_N=label_N), r'^0003\.jpeg: its label differs'),
    (dataclasses.replace(second, group_N=group_N), r'^0003\.jpeg: its group differs'),
    (dataclasses.replace(second, class_names=('A', 'C')), 'classes differ'),
  ):
    with pytest.raises(types.UserError, match=message) as caught:
      compare(first, broken, SPEC, seed=0)
    assert '\n' not in str(caught.value)


def test_any_figure_that_follows_from_sums_is_compared_where_it_is_asked_for():
  first, second = pair(0, gain=0.25)
  entry = paired.compare(first, second, ('balanced_accuracy',), SPEC, 0)
  own = [
    metrics.figures(metrics.combine(sums, np.ones((1, len(names)))))['balanced_accuracy'].item()
    for sums, names in map(metrics.sums, (first, second))
  ]
  assert entry['balanced_accuracy']['difference'] == pytest.approx(own[1] - own[0])
  assert entry['balanced_accuracy']['low'] < own[1] - own[0] < entry['balanced_accuracy']['high']
  # Negative control: what is not asked for is not there.
  assert 'accuracy' not in entry
