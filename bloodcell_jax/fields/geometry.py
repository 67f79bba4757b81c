"""Compares two images: keypoints that match and agree on one affine map."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from bloodcell_jax.fields import keypoints

# Ratio test: a match counts if the second-best is clearly worse. Lowe 2004, section 7.1.
_RATIO = 0.8
# Residual of a match under the map, in pixels at keypoints.LONG_SIDE.
_TOLERANCE = 3.0
# Limits of the singular values of the map: half to double size, and stretched by at most 1.8.
_SCALES = (0.5, 2.0)
_MOST_ANISOTROPY = 1.8


@dataclasses.dataclass(frozen=True)
class Match:
  """An affine map between two images that show the same."""

  inliers: int  # distinct keypoints that agree on the map
  # float64: maps pixels of a to pixels of b (mirrored if `mirrored`), both at keypoints.LONG_SIDE.
  affine_23: np.ndarray
  mirrored: bool
  overlap: float  # fraction of the smaller image that the other one shows, 0 to 1


def match(points: keypoints.Keypoints, a: int, b: int, mirrored: bool, least: int) -> Match | None:
  """The map from image a to image b, or None if fewer than `least` keypoints agree on a plausible one.

  Args:
    points: keypoints of all images.
    a, b: rows.
    mirrored: compare with the mirror image of b.
    least: inliers, at least 3.

  Source: Fischler and Bolles 1981, "Random sample consensus"; OpenCV `estimateAffine2D`.
  """
  (xy_a, desc_a), (xy_b, desc_b) = points.of_image(a), points.of_image(b)
  if min(len(xy_a), len(xy_b)) < least:
    return None
  if mirrored:
    desc_b = keypoints.mirrored(desc_b)
    xy_b = np.stack([points.size_N2[b, 0] - 1 - xy_b[:, 0], xy_b[:, 1]], 1)
  at_a, at_b = _matches(desc_a, desc_b)
  if len(at_a) < least:
    return None
  affine, kept = cv2.estimateAffine2D(
    xy_a[at_a],
    xy_b[at_b],
    method=cv2.RANSAC,
    ransacReprojThreshold=_TOLERANCE,
    maxIters=1000,
    confidence=0.99,
  )
  if affine is None or not _is_plausible(affine[:, :2]):
    return None
  kept = kept.ravel().astype(bool)
  # Several keypoints, of different orientations or scales, can share a position: it counts once, in either image.
  inliers = min(_num_positions(xy_a[at_a][kept]), _num_positions(xy_b[at_b][kept]))
  if inliers < least:
    return None
  return Match(inliers, affine, mirrored, _overlap(affine, points.size_N2[a], points.size_N2[b]))


def _overlap(affine_23: np.ndarray, size_a: np.ndarray, size_b: np.ndarray) -> float:
  corners_a, corners_b = (np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) for w, h in (size_a, size_b))
  moved = (corners_a @ affine_23[:, :2].T + affine_23[:, 2]).astype(np.float32)
  shared, _ = cv2.intersectConvexConvex(moved, corners_b)
  smaller = min(float(np.prod(size_a)) * np.linalg.det(affine_23[:, :2]), float(np.prod(size_b)))
  return float(min(1.0, shared / smaller))


def warp(image_HWC: np.ndarray, match: Match, size_b: np.ndarray, size_a: np.ndarray) -> np.ndarray:
  """Image b warped onto image a: mirrored if the match is, and mapped; uint8, of the size of a.

  Args:
    image_HWC: b, uint8.
    match: the result of `match` for a and b.
    size_b, size_a: width and height of both at keypoints.LONG_SIDE.
  """
  image_HWC = cv2.resize(image_HWC, [int(n) for n in size_b])
  if match.mirrored:
    image_HWC = np.ascontiguousarray(image_HWC[:, ::-1])
  flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
  return np.asarray(cv2.warpAffine(image_HWC, match.affine_23, [int(n) for n in size_a], flags=flags))


def _matches(desc_a: np.ndarray, desc_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Indices into both images of the matches that are mutual and pass the ratio test."""
  a, b = desc_a.astype(np.float32), desc_b.astype(np.float32)
  square_AB = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * (a @ b.T)
  rows = np.arange(len(a))
  best = square_AB.argmin(1)
  mutual = square_AB.argmin(0)[best] == rows
  nearest = square_AB[rows, best]
  square_AB[rows, best] = np.inf
  passed = mutual & (nearest < _RATIO**2 * square_AB.min(1))
  return rows[passed], best[passed]


def _is_plausible(linear_22: np.ndarray) -> bool:
  if np.linalg.det(linear_22) <= 0:
    return False
  large, small = np.linalg.svd(linear_22, compute_uv=False)
  return bool(_SCALES[0] <= small and large <= _SCALES[1] and large <= _MOST_ANISOTROPY * small)


def _num_positions(xy_P2: np.ndarray) -> int:
  # Keypoints nearer than the tolerance share a position.
  return len(np.unique(np.round(xy_P2 / _TOLERANCE), axis=0))
