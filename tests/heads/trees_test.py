"""Trees by groups: an honest error out of bag, the same bits again, and features that matter."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.heads import importance, trees

SPEC = trees.Spec(
  num_trees=40,
  min_samples_leaf=1,
  max_features=0.5,
  learning_rate=0.2,
  max_iter=40,
  patience=5,
  num_permutations=3,
)
NAMES = ('A', 'B', 'C')
INFORMATIVE = 2  # the first columns


def rows(num_groups: int, copies: int, strength: float, seed: int, noise: float = 0.01) -> trees.Rows:
  """Photographs of three classes, each with copies that differ little, of 8 features, of which two tell the class."""
  rng = np.random.default_rng(seed)
  label_G = np.arange(num_groups) % 3
  feature_GD = rng.normal(size=(num_groups, 8))
  feature_GD[:, :INFORMATIVE] += strength * np.array([[0, 0], [1, 0], [0, 1]])[label_G]
  feature_ND = np.repeat(feature_GD, copies, 0)
  feature_ND = feature_ND + noise * rng.normal(size=feature_ND.shape)
  group_N = np.repeat(np.arange(num_groups), copies)
  return trees.Rows(feature_ND.astype(np.float32), np.repeat(label_G, copies), group_N)


@functools.cache
def fitted(kind: str, strength: float = 3.0, copies: int = 4) -> trees.Fitted:
  train, validation = rows(60, copies, strength, 0), rows(30, copies, strength, 1)
  return trees.fit(kind, train, validation, NAMES, SPEC, 0, 'bags', lambda: None)


def wrong(found: trees.Fitted, held: trees.Rows) -> float:
  return float((found.predict(held.feature_ND).argmax(1) != held.label_N).mean())


def test_the_error_out_of_bag_is_that_on_new_photographs_where_bags_are_drawn_by_groups():
  # Nothing tells the class: whoever does not know the photograph is wrong two times in three.
  found = fitted(trees.FOREST, strength=0.0, copies=12)
  assert found.out_of_bag is not None
  new = wrong(found, rows(300, 1, 0.0, 7))
  assert new == pytest.approx(2 / 3, abs=0.08)
  assert found.out_of_bag.error_T[-1] == pytest.approx(2 / 3, abs=0.15)
  train = rows(60, 12, 0.0, 0)
  single = dataclasses.replace(train, group_N=np.arange(len(train.group_N)))
  by_rows = trees.fit(trees.FOREST, single, train, NAMES, SPEC, 0, 'bags', lambda: None).out_of_bag
  assert by_rows is not None
  assert by_rows.error_T[-1] < 0.02, 'with copies in and out of the bag the error tells nothing'


def test_without_copies_the_error_out_of_bag_is_that_of_scikit_learns_forest():
  from sklearn import ensemble

  train = rows(400, 1, 2.0, 0)
  found = trees.fit(trees.FOREST, train, rows(30, 1, 2.0, 1), NAMES, SPEC, 0, 'bags', lambda: None).out_of_bag
  assert found is not None
  theirs = ensemble.RandomForestClassifier(
    SPEC.num_trees, max_features=SPEC.max_features, oob_score=True, random_state=0
  ).fit(train.feature_ND, train.label_N)
  assert found.error_T[-1] == pytest.approx(1 - theirs.oob_score_, abs=0.04)
  assert found.error_T[:3].mean() > found.error_T[-1] + 0.01, 'and few trees are worse'


def test_what_is_said_out_of_bag_is_said_by_trees_that_never_saw_the_group():
  train = rows(2, 5, 0.0, 0)
  two = dataclasses.replace(train, label_N=train.label_N % 2)
  found = trees.fit(trees.FOREST, two, two, NAMES[:2], SPEC, 0, 'bags', lambda: None).out_of_bag
  assert found is not None
  # A tree that did not see a photograph of two saw the other alone, of the other class: it is always wrong.
  assert (found.probs_NK.argmax(1) != two.label_N).all()
  assert found.error_T[-1] == 1
  one = dataclasses.replace(SPEC, num_trees=1)
  partly = trees.fit(trees.FOREST, rows(60, 4, 3.0, 0), train, NAMES, one, 0, 'bags', lambda: None).out_of_bag
  assert partly is not None
  share = np.isnan(partly.probs_NK[:, 0]).mean()
  assert share == pytest.approx(1 - np.exp(-1), abs=0.15), 'who is in every bag has no answer'
  by_group = np.isnan(partly.probs_NK[:, 0]).reshape(60, 4)
  assert (by_group == by_group[:, :1]).all(), 'no group lies partly in a bag'


@pytest.mark.parametrize('kind', trees.KINDS)
def test_the_same_arguments_give_the_same_bits_and_another_seed_of_the_forest_others(kind):
  train, validation = rows(60, 4, 3.0, 0), rows(30, 4, 3.0, 1)
  new = rows(50, 2, 3.0, 5)
  first = fitted(kind).predict(new.feature_ND)
  again = trees.fit(kind, train, validation, NAMES, SPEC, 0, 'bags', lambda: None)
  assert again.predict(new.feature_ND).tobytes() == first.tobytes()
  assert again.num_used == fitted(kind).num_used
  if kind == trees.FOREST:
    other = trees.fit(kind, train, validation, NAMES, SPEC, 1, 'bags', lambda: None)
    assert other.predict(new.feature_ND).tobytes() != first.tobytes()


def test_the_number_of_threads_changes_nothing():
  import threadpoolctl

  new = rows(50, 2, 3.0, 5)
  train, validation = rows(60, 4, 3.0, 0), rows(30, 4, 3.0, 1)
  for limit in (1, 4):
    with threadpoolctl.threadpool_limits(limit):
      found = trees.fit(trees.BOOSTING, train, validation, NAMES, SPEC, 0, 'bags', lambda: None)
      assert (
        found.predict(new.feature_ND).tobytes() == fitted(trees.BOOSTING).predict(new.feature_ND).tobytes()
      )


@pytest.mark.parametrize('kind', trees.KINDS)
def test_probabilities_are_such_and_name_the_class(kind):
  new = rows(90, 1, 3.0, 5)
  probs_NK = fitted(kind).predict(new.feature_ND)
  np.testing.assert_allclose(probs_NK.sum(1), 1)
  assert probs_NK.min() > 0
  assert wrong(fitted(kind), new) < 0.25
  shuffled = dataclasses.replace(new, label_N=np.random.default_rng(0).permutation(new.label_N))
  assert wrong(fitted(kind), shuffled) > 0.5


def test_boosting_stops_where_validation_is_best_and_groups_weigh_alike():
  found = fitted(trees.BOOSTING)
  assert found.loss_T is not None
  assert found.num_used == found.loss_T.argmin() > 0
  assert len(found.loss_T) <= found.num_used + SPEC.patience + 1
  validation = rows(30, 4, 3.0, 1)
  probs_N = found.predict(validation.feature_ND)[np.arange(120), validation.label_N]
  assert -np.log(probs_N).mean() == pytest.approx(found.loss_T.min(), rel=1e-5)
  # One photograph with a hundred copies counts once.
  many = np.concatenate([np.arange(120), np.repeat(np.arange(4), 25)])
  heavy = trees.Rows(
    *(column[many] for column in (validation.feature_ND, validation.label_N, validation.group_N))
  )
  same = trees.fit(trees.BOOSTING, rows(60, 4, 3.0, 0), heavy, NAMES, SPEC, 0, 'bags', lambda: None)
  assert same.loss_T is not None
  np.testing.assert_allclose(same.loss_T, found.loss_T, rtol=1e-5)
  counted = dataclasses.replace(heavy, group_N=np.arange(len(many)))
  other = trees.fit(trees.BOOSTING, rows(60, 4, 3.0, 0), counted, NAMES, SPEC, 0, 'bags', lambda: None)
  assert other.loss_T is not None
  assert abs(other.loss_T.min() / found.loss_T.min() - 1) > 0.01, 'the comparison sees weights of images'


@pytest.mark.parametrize('kind', trees.KINDS)
def test_importance_finds_the_features_that_tell_the_class(kind):
  validation = rows(30, 4, 3.0, 1)
  found = importance.permute(fitted(kind), validation, np.arange(8), 3, 0, lambda: None)
  assert set(np.argsort(-found.mean_U)[:INFORMATIVE]) == set(range(INFORMATIVE))
  assert found.mean_U[:INFORMATIVE].min() > 5 * np.abs(found.mean_U[INFORMATIVE:]).max()
  impurity_D = fitted(kind).impurity_D
  assert (impurity_D is None) == (kind == trees.BOOSTING)
  if impurity_D is not None:
    assert impurity_D.sum() == pytest.approx(1)
    assert set(np.argsort(-impurity_D)[:INFORMATIVE]) == set(range(INFORMATIVE))
  blind = dataclasses.replace(validation, label_N=np.random.default_rng(1).permutation(validation.label_N))
  nothing = importance.permute(fitted(kind), blind, np.arange(8), 3, 0, lambda: None)
  assert nothing.mean_U[:INFORMATIVE].max() < found.mean_U[:INFORMATIVE].min(), (
    'wrong labels owe nothing to them'
  )


def test_a_channel_is_permuted_whole():
  validation = rows(30, 4, 3.0, 1)
  unit_D = np.array([0, 0, 1, 1, 2, 2, 3, 3])
  found = importance.permute(fitted(trees.FOREST), validation, unit_D, 3, 0, lambda: None)
  single = importance.permute(fitted(trees.FOREST), validation, np.arange(8), 3, 0, lambda: None)
  assert found.mean_U.shape == (4,)
  assert found.mean_U[0] > single.mean_U[:2].max(), 'both places together tell more than either'
  assert found.loss == single.loss
  probs_N = fitted(trees.FOREST).predict(validation.feature_ND)[np.arange(120), validation.label_N]
  assert found.loss == pytest.approx(-np.log(probs_N).mean())


def test_what_cannot_be_fitted_is_told_in_a_line():
  train = rows(60, 4, 3.0, 0)

  def fit(given: trees.Rows, names: tuple[str, ...] = NAMES) -> None:
    trees.fit(trees.FOREST, given, train, names, SPEC, 0, 'bags', lambda: None)

  with pytest.raises(types.UserError, match='no image of D'):
    fit(train, (*NAMES, 'D'))
  with pytest.raises(types.UserError, match='two groups'):
    fit(dataclasses.replace(train, group_N=np.zeros(240, int)))
  broken = train.feature_ND.copy()
  broken[3, 2] = np.nan
  with pytest.raises(types.RunError, match='not finite'):
    fit(dataclasses.replace(train, feature_ND=broken))
  for key, value in (
    ('num_trees', 0), ('min_samples_leaf', 0), ('max_features', 0.0), ('max_features', 1.5), ('learning_rate', 0.0),
    ('max_iter', 0), ('patience', 0), ('num_permutations', 0),
  ):  # fmt: skip
    with pytest.raises(types.UserError, match=rf'trees\.{key}'):
      dataclasses.replace(SPEC, **{key: value})


def test_a_stop_is_heard_between_trees():
  class Stopped(Exception):
    pass

  def poll() -> None:
    raise Stopped

  with pytest.raises(Stopped):
    trees.fit(trees.FOREST, rows(60, 4, 3.0, 0), rows(30, 4, 3.0, 1), NAMES, SPEC, 0, 'bags', poll)
