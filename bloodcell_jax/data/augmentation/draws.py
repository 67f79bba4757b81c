"""Random numbers for each image, keyed by its position in the training stream."""

from __future__ import annotations

import functools

import numpy as np

from bloodcell_jax.base import rng

# Positions drawn together: one generator a position would cost more than the numbers.
_BLOCK = 256


def uniform(seed: int, name: str, positions: np.ndarray, num: int) -> np.ndarray:
  """[B, num] float64 in [0, 1): the numbers of the stream `name` at these positions.

  **Guarantees**: a row depends on (seed, name, num, its position) only, not on the other positions.

  Args:
    seed: of the run.
    name: of the stream, so that two callers get independent numbers for one position.
    positions: [B] ints >= 0.
    num: numbers a position.

  Example:
    >>> a = uniform(0, 'example', np.array([7, 300]), 2)
    >>> bool((a[1] == uniform(0, 'example', np.array([300]), 2)[0]).all()), bool((a[0] == a[1]).any())
    (True, False)
  """
  block_B, offset_B = np.divmod(np.asarray(positions, np.int64), _BLOCK)
  values = np.empty((len(block_B), num))
  for block in np.unique(block_B):
    here = block_B == block
    values[here] = _block(seed, name, int(block), num)[offset_B[here]]
  return values


@functools.lru_cache(maxsize=16)
def _block(seed: int, name: str, block: int, num: int) -> np.ndarray:
  return rng.generator(seed, name, block).random((_BLOCK, num))
