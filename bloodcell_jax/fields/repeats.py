"""Cells that several photographs of one field show: recognised by what is around them, then by registration."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

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
# Photographs that each is compared with, the most similar ones.
_MOST_PARTNERS = 4
_BLOCK = 512


@dataclasses.dataclass(frozen=True)
class Thumbnails:
  """The cells of photographs, each a few numbers."""

  thumbnail_ND: np.ndarray  # float32, of mean 0 and norm 1; D = 256
  side_N: np.ndarray  # longer side of the box in pixels
  photograph_N: np.ndarray  # index of the photograph


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


def candidates(cells: Thumbnails) -> list[tuple[int, int]]:
  """Pairs of photographs, a < b, that may show a cell in common: each with the most similar others."""
  best: dict[tuple[int, int], float] = collections.defaultdict(float)
  for start in range(0, len(cells.thumbnail_ND), _BLOCK):
    block = slice(start, start + _BLOCK)
    likeness_BN = cells.thumbnail_ND[block] @ cells.thumbnail_ND.T
    ratio_BN = cells.side_N[block, None] / cells.side_N
    is_near_BN = (likeness_BN >= _LIKENESS) & (ratio_BN <= _SIZES) & (ratio_BN >= 1 / _SIZES)
    is_near_BN &= cells.photograph_N[block, None] < cells.photograph_N
    for i, j in zip(*np.nonzero(is_near_BN), strict=True):
      pair = int(cells.photograph_N[start + i]), int(cells.photograph_N[j])
      best[pair] = max(best[pair], float(likeness_BN[i, j]))
  times: collections.Counter[int] = collections.Counter()
  kept = []
  for a, b in sorted(best, key=lambda pair: (-best[pair], pair)):
    if times[a] < _MOST_PARTNERS and times[b] < _MOST_PARTNERS:
      times[a] += 1
      times[b] += 1
      kept.append((a, b))
  return sorted(kept)


def described(photograph_HWC: np.ndarray) -> Described:
  """What `registered` needs of a photograph, uint8 RGB."""
  return Described(max(photograph_HWC.shape[:2]), *keypoints.detect(photograph_HWC))


def registered(
  pairs: Sequence[tuple[int, int]], look: Callable[[int], Described | None]
) -> dict[tuple[int, int], np.ndarray]:
  """The affine map [2, 3] from pixels of a to pixels of b, for each pair whose keypoints agree on one.

  Source: as `geometry.match`.

  Args:
    pairs: of photographs, a < b, ascending.
    look: `described` of the photograph, or None where it has gone; asked once for each of its pairs.
  """
  maps: dict[tuple[int, int], np.ndarray] = {}
  for pair in pairs:
    first, second = map(look, pair)
    if first is None or second is None:
      continue
    collector = keypoints.Collector(2)
    for one in (first, second):
      collector.add(one.xy_P2, one.descriptor_PD, one.size)
    found = geometry.match(collector.keypoints(), 0, 1, False, _LEAST_INLIERS)
    if found is not None:
      affine_23 = found.affine_23 * (second.side / keypoints.LONG_SIDE)
      affine_23[:, :2] /= first.side / keypoints.LONG_SIDE
      maps[pair] = affine_23
  return maps


def same_cells(
  boxes: Sequence[Sequence[cell.Box]], maps: dict[tuple[int, int], np.ndarray]
) -> list[list[tuple[int, int]]]:
  """The cells that several photographs show, each as (photograph, index of the box) in ascending order.

  A box of a is one of b if the map carries its centre into that, and the inverse map carries that one's centre back.

  Args:
    boxes: of each photograph.
    maps: as from `registered`.
  """
  parent: dict[tuple[int, int], tuple[int, int]] = {}

  def root(one: tuple[int, int]) -> tuple[int, int]:
    while parent.get(one, one) != one:
      one = parent[one]
    return one

  for (a, b), affine_23 in sorted(maps.items()):
    back_23 = cv2.invertAffineTransform(affine_23)
    for i, one in enumerate(boxes[a]):
      for j, other in enumerate(boxes[b]):
        if _is_inside(_middle(one), affine_23, other) and _is_inside(_middle(other), back_23, one):
          first, second = sorted((root((a, i)), root((b, j))))
          parent[second] = first
          parent.setdefault(first, first)
          break
  groups: dict[tuple[int, int], list[tuple[int, int]]] = collections.defaultdict(list)
  for each in sorted(parent):
    groups[root(each)].append(each)
  return [group for _, group in sorted(groups.items()) if len(group) > 1]


def _middle(box: cell.Box) -> np.ndarray:
  return np.array(box.middle[::-1])


def _is_inside(at_2: np.ndarray, affine_23: np.ndarray, box: cell.Box) -> bool:
  x, y = affine_23[:, :2] @ at_2 + affine_23[:, 2]
  return bool(box.left <= x < box.right and box.top <= y < box.bottom)
