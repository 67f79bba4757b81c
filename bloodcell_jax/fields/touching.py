"""Nuclei that touch, cut apart by a watershed; the lobes of one nucleus stay together."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from bloodcell_jax.fields import disk

# Lengths in red cells. Two nuclei are at least this far apart, from centre to centre, and each at least this large.
_APART, _LEAST_AREA = 1.15, 0.7
# How wide the neck between two nuclei may be, as a share of the width of the narrower one.
_NECK = 0.8
# Two cells have a waist: on both sides of the neck, ground begins at most this far away. Around the lobes of one
# nucleus there is cytoplasm. Chosen on TRAIN, where no single cell is cut.
WAIST = 0.65
_CLOSED = 0.14
# A peak of the distance transform counts if it rises this far above the saddle to a higher one.
_HEIGHT = 0.04


def parts(mask_HW: np.ndarray, ground_HW: np.ndarray, red_cell: float) -> np.ndarray:
  """int32 [H, W]: labels of the nuclei of one stained object, from 1; 0 outside.

  The basins of the distance transform are joined again until each is as large as a nucleus, as far from the next as
  two cells are, and behind a neck with ground on both sides: lobes are not.

  Args:
    mask_HW: of the object, bool, with WAIST red cells of room around it where the photograph has them.
    ground_HW: where nothing lies, bool.
    red_cell: its diameter in pixels.

  Source: Vincent and Soille 1991, "Watersheds in digital spaces"; scikit-image `watershed`, `h_maxima`.

  Example:
    >>> rows, columns = np.mgrid[:100, :140]
    >>> away = np.minimum(np.hypot(rows - 50, columns - 48), np.hypot(rows - 50, columns - 92))
    >>> int(parts(away < 24, away > 26, 32).max()), int(parts(away < 24, away > 60, 32).max())
    (2, 1)
  """
  from skimage import morphology, segmentation

  whole_HW = mask_HW.astype(np.int32)
  if mask_HW.sum() < 2 * _LEAST_AREA * red_cell**2:
    return whole_HW
  room = round(_CLOSED * red_cell)
  inner = np.s_[room:-room, room:-room]
  solid_HW = cv2.morphologyEx(np.pad(mask_HW, room).astype(np.uint8), cv2.MORPH_CLOSE, disk.of(room))[inner]
  solid_HW = _without_holes(np.ascontiguousarray(solid_HW))
  distance_HW = cv2.distanceTransform(np.pad(solid_HW, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
  distance_HW = cv2.GaussianBlur(distance_HW, (0, 0), 0.06 * red_cell)
  peak_HW = morphology.h_maxima(distance_HW, _HEIGHT * red_cell)
  num, marker_HW = cv2.connectedComponents(peak_HW.astype(np.uint8), connectivity=8)
  if num < 3:
    return whole_HW
  basin_HW = segmentation.watershed(-distance_HW, marker_HW, mask=solid_HW > 0).astype(np.int32)
  basin_HW = _joined(basin_HW, distance_HW, ground_HW, red_cell) * mask_HW
  # What no basin reached belongs to the first.
  basin_HW[mask_HW & (basin_HW == 0)] = 1
  return basin_HW


def _without_holes(mask_HW: np.ndarray) -> np.ndarray:
  outlines, _ = cv2.findContours(mask_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
  return cv2.drawContours(np.zeros_like(mask_HW), outlines, -1, 1, cv2.FILLED)


def _joined(
  basin_HW: np.ndarray, distance_HW: np.ndarray, ground_HW: np.ndarray, red_cell: float
) -> np.ndarray:
  """The basins, those that are no nuclei of their own joined, numbered from 1."""
  rows, columns = np.indices(basin_HW.shape)
  while (num := int(basin_HW.max())) > 1:
    area_I = np.bincount(basin_HW.ravel(), minlength=num + 1)
    centre_I2 = (
      np.stack(
        [np.bincount(basin_HW.ravel(), weights=at.ravel(), minlength=num + 1) for at in (rows, columns)], 1
      )
      / np.maximum(area_I, 1)[:, None]
    )
    to_join = []
    for i, j in itertools.combinations(range(1, num + 1), 2):
      near_HW = cv2.dilate((basin_HW == j).astype(np.uint8), np.ones((3, 3))) > 0
      width_N = distance_HW[(basin_HW == i) & near_HW]
      radius = min(float(distance_HW[basin_HW == k].max()) for k in (i, j))
      neck = float(width_N.max()) / radius if len(width_N) else 0.0
      are_two = (
        min(area_I[i], area_I[j]) >= _LEAST_AREA * red_cell**2
        and np.hypot(*(centre_I2[i] - centre_I2[j])) >= _APART * red_cell
        and neck <= _NECK
        and _has_waist(centre_I2[i], centre_I2[j], ground_HW, red_cell)
      )
      if not are_two:
        to_join.append((len(width_N) > 0, neck, i, j))
    if not to_join:
      break
    # Neighbours first, over the widest neck.
    _, _, i, j = max(to_join)
    basin_HW[basin_HW == j] = i
    basin_HW[basin_HW > j] -= 1
  return basin_HW


def _has_waist(a_2: np.ndarray, b_2: np.ndarray, ground_HW: np.ndarray, red_cell: float) -> bool:
  """Whether ground comes near the line between two centres from both sides, and does not cross it."""
  middle_2, along_2 = (a_2 + b_2) / 2, (b_2 - a_2) / np.hypot(*(b_2 - a_2))
  across_2 = np.array([-along_2[1], along_2[0]])
  away_S = np.arange(-WAIST * red_cell, WAIST * red_cell + 0.5)
  at_S2 = np.round(middle_2 + away_S[:, None] * across_2).astype(int)
  is_inside_S = ((at_S2 >= 0) & (at_S2 < ground_HW.shape)).all(1)
  is_ground_S = np.zeros(len(away_S), bool)
  is_ground_S[is_inside_S] = ground_HW[tuple(at_S2[is_inside_S].T)]
  is_between_S = np.abs(away_S) < 0.1 * red_cell
  return bool(
    is_ground_S[away_S < 0].any() and is_ground_S[away_S > 0].any() and not is_ground_S[is_between_S].any()
  )
