"""Which images are proposed: doubtful ones, spread out, far from what is labelled."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.adaptation import proposal

SURE, UNSURE = (0.98, 0.01, 0.01), (0.34, 0.33, 0.33)


def test_the_doubtful_come_first_and_no_two_of_a_cluster_before_each_cluster_had_one():
  centre_C2 = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
  embedding_N2 = np.repeat(centre_C2, 5, 0) + np.random.default_rng(0).normal(size=(15, 2)) / 10
  probs_NK = np.array([UNSURE] * 15)
  chosen = proposal.choose(embedding_N2, probs_NK, np.zeros((0, 2)), 3)
  assert sorted(row // 5 for row in chosen) == [0, 1, 2]
  probs_NK[:] = SURE
  probs_NK[7] = UNSURE
  assert proposal.choose(embedding_N2, probs_NK, np.zeros((0, 2)), 1) == [7]


def test_what_is_near_to_a_label_waits():
  embedding_N2 = np.array([[0.0, 0.0], [5.0, 0.0]])
  probs_NK = np.array([UNSURE, UNSURE])
  assert proposal.choose(embedding_N2, probs_NK, np.array([[0.1, 0.0]]), 1) == [1]
  assert proposal.choose(embedding_N2, probs_NK, np.array([[5.1, 0.0]]), 1) == [0]


def test_copies_are_proposed_once_and_no_more_than_there_are():
  embedding_N2 = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]])
  assert len(proposal.choose(embedding_N2, np.array([UNSURE] * 3), np.zeros((0, 2)), 9)) == 2
  assert proposal.choose(np.zeros((0, 2)), np.zeros((0, 3)), np.zeros((0, 2)), 9) == []
