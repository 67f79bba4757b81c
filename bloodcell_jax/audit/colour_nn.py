"""A baseline without morphology: nearest neighbour by colour histogram."""

from __future__ import annotations

import numpy as np

_BINS = 8  # per channel
_BLOCK = 2**16  # pixels that are counted at a time, more only where a row has more


def histogram(image_HWC: np.ndarray) -> np.ndarray:
  """float32 [512]: square roots of the frequencies of 8x8x8 colours, so that distances are Hellinger distances.

  The darkest bin is excluded: black borders of rotated and shifted copies carry no information on the cell. Memory does
  not grow with the number of rows.

  Args:
    image_HWC: uint8 RGB.
  """
  counts = np.zeros(_BINS**3, np.int64)
  rows = max(1, _BLOCK // max(1, image_HWC.shape[1]))
  for top in range(0, len(image_HWC), rows):
    index = (image_HWC[top : top + rows] // (256 // _BINS)).reshape(-1, 3).astype(np.int32)
    counts += np.bincount(index @ np.array([_BINS**2, _BINS, 1], np.int32), minlength=_BINS**3)
  counts[0] = 0
  return np.sqrt(counts / max(1, counts.sum())).astype(np.float32)


def accuracy(histogram_ND: np.ndarray, label_N: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
  """The fraction of the rows `test` whose nearest row of `train` has the same label.

  Source: Cover and Hart 1967, "Nearest neighbor pattern classification".
  """
  # Imported here: scikit-learn takes a second to load.
  from sklearn import neighbors

  search = neighbors.NearestNeighbors(n_neighbors=1, algorithm='brute').fit(histogram_ND[train])
  nearest = search.kneighbors(histogram_ND[test], return_distance=False)[:, 0]
  return float((label_N[train][nearest] == label_N[test]).mean())


def cross_validated(histogram_ND: np.ndarray, label_N: np.ndarray, fold_N: np.ndarray) -> float:
  """The accuracy over all rows, each classified by the rows of the other folds."""
  parts = [np.flatnonzero(fold_N == fold) for fold in np.unique(fold_N)]
  right = sum(
    accuracy(histogram_ND, label_N, np.flatnonzero(~np.isin(np.arange(len(label_N)), part)), part) * len(part)
    for part in parts
  )
  return right / len(label_N)
