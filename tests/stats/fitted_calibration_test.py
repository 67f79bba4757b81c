"""A calibration fitted on validation keeps its targets on other groups."""

import dataclasses

import numpy as np
import pytest
import scipy.special

from bloodcell_jax.base import types
from bloodcell_jax.stats import bootstrap, calibration, intervals

SPEC = calibration.Spec(max_error=0.1, miscoverage=0.1, conformal_score='lac')
INTERVALS = intervals.Spec(num_resamples=300, confidence=0.95, interval='bca', prevalence=())


def drawn(seed, num_groups=60, size=10, sharpness=3.0):
  """An overconfident model of four classes; the errors of a group are correlated."""
  generator = np.random.default_rng(seed)
  group_N = np.repeat(np.arange(num_groups), size)
  logits_NK = 2 * generator.normal(size=(len(group_N), 4)) + generator.normal(size=(num_groups, 4))[group_N]
  true_NK = scipy.special.softmax(logits_NK, 1)
  label_N = (generator.uniform(size=(len(true_NK), 1)) > true_NK.cumsum(1)).sum(1).clip(max=3)
  text_N = np.arange(len(group_N)).astype(str)
  probs_NK = scipy.special.softmax(sharpness * logits_NK, 1)
  return types.Predictions(probs_NK, label_N.astype(np.int32), group_N.astype(str), text_N, tuple('ABCD'))


def fitted_on(predictions, spec):
  return calibration.fit(predictions, spec, np.zeros(len(predictions), np.int32))


def test_a_calibration_keeps_its_targets_on_other_groups():
  fitted = [fitted_on(drawn(s), SPEC) for s in range(12)]
  entries = [calibration.summary(rule, drawn(s + 1000), INTERVALS, 0, None) for s, rule in enumerate(fitted)]
  # Overconfident by a factor of 3.
  assert all(2 < entry['temperature'] < 4.5 for entry in entries)
  errors = [entry['error']['value'] for entry in entries]
  assert np.mean(errors) == pytest.approx(0.1, abs=0.04)
  assert np.mean([entry['covered']['value'] for entry in entries]) >= 0.88
  for entry in entries:
    assert entry['named']['low'] <= entry['named']['value'] <= entry['named']['high']
    assert sum(entry['set_sizes']) == 600
  # Negative control: without it far more images are wrong, and their calibration error is larger.
  for s, entry in enumerate(entries):
    plain = drawn(s + 1000)
    assert (plain.probs_NK.argmax(1) != plain.label_N).mean() > 0.2
    before = bootstrap.figures(plain, ('ece',), INTERVALS, 0)['ece']['value']
    assert entry['calibrated']['ece']['value'] < before / 2


def test_the_temperature_of_a_calibrated_model_is_near_1():
  entry = calibration.summary(
    fitted_on(drawn(0, sharpness=1.0), SPEC), drawn(1, sharpness=1.0), INTERVALS, 0, None
  )
  before = bootstrap.figures(drawn(1, sharpness=1.0), ('ece',), INTERVALS, 0)['ece']['value']
  assert entry['temperature'] == pytest.approx(1, abs=0.2)
  assert entry['calibrated']['ece']['value'] == pytest.approx(before, abs=0.05)


def test_every_image_is_rejected_if_no_threshold_reaches_the_target():
  found = drawn(0)
  hopeless = dataclasses.replace(found, label_N=(found.probs_NK.argmax(1) + 1).astype(np.int32) % 4)
  rule = fitted_on(hopeless, SPEC)
  entry = calibration.summary(rule, hopeless, INTERVALS, 0, None)
  assert rule.threshold is None
  assert entry['num_named'] == 0
  assert entry['named']['value'] == 0
  assert entry['error'] == {'value': None, 'low': None, 'high': None}
  assert fitted_on(found, SPEC).threshold is not None


@pytest.mark.parametrize(
  ('key', 'value'),
  [('max_error', 0.0), ('max_error', 1.0), ('miscoverage', -0.1), ('conformal_score', 'raps')],
)
def test_an_error_in_the_spec_names_its_key(key, value):
  with pytest.raises(types.UserError, match=f'evaluate.{key}'):
    dataclasses.replace(SPEC, **{key: value})


def two_laboratories(seed, num_groups=60):
  """A large laboratory on which the network is good, and a small one on which it is bad and as sure of itself."""
  good, bad = drawn(seed, num_groups=9 * num_groups), drawn(seed + 1, num_groups=num_groups)
  right_NK = np.eye(4)[good.label_N]
  good = dataclasses.replace(good, probs_NK=0.7 * right_NK + 0.3 * good.probs_NK)
  columns = ('probs_NK', 'label_N', 'file_N')
  joined = {name: np.concatenate([getattr(each, name) for each in (good, bad)]) for name in columns}
  group_N = np.concatenate([np.char.add('good/', good.group_N), np.char.add('bad/', bad.group_N)])
  is_bad_N = np.arange(len(group_N)) >= len(good)
  return types.Predictions(**joined, group_N=group_N, class_names=good.class_names), is_bad_N.astype(np.int32)


def of_bad(rule, seed):
  found, is_bad_N = two_laboratories(seed)
  return calibration.summary(rule, found.take(np.flatnonzero(is_bad_N)), INTERVALS, 0, None)


def test_the_targets_hold_in_a_small_laboratory_beside_a_large_one():
  seeds = range(0, 16, 2)
  entries, together = [], []
  for seed in seeds:
    found, is_bad_N = two_laboratories(seed)
    entries.append(of_bad(calibration.fit(found, SPEC, is_bad_N), seed + 1000))
    together.append(of_bad(fitted_on(found, SPEC), seed + 1000))
  assert np.mean([entry['error']['value'] for entry in entries]) == pytest.approx(0.1, abs=0.04)
  assert np.mean([entry['covered']['value'] for entry in entries]) >= 0.88
  # Negative control: fitted on all images together, the large laboratory hides the errors in the small one.
  assert np.mean([entry['error']['value'] for entry in together]) > 0.2
  assert np.mean([entry['covered']['value'] for entry in together]) < 0.85


def test_a_laboratory_of_few_groups_is_fitted_with_another():
  found, is_bad_N = two_laboratories(0)
  few = np.flatnonzero(
    (is_bad_N == 0) | (np.arange(len(found)) >= len(found) - 50)
  )  # five groups of the bad one
  rule = calibration.fit(found.take(few), SPEC, is_bad_N[few])
  assert rule == fitted_on(found.take(few), SPEC)
  # Negative control: with ten groups it counts.
  enough = np.flatnonzero((is_bad_N == 0) | (np.arange(len(found)) >= len(found) - 100))
  assert calibration.fit(found.take(enough), SPEC, is_bad_N[enough]) != fitted_on(found.take(enough), SPEC)
