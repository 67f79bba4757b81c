"""Temperature, abstention and prediction sets do on new groups what they promise."""

import dataclasses

import numpy as np
import pytest
import scipy.special

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import calibration, conformal, metrics

NAMES = ('A', 'B', 'C', 'D')


def drawn(seed, num_groups=40, size=12, sharpness=1.0, by_group=1.0):
  """Labels that follow softmax(z); the model reports softmax(sharpness * z), shifted alike within a group."""
  generator = np.random.default_rng(seed)
  group_N = np.repeat(np.arange(num_groups), size)
  logits_NK = 2 * generator.normal(size=(num_groups * size, 4))
  true_NK = scipy.special.softmax(logits_NK, 1)
  label_N = (generator.uniform(size=(len(true_NK), 1)) > true_NK.cumsum(1)).sum(1).clip(max=3)
  shift_GK = by_group * generator.normal(size=(num_groups, 4))
  probs_NK = scipy.special.softmax(sharpness * (logits_NK + shift_GK[group_N]), 1)
  text_N = np.arange(len(group_N)).astype(str)
  return types.Predictions(probs_NK, label_N.astype(np.int32), group_N.astype(str), text_N, NAMES)


def take(found, rows):
  columns = {name: getattr(found, name)[rows] for name in ('probs_NK', 'label_N', 'group_N', 'file_N')}
  return dataclasses.replace(found, **columns)


def figure(found, name):
  of_group, _ = metrics.sums(found)
  return metrics.figures(metrics.combine(of_group, np.ones((1, len(of_group.log_loss)))))[name].item()


def test_temperature_undoes_the_sharpening_of_a_calibrated_model():
  for sharpness in (0.5, 1.0, 3.0):
    found = drawn(0, num_groups=800, sharpness=sharpness, by_group=0.0)
    assert calibration.fit_temperature(found, np.ones(len(found))) == pytest.approx(sharpness, rel=0.06)


def test_temperature_helps_on_groups_it_has_not_seen_and_keeps_every_decision():
  value = calibration.fit_temperature(drawn(0, sharpness=3.0), np.ones(480))
  other = drawn(1, sharpness=3.0)
  after = calibration.scaled(other, value)
  for name in ('log_loss', 'ece', 'brier'):
    assert figure(after, name) < figure(other, name), name
  assert (after.probs_NK.argmax(1) == other.probs_NK.argmax(1)).all()
  np.testing.assert_allclose(after.probs_NK.sum(1), 1)
  # Negative control: the inverse temperature does harm.
  assert figure(calibration.scaled(other, 1 / value), 'log_loss') > figure(other, 'log_loss')


def test_group_weights_let_a_group_of_many_copies_count_once():
  found = drawn(0, num_groups=10)
  copies = take(found, np.concatenate([np.arange(len(found)), np.repeat(np.arange(12), 50)]))
  by_group = [
    calibration.fit_temperature(each, groups.equal_weights(each.group_N, 1.0)) for each in (found, copies)
  ]
  assert by_group[0] == pytest.approx(by_group[1], rel=1e-4)
  by_image = [calibration.fit_temperature(each, np.ones(len(each))) for each in (found, copies)]
  assert by_image[0] != pytest.approx(by_image[1], rel=0.02)


def test_a_certain_and_wrong_row_leaves_the_temperature_finite():
  found = drawn(0)
  found.probs_NK[0] = np.eye(4)[(found.label_N[0] + 1) % 4]
  value = calibration.fit_temperature(found, np.ones(len(found)))
  assert np.isfinite(value)
  assert np.isfinite(calibration.scaled(found, value).probs_NK).all()


def flawless(seed, num_groups):
  """A network of separable classes, three times as sure as it may be, on a sample without an error."""
  generator = np.random.default_rng(seed)
  label_N = generator.integers(4, size=num_groups).astype(np.int32)
  evidence_NK = generator.normal(size=(num_groups, 4)) + 3 * np.eye(4)[label_N]
  probs_NK = scipy.special.softmax(9 * evidence_NK, 1)
  text_N = np.arange(num_groups).astype(str)
  right = np.flatnonzero(probs_NK.argmax(1) == label_N)
  return take(types.Predictions(probs_NK, label_N, text_N, text_N, NAMES), right)


@pytest.mark.parametrize('num_groups', [10, 25, 100])
def test_after_a_flawless_validation_the_network_expects_errors_but_less_than_one_in_as_many_groups(
  num_groups, monkeypatch
):
  found = flawless(0, num_groups)

  def expected_error(predictions):
    value = calibration.fit_temperature(predictions, np.ones(len(predictions)))
    return 1 - calibration.scaled(predictions, value).probs_NK.max(1).mean()

  assert 0.05 < len(found) * expected_error(found) < 1
  # Copies of all images are no more evidence, for they are of these groups.
  copies = take(found, np.tile(np.arange(len(found)), 20))
  assert expected_error(copies) == pytest.approx(expected_error(found), rel=1e-3)
  # Negative control: without the uncertain group it expects none.
  monkeypatch.setattr(calibration, 'UNCERTAIN', 0.0)
  assert len(found) * expected_error(found) < 1e-4


def test_the_uncertain_group_counts_little_among_many_with_errors(monkeypatch):
  several, many = drawn(0, num_groups=40), drawn(0, num_groups=400)
  with_it = [calibration.fit_temperature(each, np.ones(len(each))) for each in (several, many)]
  monkeypatch.setattr(calibration, 'UNCERTAIN', 0.0)
  without = [calibration.fit_temperature(each, np.ones(len(each))) for each in (several, many)]
  assert without[0] < with_it[0] < 1.02 * without[0]
  assert without[1] < with_it[1] < 1.002 * without[1]


def test_votes_without_a_chance_for_some_classes_keep_a_temperature():
  label_N = (np.arange(24) % 4).astype(np.int32)
  probs_NK = np.eye(4)[label_N]
  probs_NK[::3] = (2 * np.eye(4)[label_N[::3]] + np.eye(4)[(label_N[::3] + 1) % 4]) / 3
  found = types.Predictions(probs_NK, label_N, np.arange(24).astype(str), np.arange(24).astype(str), NAMES)
  assert 0.1 < calibration.fit_temperature(found, np.ones(24)) < 1


def test_one_group_is_too_few_for_a_temperature():
  with pytest.raises(types.UserError, match='two groups'):
    calibration.fit_temperature(drawn(0, num_groups=1), np.ones(12))


def test_the_risk_coverage_curve_equals_a_loop_over_thresholds():
  found = drawn(0)
  found = dataclasses.replace(found, probs_NK=found.probs_NK.round(1))  # many equal confidences
  thresholds, kept, error = calibration.risk_coverage(found)
  confidence_N = found.probs_NK.max(1)
  wrong_N = found.probs_NK.argmax(1) != found.label_N
  assert thresholds.tolist() == sorted(set(confidence_N), reverse=True)
  for threshold, share, risk in zip(thresholds, kept, error, strict=True):
    assert share == pytest.approx((confidence_N >= threshold).mean())
    assert risk == pytest.approx(wrong_N[confidence_N >= threshold].mean())
  assert kept[-1] == 1


def test_the_threshold_is_the_lowest_whose_accepted_groups_show_few_enough_errors():
  found = drawn(0, num_groups=120, size=3)
  confidence_N = found.probs_NK.max(1)
  wrong_N = found.probs_NK.argmax(1) != found.label_N

  def is_allowed(threshold):
    accepted_N = confidence_N >= threshold
    accepted, wrong = accepted_N.sum() / 3, (accepted_N & wrong_N).sum() / 3
    return wrong <= 0.1 * accepted and (wrong + 1) / (accepted + 1) <= 0.2

  assert wrong_N.mean() > 0.1
  threshold = calibration.abstention_threshold(found, 0.1, [np.ones(len(found), bool)])
  assert threshold == min(t for t in confidence_N if is_allowed(t))
  assert calibration.abstention_threshold(found, 1.0, [np.ones(len(found), bool)]) == confidence_N.min()
  never = dataclasses.replace(found, label_N=((found.probs_NK.argmax(1) + 1) % 4).astype(np.int32))
  assert calibration.abstention_threshold(never, 0.1, [np.ones(len(found), bool)]) is None


def test_a_group_of_many_copies_counts_once_in_the_threshold():
  found = drawn(0, num_groups=120, size=3)
  wrong = np.flatnonzero((found.probs_NK.argmax(1) != found.label_N) & (found.probs_NK.max(1) > 0.9))
  group_N = found.group_N.astype(int)
  inside = np.flatnonzero(group_N == group_N[wrong[0]])
  copies = take(found, np.concatenate([np.arange(len(found)), np.tile(inside, 100)]))
  thresholds = [
    calibration.abstention_threshold(each, 0.1, [np.ones(len(each), bool)]) for each in (found, copies)
  ]
  assert thresholds[0] == thresholds[1]
  # Negative control: as groups of their own the copies change it.
  alone = dataclasses.replace(copies, group_N=np.arange(len(copies)).astype(str))
  assert calibration.abstention_threshold(alone, 0.1, [np.ones(len(copies), bool)]) != thresholds[0]


def certain(num_right, num_wrong=0):
  """Images of a group each; the wrong ones have the least confidence."""
  num = num_right + num_wrong
  probs_NK = np.full((num, 4), 0.02)
  probs_NK[:, 0] = 0.94 - 1e-4 * np.arange(num)
  label_N = np.array([0] * num_right + [1] * num_wrong, np.int32)
  text_N = np.arange(num).astype(str)
  return types.Predictions(probs_NK / probs_NK.sum(1, keepdims=True), label_N, text_N, text_N, NAMES)


@pytest.mark.parametrize('max_error', [0.02, 0.05, 0.1, 0.2])
def test_few_groups_without_an_error_give_no_threshold(max_error):
  least = calibration.least_groups(max_error)
  for num, is_enough in ((least - 1, False), (least, True)):
    found = certain(num)
    threshold = calibration.abstention_threshold(found, max_error, [np.ones(num, bool)])
    assert (threshold is not None) == is_enough


def test_one_laboratory_with_few_accepted_groups_leaves_every_image_for_review():
  many, few = certain(60), certain(8)
  both = types.Predictions(
    *(np.concatenate([getattr(many, name), getattr(few, name)]) for name in ('probs_NK', 'label_N')),
    *(np.arange(68).astype(str),) * 2,
    NAMES,
  )
  inside_N = np.arange(68) < 60
  assert calibration.abstention_threshold(both, 0.05, [inside_N, ~inside_N]) is None
  # Negative control: as one laboratory they are enough.
  assert calibration.abstention_threshold(both, 0.05, [inside_N | True]) is not None


def test_a_run_that_accepts_no_image_says_what_it_takes():
  found = certain(8)
  rule = calibration.fit(found, calibration.Spec(0.05, 0.1, 'lac'), np.zeros(8, int))
  assert rule.threshold is None
  assert 'takes 9 validation images or labels' in calibration.left_for_review(rule)
  assert calibration.left_for_review(dataclasses.replace(rule, threshold=0.9)) == ''


@pytest.mark.parametrize('score', ['lac', 'aps'])
def test_prediction_sets_cover_images_of_new_groups_and_a_quantile_over_images_may_not(score):
  covered = {'group': [], 'image': []}
  for seed in range(250):
    found = drawn(seed, num_groups=20, size=8, by_group=2.0)
    fitted, new = take(found, slice(0, 15 * 8)), take(found, slice(15 * 8, None))
    for unit in covered:
      rows = fitted if unit == 'group' else dataclasses.replace(fitted, group_N=fitted.file_N)
      rule = conformal.fit(rows, score, 0.2)
      chosen = conformal.sets(rule, new.probs_NK)
      covered[unit].append(chosen[np.arange(len(new)), new.label_N].mean())
  assert np.mean(covered['group']) >= 0.79
  assert np.mean(covered['image']) < np.mean(covered['group'])


def test_sets_by_group_equal_the_definition():
  found = drawn(0, num_groups=9, size=5)
  score_N = 1 - found.probs_NK[np.arange(45), found.label_N]
  limit = conformal.fit(found, 'lac', 0.25).limit
  # Each of 9 groups weighs a tenth; the tenth tenth is a group to come, infinitely bad.
  mass = [sum(0.1 / 5 for s in score_N if s <= t + 1e-15) for t in score_N]
  assert limit == pytest.approx(min(t for t, m in zip(score_N, mass, strict=True) if m >= 0.75 - 1e-9))


def test_too_few_groups_give_sets_of_all_classes():
  rule = conformal.fit(drawn(0, num_groups=9), 'lac', 0.05)
  assert rule.limit == np.inf
  assert conformal.sets(rule, drawn(1).probs_NK).all()
  assert conformal.fit(drawn(0, num_groups=25), 'lac', 0.05).limit < 1


def test_aps_sets_are_the_likeliest_classes():
  probs_NK = np.array([[0.1, 0.6, 0.3, 0.0], [0.97, 0.01, 0.01, 0.01]])
  rule = conformal.Conformal('aps', 0.1, 0.9)
  assert conformal.sets(rule, probs_NK)[0].tolist() == [False, True, True, False]


@pytest.mark.parametrize(('score', 'miscoverage'), [('raps', 0.1), ('lac', 0.0), ('lac', 1.0)])
def test_wrong_settings_are_refused(score, miscoverage):
  with pytest.raises(types.UserError, match=r'choose one of lac, aps|must lie in'):
    conformal.fit(drawn(0), score, miscoverage)
