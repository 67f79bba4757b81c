"""Which images to label next: those that the run is unsure of and that are unlike each other and what is labelled."""

from __future__ import annotations

import numpy as np

# Added to the doubt, so that images which the run is sure of, perhaps wrongly, are proposed too.
_LEAST_DOUBT = 0.1


def choose(embedding_ND: np.ndarray, probs_NK: np.ndarray, labelled_MD: np.ndarray, most: int) -> list[int]:
  """At most so many rows, the most useful first.

  In turn, the row with the largest product of its doubt (1 less the margin between the two likeliest classes) and its
  distance from the nearest image that is labelled or chosen already.

  **Guarantees**: no two rows with the same features are chosen; the same arguments give the same rows.

  Args:
    embedding_ND: of the images, the input of the output layer.
    probs_NK: of the images.
    labelled_MD: embeddings of the images that have labels; M may be 0.
    most: how many.

  Source: Sener and Savarese 2018, "Active learning for convolutional neural networks: a core-set approach", the greedy
  k-centre; Scheffer et al. 2001, "Active hidden Markov models for information extraction", the margin.
  """
  sorted_NK = np.sort(probs_NK, axis=1)
  doubt_N = 1 - (sorted_NK[:, -1] - sorted_NK[:, -2]) + _LEAST_DOUBT
  distance_N = np.full(len(embedding_ND), np.inf)
  for centre_D in labelled_MD:
    distance_N = np.minimum(distance_N, _distances(embedding_ND, centre_D))
  chosen: list[int] = []
  while len(chosen) < min(most, len(embedding_ND)):
    # The first one, without any label, is the one in most doubt.
    score_N = doubt_N * np.where(np.isinf(distance_N), 1.0, distance_N)
    row = int(score_N.argmax())
    if score_N[row] <= 0:
      break
    chosen.append(row)
    distance_N = np.minimum(distance_N, _distances(embedding_ND, embedding_ND[row]))
    distance_N[row] = 0
  return chosen


def _distances(embedding_ND: np.ndarray, centre_D: np.ndarray) -> np.ndarray:
  return np.sqrt(np.square(embedding_ND.astype(np.float64) - centre_D).sum(1))
