"""Figures of merit against scikit-learn, and what they say where a class is missing."""

import dataclasses
import pathlib
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

import bloodcell_jax
from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import metrics, roc_area

NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')


def predictions(seed=0, num_rows=300, num_groups=30, classes=(0, 1, 2, 3)):
  generator = np.random.default_rng(seed)
  group_N = generator.integers(num_groups, size=num_rows)
  label_N = np.array(classes)[group_N % len(classes)]
  logits_NK = generator.normal(size=(num_rows, 4)) + 1.2 * np.eye(4)[label_N]
  probs_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(1, keepdims=True)
  file_N = np.array([f'{i}.jpeg' for i in range(num_rows)])
  return types.Predictions(probs_NK, label_N.astype(np.int32), group_N.astype(str), file_N, NAMES)


def slow(label_N, probs_NK):
  """Every figure by scikit-learn, or by a loop where it has none."""
  called_N, present = probs_NK.argmax(1), np.unique(label_N)
  hit_N, sure_N = called_N == label_N, probs_NK.max(1)
  ece = 0.0
  for low in np.arange(15) / 15:
    inside = (sure_N > low) & (sure_N <= low + 1 / 15)
    if inside.any():
      ece += inside.mean() * abs(sure_N[inside].mean() - hit_N[inside].mean())
  with warnings.catch_warnings():
    # A class that is called but not present; it is left out of the mean, as here.
    warnings.filterwarnings('ignore', 'y_pred contains classes not in y_true')
    balanced = reference.balanced_accuracy_score(label_N, called_N)
  precision, recall, f1, _ = reference.precision_recall_fscore_support(
    label_N, called_N, labels=range(4), zero_division=np.nan
  )
  absent = ~np.isin(range(4), present)
  return {
    'accuracy': reference.accuracy_score(label_N, called_N),
    'balanced_accuracy': balanced,
    'macro_f1': reference.f1_score(label_N, called_N, labels=present, average='macro', zero_division=0),
    'log_loss': reference.log_loss(label_N, probs_NK, labels=range(4)),
    'brier': reference.brier_score_loss(label_N, probs_NK, labels=range(4), scale_by_half=False),
    'ece': ece,
    'precision': np.where(absent, np.nan, precision),
    'recall': recall,
    'f1': np.where(absent, np.nan, f1),
  }


def of_all(found):
  of_group, _ = metrics.sums(found)
  whole = metrics.figures(metrics.combine(of_group, np.ones((1, len(of_group.log_loss)))))
  return {name: value[0] for name, value in whole.items()}


@pytest.mark.parametrize('classes', [(0, 1, 2, 3), (0, 3)])
def test_every_figure_equals_scikit_learn(classes):
  found = predictions(classes=classes)
  expected = slow(found.label_N, found.probs_NK)
  got = of_all(found)
  assert set(got) == set(metrics.names()) | {'precision', 'recall', 'f1'}
  for name, value in got.items():
    np.testing.assert_allclose(value, expected[name], rtol=1e-9, err_msg=name)
  # Negative control: the same check tells a single changed label.
  label_N = found.label_N.copy()
  row = int((found.probs_NK.argmax(1) == label_N).argmax())
  label_N[row] = 0 if label_N[row] else 3
  assert got['accuracy'] != slow(label_N, found.probs_NK)['accuracy']


def test_each_resample_equals_scikit_learn_on_the_rows_it_draws():
  # Few groups, so that some resamples miss a class.
  found = predictions(num_rows=120, num_groups=8)
  of_group, names = metrics.sums(found)
  times_RG = groups.resample(len(names), 25, seed=3, name='bootstrap')
  drawn = metrics.figures(metrics.combine(of_group, times_RG))
  num_classes = []
  for r, times_G in enumerate(times_RG):
    rows = np.concatenate([np.flatnonzero(found.group_N == names[g]) for g in np.repeat(range(8), times_G)])
    num_classes.append(len(np.unique(found.label_N[rows])))
    expected = slow(found.label_N[rows], found.probs_NK[rows])
    for name in drawn:
      np.testing.assert_allclose(drawn[name][r], expected[name], rtol=1e-8, err_msg=f'{name} of resample {r}')
  assert min(num_classes) < 4, 'no resample missed a class'
  # Negative control: another seed draws other rows.
  other = metrics.figures(
    metrics.combine(of_group, groups.resample(len(names), 25, seed=4, name='bootstrap'))
  )
  assert not np.allclose(other['accuracy'], drawn['accuracy'])


def test_an_absent_class_is_not_a_number_and_never_a_silent_zero():
  found = predictions(classes=(0, 1, 3))
  got = of_all(found)
  assert (found.probs_NK.argmax(1) == 2).any(), 'the absent class should be called for some image'
  for name in ('precision', 'recall', 'f1'):
    assert np.isnan(got[name][2]), name
    assert not np.isnan(got[name][[0, 1, 3]]).any(), name
  assert got['balanced_accuracy'] == pytest.approx(got['recall'][[0, 1, 3]].mean())
  assert np.isnan(roc_area.areas(found)[2])
  # Negative control: counting it as zero would be another figure.
  assert got['balanced_accuracy'] != pytest.approx(np.nan_to_num(got['recall']).mean())


def test_a_class_never_called_has_no_precision_and_an_f1_of_zero():
  found = predictions()
  found.probs_NK[:, 2] = 0
  got = of_all(found)
  assert np.isnan(got['precision'][2])
  assert got['recall'][2] == got['f1'][2] == 0


def test_the_confusion_matrix_has_a_row_for_each_true_class():
  found = predictions()
  counts = metrics.confusion(found)
  expected = reference.confusion_matrix(found.label_N, found.probs_NK.argmax(1))
  np.testing.assert_array_equal(counts, expected)
  of_group, _ = metrics.sums(found)
  for part, values in ((of_group.actual_K, expected.sum(1)), (of_group.predicted_K, expected.sum(0))):
    np.testing.assert_array_equal(part.sum(0), values)
  np.testing.assert_array_equal(of_group.right_K.sum(0), np.diagonal(expected))
  assert not np.array_equal(counts.T, expected)


def test_the_sums_of_many_classes_grow_with_their_number_and_not_with_its_square():
  label_N = np.arange(400, dtype=np.int32)
  name_N = label_N.astype(str)
  found = types.Predictions(
    np.eye(400)[::-1] * 0.5 + 0.5 / 400, label_N, name_N, name_N, tuple(name_N.tolist())
  )
  of_group, _ = metrics.sums(found)
  size = sum(getattr(of_group, field.name).nbytes for field in dataclasses.fields(of_group))
  # Negative control: a confusion matrix for each group would take 80 times as much.
  assert size < 400 * 400 * 400 * 8 / 80


def test_a_perfectly_calibrated_model_has_a_small_calibration_error_and_an_overconfident_one_a_large():
  generator = np.random.default_rng(0)
  sure_N = generator.uniform(0.5, 1, 40_000)
  label_N = (generator.uniform(size=40_000) > sure_N).astype(np.int32)
  text_N = np.arange(40_000).astype(str)

  def error(confidence_N):
    probs_NK = np.stack([confidence_N, 1 - confidence_N], 1)
    return of_all(types.Predictions(probs_NK, label_N, text_N, text_N, ('A', 'B')))['ece']

  assert error(sure_N) < 0.01
  assert error(sure_N**0.2) > 0.1


def test_leaving_one_group_out_equals_taking_its_rows_away():
  found = predictions(num_groups=6)
  of_group, names = metrics.sums(found)
  left_out = metrics.figures(metrics.leave_one_out(of_group))
  for g, name in enumerate(names):
    kept = found.group_N != name
    expected = slow(found.label_N[kept], found.probs_NK[kept])
    for figure in metrics.names():
      assert left_out[figure][g] == pytest.approx(expected[figure]), figure


def test_a_group_votes_once_by_majority_and_by_mean_probability():
  # Two images barely call class 1, one is certain of class 0.
  probs_NK = np.array([[0.45, 0.55], [0.45, 0.55], [0.99, 0.01], [0.2, 0.8]])
  found = types.Predictions(
    probs_NK, np.array([0, 0, 0, 1], np.int32), np.array(list('aaab')), np.array(list('wxyz')), ('A', 'B')
  )
  label_G, majority_G = metrics.majority(metrics.sums(found)[0])
  mean_G, names = metrics.mean_vote(found)
  assert names.tolist() == ['a', 'b']
  assert label_G.tolist() == [0, 1]
  assert majority_G.tolist() == [1, 1]
  assert mean_G.tolist() == [0, 1]


def test_a_probability_that_underflowed_costs_much_but_not_infinitely_much():
  found = predictions()
  found.probs_NK[0] = np.eye(4)[(found.label_N[0] + 1) % 4]
  assert 1 < of_all(found)['log_loss'] < 745


@pytest.mark.parametrize('bad', [np.nan, -0.1, 1.5])
def test_a_probability_that_is_none_is_refused_by_its_file(bad):
  found = predictions()
  found.probs_NK[7, 1] = bad
  with pytest.raises(types.UserError, match=r'^7\.jpeg: '):
    metrics.sums(found)


def test_no_rows_are_refused():
  with pytest.raises(types.UserError, match='no predictions'):
    metrics.sums(predictions(num_rows=0))


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_probability_that_underflowed_is_a_large_loss_and_not_infinity(dtype):
  probs_NK = np.array([[1, 0, 0], [0.25, 0.25, 0.5]], dtype)
  np.testing.assert_allclose(metrics.losses(probs_NK, np.array([1, 2])), [744.44, np.log(2)], rtol=1e-5)
  loss, accuracy = metrics.loss_and_accuracy(probs_NK, np.array([1, 2]))
  assert (loss, accuracy) == (pytest.approx((744.44 + np.log(2)) / 2, rel=1e-5), 0.5)


def test_the_least_probability_is_written_in_one_place():
  package = pathlib.Path(bloodcell_jax.__file__).parent
  having = [path for path in package.rglob('*.py') if 'nextafter(0, 1)' in path.read_text('utf-8')]
  assert [str(path.relative_to(package)) for path in having] == ['stats/metrics.py']
