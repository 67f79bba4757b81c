"""Which images are proposed: those near to many, spread out, far from what is labelled, and doubtful."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.adaptation import laboratory, proposal
from bloodcell_jax.base import types
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress

SURE, UNSURE = (0.98, 0.01, 0.01), (0.34, 0.33, 0.33)
NONE = np.zeros((0, 2))
RNG = np.random.default_rng(0)
# Three clusters of different size, and one image that is like no other.
CENTRE_C2, SIZE_C = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [9.0, 9.0]]), (8, 5, 3, 1)
CLUSTER_N = np.repeat(np.arange(4), SIZE_C)
EMBEDDING_N2 = CENTRE_C2[CLUSTER_N] + RNG.normal(size=(len(CLUSTER_N), 2)) / 10


def clusters(rows: list[int]) -> list[int]:
  return CLUSTER_N[rows].tolist()


def test_each_cluster_comes_once_before_any_twice_and_the_odd_one_last():
  chosen = proposal.choose(EMBEDDING_N2, np.array([UNSURE] * 17), NONE, 4)
  assert sorted(clusters(chosen)) == [0, 1, 2, 3]
  assert clusters(chosen)[-1] == 3


def test_what_is_near_to_a_label_waits():
  probs_NK = np.array([UNSURE] * 17)
  for k in range(3):
    chosen = proposal.choose(EMBEDDING_N2, probs_NK, CENTRE_C2[[k]], 2)
    assert k not in clusters(chosen)


def test_doubts_count_only_where_there_are_labels():
  doubts_NK = np.array([UNSURE if cluster == 2 else SURE for cluster in CLUSTER_N])
  far = np.array([[50.0, 50.0]])
  assert clusters(proposal.choose(EMBEDDING_N2, doubts_NK, far, 1)) == [2]
  assert clusters(proposal.choose(EMBEDDING_N2, doubts_NK, NONE, 1)) == [0]


def test_copies_are_proposed_once_and_no_more_than_there_are():
  embedding_N2 = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]])
  assert len(proposal.choose(embedding_N2, np.array([UNSURE] * 3), NONE, 9)) == 2
  assert proposal.choose(NONE, np.zeros((0, 3)), NONE, 9) == []
  assert proposal.choose(embedding_N2, np.array([UNSURE] * 3), NONE, 0) == []


@pytest.mark.parametrize(
  ('num', 'said'),
  [
    (0, 'no image is left to label'),
    (1, '1 image to label next'),
    (2, '2 images to label next, the most useful first'),
  ],
)
def test_the_line_says_how_many_there_are_to_label(tmp_path, capsys, num, said):
  name_N = np.array(['a', 'b'])[:num]
  table = types.Table(
    content=('',) * num, file=name_N, label=np.zeros(num, np.int32), source=name_N, group=name_N,
    split=name_N, digest=name_N, class_names=('A', 'B', 'C'), name='', synthetic=False,
  )  # fmt: skip
  probs_NK = np.array([UNSURE, SURE])[:num]
  folder = workdir.Workdir(tmp_path)
  laboratory._write(folder, table, CENTRE_C2[:num], probs_NK, NONE, 5, progress.Progress())
  assert capsys.readouterr().out == f'{folder.next_labels}: {said}\n'
