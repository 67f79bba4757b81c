"""Floating-point samples of 0 to 1, of which some may lie a little outside."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.data.images import rgb

CLIPPED = 'floating-point samples, 0 to 1, clipped and scaled to 8 bits'
# How far interpolation, sharpening and the division by an image of the light go beyond black and white.
_BEYOND = 0.25
# Brightest sample of such an image, if only few are beyond that; and of one that 8 bits would leave black.
_HIGHEST, _BLACK = 2, 16
# Largest share of the samples that lie outside, by a grey level or more.
_MOST = 0.05


def read(sample_HWC: np.ndarray) -> tuple[np.ndarray, str] | None:
  """The samples as uint8 [H, W, C], and what is to be noted; None where they are no samples of 0 to 1.

  Samples outside are clipped if they are few or lie near: a brightest sample of 1.02 is an overshoot, and no image of 8
  bits that is black. Whole numbers beyond 1 are grey levels.

  Args:
    sample_HWC: finite floats.

  Raises:
    DecodeError: it cannot be known whether white is 1.
  """
  low, high = float(sample_HWC.min()), float(sample_HWC.max())
  if low < 0 and (low < -_BEYOND or high > _HIGHEST):
    return None
  if low >= 0 and high <= 1:
    return _eight_bits(sample_HWC), 'floating-point samples, 0 to 1, scaled to 8 bits'
  if high >= _BLACK or not (sample_HWC % 1).any():
    return None
  is_open = high > _HIGHEST or _share(sample_HWC < -1 / 255) > _MOST
  if is_open or (high > 1 + _BEYOND and _share(sample_HWC > 1 + 1 / 255) > _MOST):
    raise rgb.DecodeError(
      f'has floating-point samples of {low:.3g} to {high:.3g}, whose white is undefined; save them as 0 to 1, or with '
      '8 or 16 bits'
    )
  return _eight_bits(sample_HWC), CLIPPED


def _share(is_outside_HWC: np.ndarray) -> float:
  return float(is_outside_HWC.mean())


def _eight_bits(sample_HWC: np.ndarray) -> np.ndarray:
  return np.rint(sample_HWC.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)
