"""Few labels in folds: no class of two groups is ever missing from what remains."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.base import groups


def test_groups_stay_whole_classes_remain_and_folds_are_of_one_size():
  rng = np.random.default_rng(0)
  for seed in range(20):
    num_K = rng.integers(2, 9, 4)
    label_G = np.repeat(np.arange(4), num_K)
    size_G = rng.integers(1, 4, len(label_G))
    label_N, group_N = np.repeat(label_G, size_G), np.repeat([f'g{i}' for i in range(len(label_G))], size_G)
    fold_N = groups.spread_folds(label_N, group_N, 5, seed)
    for group in set(group_N):
      assert len(set(fold_N[group_N == group])) == 1
    counts = [len(set(group_N[fold_N == fold])) for fold in range(5)]
    assert max(counts) - min(counts) <= 1
    for fold in range(5):
      assert set(label_N[fold_N != fold]) == {0, 1, 2, 3}
  # Negative control: folds at random lose a class of two groups now and then.
  lost = [len(set(rng.integers(0, 5, 2))) == 1 for _ in range(100)]
  assert any(lost)
