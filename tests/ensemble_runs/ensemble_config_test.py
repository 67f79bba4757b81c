"""The keys of an ensemble: what does not go together, and what its members share."""

from __future__ import annotations

import math

import pytest
from small_ensemble import config

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'ensemble.method': 'mixture'}, 'ensemble.method'),
    ({'ensemble.members': 0}, 'ensemble.members'),
    ({'ensemble.member': 4}, 'ensemble.member'),
    ({'ensemble.method': '', 'ensemble.member': 1}, 'ensemble.member'),
    ({'ensemble.combine': 'median'}, 'ensemble.combine'),
    ({'ensemble.method': 'samme', 'ensemble.combine': 'mean'}, 'has its own rule'),
    ({'ensemble.method': 'bagging', 'ensemble.combine': 'mlp'}, 'needs ensemble.method=average'),
    ({'ensemble.method': 'gradient', 'train.monitor': 'val_accuracy'}, 'train.monitor'),
    ({'ensemble.combine': 'soup', 'ensemble.architectures': ('cnn_a', 'cnn_b')}, 'cannot be averaged'),
    ({'ensemble.shrinkage': 0.0}, 'ensemble.shrinkage'),
    ({'ensemble.shrinkage': 1.5}, 'ensemble.shrinkage'),
    ({'ensemble.shrinkage': math.nan}, 'ensemble.shrinkage'),
    ({'ensemble.folds': 1}, 'ensemble.folds'),
    ({'ensemble.patience': -1}, 'ensemble.patience'),
    ({'ensemble.vectorized': -1}, 'ensemble.vectorized'),
    ({'ensemble.method': 'samme', 'ensemble.vectorized': 2}, 'one after another'),
    ({'train.folds': 2}, 'is not cross-validated'),
  ],
)
def test_what_does_not_go_together_is_told(changes, said):
  with pytest.raises(types.UserError, match=said):
    experiment.resolve(config(**changes))


def test_members_differ_in_seed_and_share_the_division_of_the_config():
  exps = [experiment.resolve(config(**{'ensemble.member': k})) for k in (0, 1, 2)]
  assert len({one.seed for one in exps}) == 3
  assert {one.division_seed for one in exps} == {0}
  assert exps[1].evaluate_splits == ('validation', 'test')
  # Negative control: another seed of the config divides otherwise.
  assert experiment.resolve(config(seed=1, **{'ensemble.member': 1})).division_seed == 1
