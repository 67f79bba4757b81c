"""Which images to label next: those near many others and, in a known laboratory, those whose class is in doubt."""

from __future__ import annotations

import numpy as np

# Added to the doubt, so that images which the run is sure of, perhaps wrongly, count too.
_LEAST_DOUBT = 0.1


def choose(embedding_ND: np.ndarray, probs_NK: np.ndarray, labelled_MD: np.ndarray, most: int) -> list[int]:
  """At most so many rows, the most useful first.

  In turn, the row that most reduces the sum over all images of the distance to the nearest one that is labelled or
  chosen, the greedy k-median. Where there are labels, an image counts by its doubt, 1 less the margin between the two
  likeliest classes. Without any, the doubts of a run about a laboratory that it does not know mislead: to choose by
  them is worse than at random (docs/adapt.md).

  **Guarantees**: no two rows with the same features are chosen; the same arguments give the same rows.

  Args:
    embedding_ND: of the images, the input of the output layer.
    probs_NK: of the images.
    labelled_MD: embeddings of the images that have labels; M may be 0.
    most: how many.

  Source: Hacohen et al. 2022, "Active learning on a budget: opposite strategies suit high and low budgets"; Scheffer et
    al. 2001, "Active hidden Markov models for information extraction" (the margin).
  """
  num = len(embedding_ND)
  chosen: list[int] = []
  if not num:
    return []
  distance_NN = _distances(embedding_ND, embedding_ND)
  count_N = np.ones(num)
  nearest_N = np.full(num, max(float(distance_NN.max()), 1e-12))
  if len(labelled_MD):
    sorted_NK = np.sort(probs_NK, axis=1)
    count_N = 1 - (sorted_NK[:, -1] - sorted_NK[:, -2]) + _LEAST_DOUBT
    nearest_N = _distances(embedding_ND, labelled_MD).min(1)
  while len(chosen) < min(most, num):
    gain_N = count_N @ np.maximum(nearest_N[:, None] - distance_NN, 0)
    gain_N[chosen] = 0
    row = int(gain_N.argmax())
    if gain_N[row] <= 0:
      break
    chosen.append(row)
    nearest_N = np.minimum(nearest_N, distance_NN[:, row])
  return chosen


def _distances(one_ND: np.ndarray, other_MD: np.ndarray) -> np.ndarray:
  """[N, M], 0 between equal rows."""
  return np.stack([np.sqrt(np.square(one_ND.astype(np.float64) - x).sum(1)) for x in other_MD], 1)
