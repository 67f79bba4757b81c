"""What an image looks like, in a few numbers that need no network: its stain, the scale of its cell, its sharpness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageFilter

from bloodcell_jax.data.images import locate

# Aspect of each number, in order; an aspect is the reason that a person is given.
STAIN, SCALE, SHARPNESS = 'stain', 'scale', 'sharpness'
NAMES = (
  ('background density', STAIN),
  ('background red', STAIN),
  ('background blue', STAIN),
  ('nucleus density', STAIN),
  ('nucleus red', STAIN),
  ('nucleus blue', STAIN),
  ('cells density', STAIN),
  ('cells red', STAIN),
  ('cells blue', STAIN),
  ('contrast', STAIN),
  ('nucleus area', SCALE),
  ('covered area', SCALE),
  ('coarse structure', SCALE),
  ('medium structure', SCALE),
  ('fine structure', SHARPNESS),
  ('finest structure', SHARPNESS),
  ('flat share', SHARPNESS),
)
ASPECTS = tuple(aspect for _, aspect in NAMES)
# Differences below these are of no account, whatever a laboratory's own spread: densities, a share, natural logarithms.
LEAST_SPREAD = (
  0.01,
  0.01,
  0.01,
  0.02,
  0.02,
  0.02,
  0.01,
  0.01,
  0.01,
  0.05,
  0.1,
  0.02,
  0.1,
  0.1,
  0.1,
  0.1,
  0.05,
)
# Raised whenever the numbers change. How many of the numbers, from the first one, each version that is still used has.
VERSION = 3
NUM_NUMBERS = {2: 16, 3: 17}

# Black corners, which augmentation leaves, tell nothing of the laboratory: pixels below this level in every channel,
# and those near them, as a share of the frame's side, where resizing and JPEG have mixed black with the image.
_FILL, _NEAR_FILL = 12, 1 / 32
# Least area of a nucleus, as a fraction of the frame: stands in where none is found.
_LEAST_AREA = 0.002
# Optical density above the background's at which a pixel shows a cell.
_COVERED = 0.15
_LEVELS = 5
# By digest of an image; at most so many, about a kilobyte each.
_known: dict[bytes, list[float]] = {}
_MOST_KNOWN = 20_000
_TINY = 1e-6
# Neighbours whose grey levels, of 255, differ by less than this are alike: by one level in one channel at most.
_ALIKE = 0.34


def describe(images: Iterable[np.ndarray], version: int = VERSION) -> np.ndarray:
  """[N, D] float32: the numbers of NAMES for each uint8 image [H, W, 3], or those that a version of them has."""
  look_ND = np.array([_remembered(image_HWC) for image_HWC in images], np.float32).reshape(-1, len(NAMES))
  return look_ND[:, : NUM_NUMBERS[version]]


def _remembered(image_HWC: np.ndarray) -> list[float]:
  """The numbers of an image, computed once: the runs of a study or of an ensemble look at the same images."""
  key = (
    hashlib.blake2b(np.ascontiguousarray(image_HWC), digest_size=16).digest() + str(image_HWC.shape).encode()
  )
  if key not in _known:
    if len(_known) >= _MOST_KNOWN:
      _known.clear()
    _known[key] = _describe(image_HWC)
  return _known[key]


def _describe(image_HWC: np.ndarray) -> list[float]:
  density_HWC = -np.log10((image_HWC.astype(np.float32) + 1) / 256)
  valid_HW = _valid(image_HWC)
  total_HW = density_HWC.mean(2)
  background_HW = valid_HW & (total_HW <= np.quantile(total_HW[valid_HW], 0.25))
  background_C = np.median(density_HWC[background_HW], 0)
  mask_HW = locate.mask(image_HWC)
  nucleus_HW = valid_HW & (total_HW >= np.quantile(total_HW[valid_HW], 0.9) if mask_HW is None else mask_HW)
  if not nucleus_HW.any():
    nucleus_HW = valid_HW
  covered_HW = valid_HW & (total_HW > background_C.mean() + _COVERED)
  cells_HW = covered_HW & ~nucleus_HW
  if cells_HW.sum() < 10:
    cells_HW = valid_HW
  area = _LEAST_AREA if mask_HW is None else max(_LEAST_AREA, float(mask_HW.mean()))
  bands = np.log(np.array(_bands(image_HWC, valid_HW)) + _TINY)
  return [
    *_colour(background_C),
    *_colour(np.median(density_HWC[nucleus_HW], 0)),
    *_colour(np.median(density_HWC[cells_HW], 0)),
    float(np.log(total_HW[valid_HW].std() + 1e-3)),
    float(np.log(area)),
    float(covered_HW.sum() / valid_HW.sum()),
    bands[3] - bands[4],
    bands[2] - bands[3],
    bands[1] - bands[2],
    bands[0] - bands[1],
    _flat_share(image_HWC, valid_HW),
  ]


def _valid(image_HWC: np.ndarray) -> np.ndarray:
  """bool [H, W]: the pixels that are neither fill nor near it; all where hardly any are left."""
  filled_HW = image_HWC.max(2) < _FILL
  if filled_HW.any():
    radius = max(1, round(_NEAR_FILL * max(filled_HW.shape)))
    near = Image.fromarray(np.uint8(255 * filled_HW)).filter(ImageFilter.MaxFilter(2 * radius + 1))
    filled_HW = np.asarray(near) > 0
  return ~filled_HW if filled_HW.mean() < 0.95 else np.ones_like(filled_HW)


def _colour(density_C: np.ndarray) -> tuple[float, float, float]:
  """The mean density of the three channels, and how much more red and blue are absorbed than green."""
  red, green, blue = (float(x) for x in density_C)
  return (red + green + blue) / 3, red - green, blue - green


def _bands(image_HWC: np.ndarray, valid_HW: np.ndarray) -> list[float]:
  """The energy of the grey image in octaves of spatial frequency, the finest first, where no fill is near."""
  grey_HW = image_HWC.astype(np.float32).mean(2) / 255
  energies = []
  for _ in range(_LEVELS):
    height, width = (max(1, side // 2) for side in grey_HW.shape)
    half = Image.fromarray(grey_HW).resize((width, height), Image.Resampling.BOX)
    smooth = half.resize(grey_HW.shape[::-1], Image.Resampling.BILINEAR)
    difference_HW = grey_HW - np.asarray(smooth)
    near = Image.fromarray(valid_HW.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    inside_HW = np.asarray(near.resize(grey_HW.shape[::-1], Image.Resampling.BILINEAR)) > 0.999
    chosen = difference_HW[inside_HW] if inside_HW.any() else difference_HW
    energies.append(float(np.square(chosen).mean()))
    grey_HW, valid_HW = np.asarray(half), np.asarray(near) > 0.999
  return energies


def _flat_share(image_HWC: np.ndarray, valid_HW: np.ndarray) -> float:
  """The share of neighbours that are alike: strong JPEG compression leaves neither noise nor fine structure."""
  grey_HW = image_HWC.astype(np.float32).mean(2)
  alike = [
    np.abs(np.diff(grey_HW, axis=axis))[both_HW] < _ALIKE
    for axis, both_HW in ((0, valid_HW[1:] & valid_HW[:-1]), (1, valid_HW[:, 1:] & valid_HW[:, :-1]))
  ]
  share = np.concatenate(alike)
  return float(share.mean()) if share.size else 0.0
