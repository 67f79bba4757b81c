"""The scale of a photograph: how wide its red cells are, which are 7 to 8 micrometres across."""

from __future__ import annotations

import cv2
import numpy as np

from bloodcell_jax.fields import rim, stain

# Longest side of the reduced photograph in which red cells are looked for.
_SIDE = 160
# Where they are narrower than this in it, they are measured again, this wide, in one of at most so many pixels a side.
_NARROW, _WIDE, _MOST_SIDE = 16, 26, 1200
# Red cells to the shorter side, for the least width of a black rim.
_ACROSS = 10
# What each measure gives for red cells of known width, as a share of it: medians over TRAIN.
_DISTANCE, _BLOBS = 0.84, 0.84


def diameter(image_HWC: np.ndarray) -> float | None:
  """The width of a red cell in pixels, or None where nothing round lies on a lighter ground.

  Combines three measures: the width of single round objects, the distance transform of everything that is stained,
  and the scale at which its blobs respond most. Nuclei are left out of all three.

  Args:
    image_HWC: uint8 RGB.
  """
  longest = max(image_HWC.shape[:2])
  step = min(1.0, _SIDE / longest)
  small = _diameter(stain.resized(image_HWC, step))
  for _ in range(2):
    finer = min(1.0, step * _WIDE / small, _MOST_SIDE / longest) if small else step
    if small is None or small >= _NARROW or finer < 1.2 * step:
      break
    step, small = finer, _diameter(stain.resized(image_HWC, finer))
  return None if small is None else small / step


def _diameter(small_HWC: np.ndarray) -> float | None:
  """The width in pixels of this image, in which a red cell has about _WIDE."""
  density_HWC = stain.density(small_HWC)
  rim_HW = rim.find(small_HWC, min(small_HWC.shape[:2]) / _ACROSS)
  if rim_HW is not None:
    density_HWC[rim_HW] = 0
  layers = stain.layers(density_HWC)
  if layers is None:
    return None
  stained_HW = _without_holes((layers.strongest_HW > layers.ground).astype(np.uint8))
  limit = max(layers.dark, 1.3 * float(np.median(layers.strongest_HW[layers.is_red_HW])))
  nucleus_HW = cv2.dilate((layers.strongest_HW > limit).astype(np.uint8), np.ones((5, 5), np.uint8))
  distance = _by_distance(stained_HW, nucleus_HW)
  if distance is None:
    return None
  single = _single(stained_HW, nucleus_HW)
  single = single[(single > 0.6 * distance) & (single < 1.8 * distance)]
  blobs = _by_blobs(stained_HW, nucleus_HW, distance) / _BLOBS
  distance /= _DISTANCE
  if not len(single):
    return float(np.sqrt(distance * blobs))
  return float(np.median([_weighted_median(single, single**2), distance, blobs]))


def _without_holes(mask_HW: np.ndarray) -> np.ndarray:
  """The mask with the pale middles of its cells."""
  _, label_HW = cv2.connectedComponents(1 - mask_HW, connectivity=4)
  frame = np.concatenate([label_HW[0], label_HW[-1], label_HW[:, 0], label_HW[:, -1]])
  return (~np.isin(label_HW, frame) | (mask_HW > 0)).astype(np.uint8)


def _single(mask_HW: np.ndarray, nucleus_HW: np.ndarray) -> np.ndarray:
  """The diameters of round objects that stand alone, without a nucleus."""
  height, width = mask_HW.shape
  num, label_HW, stats, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=4)
  dark = np.bincount(label_HW.ravel(), weights=nucleus_HW.ravel(), minlength=num) / stats[:, 4]
  found = []
  for i in range(1, num):
    left, top, w, h, area = stats[i]
    if area < 25 or left == 0 or top == 0 or left + w == width or top + h == height or dark[i] > 0.15:
      continue
    if min(w, h) < 0.75 * max(w, h) or not 0.65 < area / (w * h) < 0.9:
      continue
    one_HW = (label_HW[top : top + h, left : left + w] == i).astype(np.uint8)
    outline = cv2.findContours(one_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
    if area >= 0.88 * cv2.contourArea(cv2.convexHull(outline)):
      found.append(np.sqrt(4 * area / np.pi))
  return np.array(found)


def _by_distance(mask_HW: np.ndarray, nucleus_HW: np.ndarray) -> float | None:
  if mask_HW.all():
    return None
  distance_HW = cv2.distanceTransform(mask_HW, cv2.DIST_L2, 5)
  is_peak_HW = distance_HW == cv2.dilate(distance_HW, np.ones((5, 5), np.uint8))
  radii = distance_HW[is_peak_HW & (distance_HW > 2) & (nucleus_HW == 0)]
  return 2 * _weighted_median(radii, radii**2) if len(radii) else None


def _by_blobs(mask_HW: np.ndarray, nucleus_HW: np.ndarray, around: float) -> float:
  """Twice the radius at which differences of Gaussians respond most, within 0.4 to 1.7 times `around`."""
  radii = np.geomspace(max(1.5, 0.2 * around), max(2.0, 0.85 * around), 8)
  ratio = np.sqrt(radii[1] / radii[0])
  sigmas = np.concatenate([[radii[0] / ratio], radii * ratio]) / np.sqrt(2)
  soft = [
    cv2.GaussianBlur(mask_HW.astype(np.float32), (0, 0), s, borderType=cv2.BORDER_REFLECT) for s in sigmas
  ]
  response_RHW = -np.diff(np.array(soft), axis=0)
  top_HW = response_RHW.max(0)
  is_peak_HW = (top_HW == cv2.dilate(top_HW, np.ones((5, 5), np.uint8))) & (top_HW > 0.05) & (nucleus_HW == 0)
  which = response_RHW.argmax(0)[is_peak_HW]
  if not len(which):
    return around
  count_R = np.bincount(which, weights=top_HW[is_peak_HW] * radii[which], minlength=len(radii))
  weight_R = np.convolve(count_R, [0.25, 0.5, 0.25], 'same')
  peak = int(weight_R.argmax())
  near = slice(max(0, peak - 1), peak + 2)
  return float(2 * np.exp(np.average(np.log(radii[near]), weights=weight_R[near])))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
  order = values.argsort()
  sums = np.cumsum(weights[order])
  return float(values[order][np.searchsorted(sums, sums[-1] / 2)])
