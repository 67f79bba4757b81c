"""Intervals by group: right about 95 times in 100, and frank where groups are few."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.stats

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import bootstrap, intervals, metrics, resamples

NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
SPEC = intervals.Spec(num_resamples=2000, confidence=0.95, interval='bca', prevalence=())


def clustered(generator, num_groups, size, spread=0.35):
  """Two classes; a group has its own share of right answers, so that its images resemble one another."""
  share_G = np.clip(generator.normal(0.7, spread, num_groups), 0, 1)
  group_N = np.repeat(np.arange(num_groups), size)
  label_N = (group_N % 2).astype(np.int32)
  right_N = generator.uniform(size=len(group_N)) < share_G[group_N]
  sure_N = generator.uniform(0.5, 1, len(group_N))
  of_label_N = np.where(right_N, sure_N, 1 - sure_N)
  probs_NK = np.stack([of_label_N, 1 - of_label_N], 1)
  probs_NK[label_N == 1] = probs_NK[label_N == 1][:, ::-1]
  names = group_N.astype(str)
  return types.Predictions(probs_NK, label_N, names, np.arange(len(names)).astype(str), ('A', 'B'))


def like_test(seed):
  """As many images and groups as TEST: 13, 6, 4 and 45 groups of four classes."""
  generator = np.random.default_rng(seed)
  parts = []
  for k, (num_groups, num_rows) in enumerate(zip((13, 6, 4, 45), (623, 620, 620, 624), strict=True)):
    parts += [(k, f'{k}_{g}') for g in np.sort(np.arange(num_rows) % num_groups)]
  label_N = np.array([k for k, _ in parts], np.int32)
  group_N = np.array([name for _, name in parts])
  _, index_N = np.unique(group_N, return_inverse=True)
  logits_NK = generator.normal(size=(len(parts), 4)) + generator.normal(size=(68, 4))[index_N]
  logits_NK += 2.5 * np.eye(4)[label_N]
  probs_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(1, keepdims=True)
  return types.Predictions(probs_NK, label_N, group_N, np.arange(len(parts)).astype(str), NAMES)


def perfect(num_groups):
  found = clustered(np.random.default_rng(0), num_groups, 5)
  return dataclasses.replace(found, probs_NK=np.eye(2)[found.label_N])


def walk(entry, path=''):
  for key, value in entry.items():
    if isinstance(value, dict):
      yield from walk(value, f'{path}{key}.')
      if 'low' in value:
        yield path + key, value


def test_blocks_of_resamples_are_as_many_as_asked_for(monkeypatch):
  of_group, _ = metrics.sums(clustered(np.random.default_rng(0), 8, 30))
  monkeypatch.setattr(resamples, 'BLOCK', 8 * 10)
  drawn = resamples.combined(of_group, 25, seed=0).log_loss
  assert drawn.shape == (25,)
  assert len(np.unique(drawn)) == 25, 'blocks repeat one another'


def test_resampling_is_arithmetic_on_the_sums_of_groups_whatever_the_number_of_images(monkeypatch):
  found, seen = like_test(0), []
  combine = metrics.combine

  def counted(groups, times_RG):
    seen.append(times_RG.shape)
    return combine(groups, times_RG)

  monkeypatch.setattr(metrics, 'combine', counted)
  monkeypatch.setattr(metrics, 'sums', lambda *args, sums=metrics.sums: seen.append('sums') or sums(*args))
  entry = bootstrap.summary(found, SPEC, seed=0)
  assert (entry['num_images'], entry['num_groups']) == (2487, 68)
  assert seen.count('sums') == 1, 'the images are summed once, not once a resample'
  shapes = [shape for shape in seen if shape != 'sums']
  assert all(columns == 68 for _, columns in shapes), 'a resample has a count a group, not an image'
  assert sum(rows for rows, _ in shapes) == 2000 + 1


def test_bca_and_percentile_equal_scipy_within_the_noise_of_the_draws():
  values = np.random.default_rng(1).exponential(size=40)
  times_RG = groups.resample(40, 20_000, seed=0, name='bootstrap')
  drawn = times_RG @ values / 40
  left_out = (values.sum() - values) / 39
  ours = {
    'BCa': intervals.bca(values.mean(), drawn, left_out, 0.9),
    'percentile': intervals.percentile(drawn, 0.9),
  }
  for method, bounds in ours.items():
    theirs = scipy.stats.bootstrap(
      (values,),
      np.mean,
      n_resamples=20_000,
      confidence_level=0.9,
      method=method,
      rng=np.random.default_rng(0),
    ).confidence_interval
    np.testing.assert_allclose(bounds, theirs, atol=0.015)
  # Negative control: on skewed data the two methods differ by more than that.
  assert ours['BCa'][1] - ours['percentile'][1] > 0.015


def test_intervals_by_group_cover_and_intervals_by_image_do_not():
  # The truth is 70 % clipped at both ends; the mean over many groups.
  truth = np.clip(np.random.default_rng(0).normal(0.7, 0.35, 2_000_000), 0, 1).mean()
  generator = np.random.default_rng(1)
  covered = {'group': 0, 'image': 0}
  for trial in range(150):
    found = clustered(generator, num_groups=40, size=20)
    for unit, group_N in (('group', found.group_N), ('image', found.file_N)):
      of_group, _ = metrics.sums(dataclasses.replace(found, group_N=group_N))
      value = (found.probs_NK.argmax(1) == found.label_N).mean()
      drawn = metrics.figures(resamples.combined(of_group, 150, trial))['accuracy']
      left_out = metrics.figures(metrics.leave_one_out(of_group))['accuracy']
      low, high = intervals.bca(value, drawn, left_out, 0.95)
      covered[unit] += low <= truth <= high
  assert 0.90 <= covered['group'] / 150 <= 0.98, covered
  assert covered['image'] / 150 < 0.65, covered


def test_the_summary_holds_what_is_promised_and_is_json():
  entry = bootstrap.summary(like_test(1), SPEC, seed=0)
  json.dumps(entry, allow_nan=False)
  assert {figure.name for figure in metrics.FIGURES} < set(entry)
  assert set(entry['per_class']) == set(NAMES)
  assert set(entry['per_class']['MONOCYTE']) == {
    *(figure.name for figure in metrics.PER_CLASS), 'num_images', 'num_groups',
  }  # fmt: skip
  assert entry['per_class']['MONOCYTE']['num_groups'] == 4
  assert entry['interval']['unit'] == 'group'
  bounds = dict(walk(entry))
  # The ROC areas by class and their mean; the two votes.
  assert len(bounds) == len(metrics.FIGURES) + 4 * len(metrics.PER_CLASS) + 2
  for path, figure in bounds.items():
    assert figure['low'] <= figure['value'] <= figure['high'], path
  assert np.sum(entry['confusion']) == 2487


def test_the_same_arguments_give_the_same_entry_whatever_the_order_of_rows():
  found = like_test(2)
  rows = np.random.default_rng(0).permutation(len(found))
  turned = types.Predictions(
    found.probs_NK[rows], found.label_N[rows], found.group_N[rows], found.file_N[rows], found.class_names
  )
  one, two = (bootstrap.summary(each, SPEC, seed=5) for each in (found, turned))
  for (path, a), (_, b) in zip(walk(one), walk(two), strict=True):
    assert a == pytest.approx(b), path
  assert bootstrap.summary(found, SPEC, seed=6)['accuracy'] != one['accuracy']


def test_copies_of_the_same_images_do_not_narrow_the_interval():
  whole = like_test(3)
  # A quarter of the images, of all groups: an interval by image takes the square of their number.
  found, doubled = (
    types.Predictions(
      *(np.concatenate(times * [a[::4]]) for a in (whole.probs_NK, whole.label_N, whole.group_N)),
      np.arange(times * len(whole.label_N[::4])).astype(str), whole.class_names,
    )
    for times in (1, 2)
  )  # fmt: skip
  by_group = [bootstrap.summary(each, SPEC, seed=0)['accuracy'] for each in (found, doubled)]
  assert by_group[0] == pytest.approx(by_group[1])
  by_image = [
    bootstrap.summary(dataclasses.replace(each, group_N=each.file_N), SPEC, seed=0)['accuracy']
    for each in (found, doubled)
  ]
  widths = [entry['high'] - entry['low'] for entry in by_image]
  assert widths[1] < 0.8 * widths[0] < 0.8 * (by_group[0]['high'] - by_group[0]['low'])


def test_few_groups_get_exact_intervals_and_many_do_not():
  few = bootstrap.summary(clustered(np.random.default_rng(0), 8, 30), SPEC, seed=0)
  exceptions = few['interval']['exceptions']
  assert exceptions['accuracy'] == exceptions['per_class.A.recall'] == bootstrap.EXACT
  assert exceptions['macro_f1'] == exceptions['per_class.B.f1'] == bootstrap.JOINT
  assert exceptions['brier'] == intervals.STUDENT
  right = few['by_group']['majority']['num_right']
  exact = scipy.stats.binomtest(right, 8).proportion_ci(0.95, 'exact')
  assert (few['accuracy']['low'], few['accuracy']['high']) == pytest.approx((exact.low, exact.high))
  many = bootstrap.summary(clustered(np.random.default_rng(0), 60, 30), SPEC, seed=0)
  assert set(many['interval']['exceptions']) == {'ece'}


def test_a_class_of_four_photographs_gets_the_exact_interval_of_four():
  found = like_test(4)
  found.probs_NK[found.label_N == 2] = np.eye(4)[2]
  recall = bootstrap.summary(found, SPEC, seed=0)['per_class']['MONOCYTE']['recall']
  assert recall == pytest.approx({'value': 1, 'low': 0.025**0.25, 'high': 1})


def test_a_flawless_result_is_not_given_an_interval_of_no_width():
  entry = bootstrap.summary(perfect(40), SPEC, seed=0)
  assert entry['accuracy'] == pytest.approx({'value': 1, 'low': 0.025 ** (1 / 40), 'high': 1})
  for name in ('macro_f1', 'balanced_accuracy'):
    assert entry[name]['low'] < 0.9, name
    assert entry[name]['high'] == 1
  # Negative control: resampling alone is falsely sure.
  drawn = metrics.figures(resamples.combined(metrics.sums(perfect(40))[0], 500, 0))['accuracy']
  assert intervals.percentile(drawn, 0.95) == (1, 1)


def test_one_group_has_an_exact_accuracy_and_no_interval_of_its_log_loss():
  found = clustered(np.random.default_rng(0), 1, 30)
  entry = bootstrap.summary(found, SPEC, seed=0)
  assert entry['accuracy']['high'] - entry['accuracy']['low'] > 0.9
  assert entry['log_loss']['value'] > 0
  assert entry['log_loss']['low'] is entry['log_loss']['high'] is None
  assert entry['per_class']['B']['recall'] == {'value': None, 'low': None, 'high': None}
  assert entry['per_class']['B']['roc_auc'] == {'value': None, 'low': None, 'high': None}


def test_a_flawless_ranking_of_many_groups_has_no_interval_rather_than_one_of_no_width():
  area = bootstrap.summary(perfect(40), SPEC, seed=0)['macro_roc_auc']
  assert area == {'value': 1.0, 'low': None, 'high': None}


def test_a_prevalence_gives_the_figures_of_a_set_with_those_shares():
  found = like_test(5)
  spec = dataclasses.replace(SPEC, prevalence=(0.1, 0.2, 0.1, 0.6))
  weighted = bootstrap.summary(found, spec, seed=0)
  at = weighted['at_prevalence']
  recall = [weighted['per_class'][name]['recall']['value'] for name in NAMES]
  assert at['accuracy']['value'] == pytest.approx(np.dot(spec.prevalence, recall))
  # What does not depend on the shares stays; what does, does not.
  assert at['balanced_accuracy']['value'] == pytest.approx(weighted['balanced_accuracy']['value'])
  assert at['accuracy']['value'] != pytest.approx(weighted['accuracy']['value'])
  assert (
    at['per_class']['MONOCYTE']['precision']['value']
    < weighted['per_class']['MONOCYTE']['precision']['value']
  )
  for path, figure in walk(at):
    assert figure['low'] <= figure['value'] <= figure['high'], path
  # The figures of the set itself are those without a prevalence.
  plain = bootstrap.summary(found, SPEC, seed=0)
  assert {**weighted, 'at_prevalence': None} == {**plain, 'at_prevalence': None}


def test_a_prevalence_that_is_none_is_one_line():
  for wrong in ((0.5, 0.6), (-0.1, 1.1), ('a', 1.0)):
    with pytest.raises(types.UserError, match=r'evaluate\.prevalence'):
      dataclasses.replace(SPEC, prevalence=wrong)
  with pytest.raises(types.UserError, match='the classes are EOSINOPHIL'):
    dataclasses.replace(SPEC, prevalence=(0.5, 0.5)).check_classes(NAMES)


def test_the_percentile_interval_is_used_where_it_is_asked_for():
  found = clustered(np.random.default_rng(0), 40, 20)
  entry = bootstrap.summary(found, dataclasses.replace(SPEC, interval='percentile'), seed=3)
  drawn = metrics.figures(resamples.combined(metrics.sums(found)[0], 2000, 3))['accuracy']
  assert (entry['accuracy']['low'], entry['accuracy']['high']) == intervals.percentile(drawn, 0.95)
  assert entry['interval']['method'].startswith('percentile')
  assert bootstrap.summary(found, SPEC, seed=3)['accuracy'] != entry['accuracy']


def test_exact_intervals_equal_scipys():
  for num_right, num in ((0, 5), (3, 5), (5, 5), (62, 71)):
    exact = scipy.stats.binomtest(num_right, num).proportion_ci(0.9, 'exact')
    assert intervals.binomial(num_right, num, 0.9) == pytest.approx((exact.low, exact.high))
  assert intervals.binomial(0, 0, 0.9) == (0, 1)


def test_students_interval_of_a_mean_equals_the_textbooks():
  values = np.random.default_rng(0).normal(size=7)
  left_out = (values.sum() - values) / 6
  expected = scipy.stats.t.interval(0.95, 6, values.mean(), scipy.stats.sem(values))
  assert intervals.student(values.mean(), left_out, 0.95) == pytest.approx(expected)


@pytest.mark.parametrize(
  ('change', 'message'), [({'num_resamples': 99}, 'num_resamples'), ({'confidence': 1.0}, 'confidence')]
)
def test_a_wrong_spec_is_refused_by_its_key(change, message):
  with pytest.raises(types.UserError, match=message):
    dataclasses.replace(SPEC, **change)
