"""Cells that several photographs of one field show: recognised by what is around them, then by registration."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np

from bloodcell_jax.base import cell
from bloodcell_jax.fields import geometry, keypoints

# Side of a cell's thumbnail in pixels.
_SIDE = 16
# Least correlation of two thumbnails, and the greatest factor between the sides of two boxes, of one cell.
_LIKENESS, _SIZES = 0.8, 1.2
# Keypoints that agree on a map: as many as the audit asks for to join a single image.
_LEAST_INLIERS = 10
# Photographs that each is compared with in any case, the most similar ones; and how many comparisons in vain end those
# beyond them.
_PARTNERS, _MOST_IN_VAIN = 4, 4
_BLOCK = 512

View = tuple[int, int]  # a cell in a photograph: (photograph, index of the box)


@dataclasses.dataclass(frozen=True)
class Thumbnails:
  """The cells of photographs, each a few numbers."""

  thumbnail_ND: np.ndarray  # float32, of mean 0 and norm 1; D = 256
  side_N: np.ndarray  # longer side of the box in pixels
  views: tuple[View, ...]  # N


@dataclasses.dataclass(frozen=True)
class Described:
  """A photograph by its keypoints, as from `keypoints.detect`: 27 kilobytes at most."""

  side: int  # the photograph's longer one in pixels
  xy_P2: np.ndarray
  descriptor_PD: np.ndarray
  size: tuple[int, int]


def thumbnail(photograph_HWC: np.ndarray, box: cell.Box) -> np.ndarray:
  """The grey levels in the box, [256] float32 of mean 0 and norm 1; zeros where all are equal."""
  cut_HWC = photograph_HWC[box.top : box.bottom, box.left : box.right]
  grey_HW = cv2.cvtColor(np.ascontiguousarray(cut_HWC), cv2.COLOR_RGB2GRAY)
  value_D = cv2.resize(grey_HW, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
  value_D -= value_D.mean()
  return value_D / max(1e-6, float(np.linalg.norm(value_D)))


def alike(cells: Thumbnails) -> Iterator[tuple[View, View]]:
  """Pairs of cells that look alike, of photographs a < b; the most alike first.

  It takes N^2 products of thumbnails, and some 50 bytes for each pair.
  """
  photograph_N = np.array([photograph for photograph, _ in cells.views], np.int64)
  parts = []
  for start in range(0, len(cells.thumbnail_ND), _BLOCK):
    block = slice(start, start + _BLOCK)
    likeness_BN = cells.thumbnail_ND[block] @ cells.thumbnail_ND.T
    ratio_BN = cells.side_N[block, None] / cells.side_N
    is_near_BN = (likeness_BN >= _LIKENESS) & (ratio_BN <= _SIZES) & (ratio_BN >= 1 / _SIZES)
    is_near_BN &= photograph_N[block, None] < photograph_N
    i, j = np.nonzero(is_near_BN)
    parts.append(((i + start).astype(np.int32), j.astype(np.int32), likeness_BN[i, j]))
  i, j, likeness = (np.concatenate(column) for column in zip(*parts, strict=True))
  for row in np.lexsort((photograph_N[j], photograph_N[i], -likeness)):
    yield cells.views[i[row]], cells.views[j[row]]


def described(photograph_HWC: np.ndarray) -> Described:
  """What `registered` needs of a photograph, uint8 RGB."""
  return Described(max(photograph_HWC.shape[:2]), *keypoints.detect(photograph_HWC))


def registered(first: Described | None, second: Described | None) -> np.ndarray | None:
  """The affine map [2, 3] from pixels of the first to pixels of the second; None if their keypoints agree on none.

  Source: as `geometry.match`.

  Args:
    first, second: None for a photograph that has gone, which has no map.
  """
  if first is None or second is None:
    return None
  collector = keypoints.Collector(2)
  for one in (first, second):
    collector.add(one.xy_P2, one.descriptor_PD, one.size)
  found = geometry.match(collector.keypoints(), 0, 1, False, _LEAST_INLIERS)
  if found is None:
    return None
  affine_23 = found.affine_23 * (second.side / keypoints.LONG_SIDE)
  affine_23[:, :2] /= first.side / keypoints.LONG_SIDE
  return affine_23


def same_cells(
  boxes: Sequence[Sequence[cell.Box]],
  pairs: Iterable[tuple[View, View]],
  map_of: Callable[[int, int], np.ndarray | None],
) -> list[list[View]]:
  """The cells that several photographs show, each by its views in ascending order.

  A box of a is one of b if the map carries its centre into that, and the inverse map carries that one's centre back.

  Each photograph is compared with the 4 that are most similar. Where some of these show the same cells it is compared
  with others as well, as long as two views that look alike belong to no common cell, until 4 comparisons joined
  nothing. N photographs without a cell in common take at most 2 N comparisons; beyond these there is at most one for
  each view that is joined, and 4 for each photograph with such a view.

  Args:
    boxes: of each photograph.
    pairs: as from `alike`.
    map_of: `registered` of photographs a < b, asked once at most.
  """
  views = _Views()
  compared: set[tuple[int, int]] = set()
  num_compared: collections.Counter[int] = collections.Counter()
  num_in_vain: collections.Counter[int] = collections.Counter()
  for one, other in pairs:
    both = one[0], other[0]
    if both in compared:
      continue
    is_similar = all(num_compared[i] < _PARTNERS for i in both)
    is_settled = views.is_in(one, both[1]) or views.is_in(other, both[0])
    if not is_similar and (is_settled or any(num_in_vain[i] >= _MOST_IN_VAIN for i in both)):
      continue
    compared.add(both)
    num_compared.update(both if is_similar else ())
    affine_23 = map_of(*both)
    num_joined = 0 if affine_23 is None else _join(views, both, boxes, affine_23)
    num_in_vain.update(both if not num_joined and not is_settled else ())
  return views.groups()


class _Views:
  """Views of cells, joined where they show the same one."""

  def __init__(self) -> None:
    self._root: dict[View, View] = {}
    self._group: dict[View, list[View]] = {}  # by root
    self._photographs: dict[View, set[int]] = {}  # by root

  def is_in(self, view: View, photograph: int) -> bool:
    """Whether the cell of this view is known to be in the photograph."""
    return view in self._root and photograph in self._photographs[self._root[view]]

  def join(self, one: View, other: View) -> bool:
    """Makes both views of one cell; False if they were."""
    for view in (one, other):
      if view not in self._root:
        self._root[view], self._group[view], self._photographs[view] = view, [view], {view[0]}
    # The smaller group goes into the larger one.
    kept, gone = sorted((self._root[one], self._root[other]), key=lambda root: -len(self._group[root]))
    if kept == gone:
      return False
    for view in self._group[gone]:
      self._root[view] = kept
    self._group[kept] += self._group.pop(gone)
    self._photographs[kept] |= self._photographs.pop(gone)
    return True

  def groups(self) -> list[list[View]]:
    return sorted(sorted(group) for group in self._group.values())


def _join(
  views: _Views, photographs: tuple[int, int], boxes: Sequence[Sequence[cell.Box]], affine_23: np.ndarray
) -> int:
  """Joins the views of two photographs that show the same cell; the number of those that were not joined before."""
  (a, b), back_23 = photographs, cv2.invertAffineTransform(affine_23)
  num_joined = 0
  for i, one in enumerate(boxes[a]):
    for j, other in enumerate(boxes[b]):
      if _is_inside(_middle(one), affine_23, other) and _is_inside(_middle(other), back_23, one):
        num_joined += views.join((a, i), (b, j))
        break
  return num_joined


def _middle(box: cell.Box) -> np.ndarray:
  return np.array(box.middle[::-1])


def _is_inside(at_2: np.ndarray, affine_23: np.ndarray, box: cell.Box) -> bool:
  x, y = affine_23[:, :2] @ at_2 + affine_23[:, 2]
  return bool(box.left <= x < box.right and box.top <= y < box.bottom)
