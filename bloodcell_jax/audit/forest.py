"""Union-find with parity: groups of rows, and which rows of a group are mirror images of each other."""

from __future__ import annotations

import numpy as np


class Forest:
  """N rows, each a group of its own at first; `join` merges the groups of two rows.

  Source: Tarjan 1975, "Efficiency of a good but not linear set union algorithm".

  Example:
    >>> forest = Forest(3)
    >>> forest.join(0, 2, mirrored=True)
    True
    >>> forest.join(2, 0, mirrored=True)
    False
    >>> forest.roots().tolist(), forest.size(2), forest.find(2)
    ([0, 1, 0], 2, (0, True))
  """

  def __init__(self, num: int) -> None:
    self._parent = list(range(num))
    self._odd = [False] * num  # whether the row is a mirror image of its parent
    self._size = [1] * num

  def find(self, row: int) -> tuple[int, bool]:
    """The root of the row's group, and whether the row is a mirror image of it."""
    path = []
    while self._parent[row] != row:
      path.append(row)
      row = self._parent[row]
    odd = False
    for below in reversed(path):
      odd ^= self._odd[below]
      self._parent[below], self._odd[below] = row, odd
    return row, odd

  def size(self, row: int) -> int:
    """The number of rows in the row's group."""
    return self._size[self.find(row)[0]]

  def join(self, a: int, b: int, mirrored: bool) -> bool:
    """Merges the groups of a and b, b being a mirror image of a or not; returns False if they were one group."""
    (root_a, odd_a), (root_b, odd_b) = self.find(a), self.find(b)
    if root_a == root_b:
      return False
    # The lower row becomes the root, so that the order of joins does not change the names of groups.
    if root_b < root_a:
      root_a, root_b = root_b, root_a
    self._parent[root_b] = root_a
    self._odd[root_b] = odd_a ^ odd_b ^ mirrored
    self._size[root_a] += self._size[root_b]
    return True

  def roots(self) -> np.ndarray:
    """[N] int64: the lowest row of each row's group."""
    return np.array([self.find(row)[0] for row in range(len(self._parent))], np.int64)

  def mirrored(self) -> np.ndarray:
    """[N] bool: whether each row is a mirror image of its group's lowest row."""
    return np.array([self.find(row)[1] for row in range(len(self._parent))], bool)
