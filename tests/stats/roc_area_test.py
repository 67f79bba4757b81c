"""Areas under the ROC curve: of a set, of resamples and without each group, ties included, in either way."""

import numpy as np
import pytest
from sklearn import metrics as reference

from bloodcell_jax.base import types
from bloodcell_jax.stats import roc_area

GROUPS = 7


def predictions(num_rows, num_classes=4, decimals=1, is_mixed=True):
  """Of seven groups with several classes each, or one; few decimals make ties."""
  generator = np.random.default_rng(0)
  group_N = np.arange(num_rows) % GROUPS
  label_N = generator.integers(num_classes, size=num_rows) if is_mixed else group_N % num_classes
  probs_NK = generator.dirichlet(np.ones(num_classes), num_rows).round(decimals)
  names = tuple(f'class {k}' for k in range(num_classes))
  return types.Predictions(
    probs_NK, label_N.astype(np.int32), group_N.astype(str), np.arange(num_rows).astype(str), names
  )


def of_rows(found, rows):
  """The area of each class by scikit-learn; NaN where the rows have one kind alone."""
  area_K = np.full(len(found.class_names), np.nan)
  for k in range(len(area_K)):
    if len(np.unique(found.label_N[rows] == k)) == 2:
      area_K[k] = reference.roc_auc_score(found.label_N[rows] == k, found.probs_NK[rows, k])
  return area_K


def test_the_area_equals_the_share_of_pairs_in_order():
  found = predictions(80, decimals=9)
  area_K = roc_area.areas(found)
  for k in range(4):
    yes, no = found.probs_NK[found.label_N == k, k], found.probs_NK[found.label_N != k, k]
    assert area_K[k] == pytest.approx((yes[:, None] > no[None]).mean())


@pytest.mark.parametrize('way', ['by pairs', 'in order'])
def test_the_area_of_a_resample_equals_that_of_the_repeated_rows_ties_included(monkeypatch, way):
  monkeypatch.setattr(roc_area, '_is_faster_by_pairs', lambda *arguments: way == 'by pairs')
  # Blocks of few comparisons, so that there are several.
  monkeypatch.setattr(roc_area, 'BLOCK', 500)
  found = predictions(120)
  times_RG = np.random.default_rng(0).integers(0, 3, (5, GROUPS))
  area_RK = roc_area.resampled(found, times_RG)
  for times_G, area_K in zip(times_RG, area_RK, strict=True):
    np.testing.assert_allclose(
      area_K, of_rows(found, np.repeat(np.arange(120), times_G[np.arange(120) % GROUPS]))
    )
  # Negative control: the whole set has other areas.
  assert not np.allclose(area_RK[0], roc_area.areas(found))


def test_both_ways_give_the_same_bits_and_few_images_a_class_choose_pairs(monkeypatch):
  many = predictions(140, num_classes=20, decimals=2)
  times_RG = np.random.default_rng(1).integers(0, 4, (40, GROUPS))
  group_N = many.group_N.astype(int)
  assert roc_area._is_faster_by_pairs(many.label_N == 0, group_N, times_RG)
  assert not roc_area._is_faster_by_pairs(
    np.arange(10_000) % 2 == 0, np.arange(10_000), np.ones((10, 10_000))
  )
  chosen = roc_area.resampled(many, times_RG)
  monkeypatch.setattr(roc_area, '_is_faster_by_pairs', lambda *arguments: False)
  np.testing.assert_array_equal(chosen, roc_area.resampled(many, times_RG))


@pytest.mark.parametrize('is_mixed', [True, False])
def test_the_area_without_a_group_has_the_bits_of_a_resample_that_lacks_it(is_mixed):
  found = predictions(120, is_mixed=is_mixed)
  left_GK = roc_area.left_out(found)
  np.testing.assert_array_equal(left_GK, roc_area.resampled(found, 1 - np.eye(GROUPS)))
  np.testing.assert_allclose(left_GK[2], of_rows(found, np.flatnonzero(found.group_N != '2')))
  # Negative control: another group left out is another area.
  assert not np.array_equal(left_GK[2], left_GK[3])


def test_without_the_only_group_of_a_class_there_is_no_area():
  found = predictions(60, num_classes=GROUPS, is_mixed=False)
  left_GK = roc_area.left_out(found)
  assert np.isnan(np.diagonal(left_GK)).all()
  assert np.isnan(left_GK).sum() == GROUPS
