"""Candidates for white cells: stained objects with their lobes joined, and what is measured of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from bloodcell_jax.fields import disk, rim, stain, touching

# Pixels to a red cell's diameter at the working scale; all lengths below are in red cells.
WORKING = 32
_GAP = 0.14  # half the gap between lobes of one nucleus
_LEAST_AREA = 0.02  # of the square of the diameter
_NUCLEUS = 0.6  # area of a nucleus, for the first guess of what is one
_LEAST_CONTRAST = 1.5  # standard deviations of the red cells
_BESIDE = 2  # pixels to a black rim that cuts the cell
# Far more objects than a field has are noise or another kind of image.
MOST = 2000


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One stained object; lengths in pixels of the working image."""

  left: int
  top: int
  right: int
  bottom: int
  row: float  # centre
  column: float
  area: int
  features: dict[str, float]


def candidates(working_HWC: np.ndarray) -> list[Candidate]:
  """Every stained object of the photograph at the working scale.

  Args:
    working_HWC: uint8 RGB, WORKING pixels to a red cell.
  """
  from skimage import filters

  density_HWC = stain.density(working_HWC)
  rim_HW = rim.find(working_HWC, WORKING)
  if rim_HW is not None:
    density_HWC[rim_HW] = 0
  density_HWC = cv2.blur(density_HWC, (3, 3))
  layers = stain.layers(density_HWC)
  if layers is None:
    return []
  total_HW = layers.strongest_HW
  share = float(np.clip(_NUCLEUS * WORKING**2 / total_HW.size, 0.002, 0.05))
  score_HW, red_C = stain.nuclear(density_HWC, layers, share)
  stained_N = score_HW[total_HW > layers.ground]
  highest = np.percentile(stained_N, 99.9)
  if highest < _LEAST_CONTRAST:
    return []
  limit = max(_LEAST_CONTRAST, float(filters.threshold_otsu(np.clip(stained_N, 0, highest), nbins=128)))
  label_HW, boxes = _objects(score_HW > limit, total_HW <= layers.ground)
  maps = _Maps(density_HWC, score_HW, layers, red_C, limit, rim_HW)
  found = [maps.measure(label_HW, i, box) for i, box in boxes]
  largest = max((one.features['area'] for one in found), default=0)
  strongest = max((one.features['score'] for one in found), default=0)
  is_in = score_HW > limit
  contrast = float(score_HW[is_in].mean() - score_HW[~is_in].mean()) if found else 0.0
  for one in found:
    one.features['relative_area'] = one.features['area'] - largest
    one.features['relative_score'] = one.features['score'] - strongest
    one.features['contrast'] = contrast
  return found


def _objects(mask_HW: np.ndarray, ground_HW: np.ndarray) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
  """Labels of the nuclei, lobes joined, and (label, [left, top, width, height] that holds it)."""
  mask_HW = cv2.morphologyEx(mask_HW.astype(np.uint8), cv2.MORPH_OPEN, disk.of(1))
  _, label_HW, stats, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=8)
  is_kept = stats[:, 4] >= _LEAST_AREA * WORKING**2
  is_kept[0] = False
  mask_HW = is_kept[label_HW].astype(np.uint8)
  joined_HW = cv2.dilate(mask_HW, disk.of(round(_GAP * WORKING)))
  num, label_HW, stats, _ = cv2.connectedComponentsWithStats(joined_HW, connectivity=8)
  label_HW *= mask_HW
  label_HW[label_HW > MOST] = 0
  return label_HW, _separated(label_HW, ground_HW, [stats[i, :4] for i in range(1, min(num, MOST + 1))])


def _separated(
  label_HW: np.ndarray, ground_HW: np.ndarray, boxes: Sequence[np.ndarray]
) -> list[tuple[int, np.ndarray]]:
  """(label, box) of each nucleus; those that touch get labels of their own, in place."""
  highest, room = len(boxes), round(touching.WAIST * WORKING)
  pieces = []
  for i, box in enumerate(boxes, 1):
    left, top, width, height = (int(v) for v in box)
    window = np.s_[max(0, top - room) : top + height + room, max(0, left - room) : left + width + room]
    part_HW = touching.parts(label_HW[window] == i, ground_HW[window], WORKING)
    pieces.append((i, box))
    for part in range(2, int(part_HW.max()) + 1):
      highest += 1
      label_HW[window][part_HW == part] = highest
      pieces.append((highest, box))
  return pieces


@dataclasses.dataclass(frozen=True)
class _Maps:
  """What is known of every pixel."""

  density_HWC: np.ndarray
  score_HW: np.ndarray
  layers: stain.Layers
  red_C: np.ndarray
  limit: float
  rim_HW: np.ndarray | None

  def measure(self, label_HW: np.ndarray, i: int, box: np.ndarray) -> Candidate:
    height, width = label_HW.shape
    left, top, w, h = (int(v) for v in box)
    room = round(0.35 * WORKING)
    x, y = max(0, left - room), max(0, top - room)
    window = np.s_[y : min(height, top + h + room), x : min(width, left + w + room)]
    mask_HW = (label_HW[window] == i).astype(np.uint8)
    rows, columns = np.nonzero(mask_HW)
    left, top, right, bottom = columns.min() + x, rows.min() + y, columns.max() + x + 1, rows.max() + y + 1
    is_in_HW = mask_HW > 0
    ring_HW = (cv2.dilate(mask_HW, disk.of(round(0.2 * WORKING))) > 0) & (
      cv2.dilate(mask_HW, disk.of(2)) == 0
    )
    total_HW, score_HW = self.layers.strongest_HW[window], self.score_HW[window]
    red = self.layers.strongest_HW[self.layers.is_red_HW].mean()
    slope_HW = np.hypot(*(cv2.Sobel(score_HW, cv2.CV_32F, *way, ksize=3) / 8 for way in ((1, 0), (0, 1))))
    edge_HW = is_in_HW & (cv2.erode(mask_HW, disk.of(1)) == 0)
    points = np.stack([columns, rows], 1).astype(np.int32)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T) + np.eye(2) / 12), 1e-3))
    inside_N, inside_C = score_HW[is_in_HW], self.density_HWC[window][is_in_HW].mean(0)
    mean = float(inside_N.mean())
    has_ring = bool(ring_HW.any())
    ring_C = self.density_HWC[window][ring_HW].mean(0) if has_ring else np.zeros(3)
    around = float(score_HW[ring_HW].mean()) if has_ring else 0.0
    is_cut = left <= 1 or top <= 1 or right >= width - 1 or bottom >= height - 1
    if self.rim_HW is not None:
      is_cut |= bool((cv2.dilate(mask_HW, disk.of(_BESIDE)) > 0)[self.rim_HW[window]].any())
    features = {
      'area': float(np.log(len(rows) / WORKING**2)),
      'score': float(np.log1p(max(0.0, mean))),
      'peak': float(np.log1p(max(0.0, np.percentile(inside_N, 95)))),
      'limit': self.limit,
      'above_limit': mean / self.limit,
      'unevenness': float(inside_N.std() / mean),
      'density': float(np.log(total_HW[is_in_HW].mean() / red + 1e-6)),
      'solidity': len(rows) / max(1.0, cv2.contourArea(cv2.convexHull(points))),
      'elongation': float(axes[0] / axes[1]),
      'length': float(np.log(4 * axes[1] / WORKING)),
      'ring_ground': float((total_HW[ring_HW] <= self.layers.ground).mean()) if has_ring else 0.0,
      'ring_red': float(self.layers.is_red_HW[window][ring_HW].mean()) if has_ring else 0.0,
      'ring_score': around,
      'ring_share': around / mean,
      'ring_density': float(total_HW[ring_HW].mean() / red) if has_ring else 0.0,
      'hue': _cosine(inside_C, self.red_C),
      'ring_hue': _cosine(ring_C, self.red_C),
      'sharpness': float(slope_HW[edge_HW].mean() / mean),
      'purity': float(inside_C.min() / (inside_C.max() + 1e-6)),
      'is_cut': float(is_cut),
      'parts': float(cv2.connectedComponents(mask_HW)[0] - 1),
      'absorption': float(total_HW[is_in_HW].mean()),
    }
    return Candidate(
      int(left),
      int(top),
      int(right),
      int(bottom),
      float(rows.mean() + y),
      float(columns.mean() + x),
      len(rows),
      features,
    )


def _cosine(a_C: np.ndarray, b_C: np.ndarray) -> float:
  return float(a_C @ b_C / (np.linalg.norm(a_C) * np.linalg.norm(b_C) + 1e-6))
