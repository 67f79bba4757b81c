"""The sizes of photographs, and a warning where new ones differ much from those trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# A long side beyond those trained on by this factor shows cells at another scale than the network has seen.
MOST_FACTOR = 1.5


def summary(size_N2: np.ndarray) -> dict[str, list[int]]:
  """`smallest`, `median` and `largest`, each [width, height] in pixels, by the longer side; empty without images."""
  if not len(size_N2):
    return {}
  order = np.argsort(size_N2.max(1), kind='stable')
  picks = {'smallest': order[0], 'median': order[len(order) // 2], 'largest': order[-1]}
  return {name: [int(side) for side in size_N2[row]] for name, row in picks.items()}


def warning(size_N2: Sequence[Sequence[int]] | np.ndarray, trained: Mapping[str, Any]) -> str:
  """A line about images of a very different size from those trained on; '' if there are none, or it is not known.

  Args:
    size_N2: width and height of each image, in pixels.
    trained: the `summary` of the training images; empty where the run does not record it.

  Example:
    >>> trained = {'smallest': [180, 180], 'median': [180, 180], 'largest': [180, 180]}
    >>> warning([[180, 200], [1600, 1200]], trained)
    '1 of 2 images is of a very different size from those trained on, such as 1600x1200 beside 180x180: \
if its cells fill less or more of the frame, the predictions mean little; crop or scale it as in training'
    >>> warning([[200, 180]], trained)
    ''
  """
  sides_N = np.asarray(size_N2).reshape(-1, 2).max(1)
  if not trained or not len(sides_N):
    return ''
  low, high = (max(trained[name]) for name in ('smallest', 'largest'))
  is_other = (sides_N > MOST_FACTOR * high) | (sides_N * MOST_FACTOR < low)
  if not is_other.any():
    return ''
  num, first = int(is_other.sum()), size_N2[int(np.flatnonzero(is_other)[0])]
  verb, its, it = ('is', 'its', 'it') if num == 1 else ('are', 'their', 'them')
  return (
    f'{num:,} of {len(sides_N):,} images {verb} of a very different size from those trained on, such as '
    f'{first[0]}x{first[1]} beside {trained["median"][0]}x{trained["median"][1]}: if {its} cells fill less or more of '
    f'the frame, the predictions mean little; crop or scale {it} as in training'
  )
