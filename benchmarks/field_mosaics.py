"""Several photographs laid side by side: wide fields with many white cells, which no annotated photograph shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

_SEED, _ROUNDS, _SIDES = 5, 2, (2, 3)


def draw(
  names_of_folds: Sequence[list[str]],
  image_of: Mapping[str, np.ndarray],
  boxes_of: Mapping[str, Sequence[Sequence[int]]],
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
  """Mosaics of 2x2 and 3x3 photographs of one fold, in two random orders.

  Args:
    names_of_folds: the photographs of each fold.
    image_of: each, uint8 RGB, all of one size.
    boxes_of: the white cells of each: left, top, right, bottom.

  Yields:
    The name of the first photograph, the mosaic, and its boxes [B, 4].
  """
  rng = np.random.default_rng(_SEED)
  for names in names_of_folds:
    own = list(names)
    for _ in range(_ROUNDS):
      rng.shuffle(own)
      for side in _SIDES:
        for start in range(0, len(own) - side**2 + 1, side**2):
          chosen = own[start : start + side**2]
          yield chosen[0], *_joined(chosen, side, image_of, boxes_of)


def _joined(
  names: Sequence[str],
  side: int,
  image_of: Mapping[str, np.ndarray],
  boxes_of: Mapping[str, Sequence[Sequence[int]]],
) -> tuple[np.ndarray, np.ndarray]:
  height, width = image_of[names[0]].shape[:2]
  lines = [
    np.concatenate([image_of[name] for name in names[i : i + side]], 1) for i in range(0, len(names), side)
  ]
  moved = [
    np.array(box) + [width * (i % side), height * (i // side)] * 2
    for i, name in enumerate(names)
    for box in boxes_of[name]
  ]
  return np.concatenate(lines), np.array(moved, float)
