"""The nucleus found whatever its hue, its place and the magnification."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.data.sources import smear
from bloodcell_jax.fields import nucleus


def drawn(class_name: str, seed: int, height: int = 240, width: int = 320) -> np.ndarray:
  return smear.draw(class_name, np.random.default_rng(seed), height, width)


def resized(image_HWC: np.ndarray, factor: float) -> np.ndarray:
  height, width = image_HWC.shape[:2]
  return np.asarray(Image.fromarray(image_HWC).resize((round(width * factor), round(height * factor))))


def agree(one, other, factor: float = 1.0) -> bool:
  """Whether the two are at the same place, and of the same area to 30 %."""
  if one is None or other is None:
    return False
  side = np.sqrt(one.area)
  off = np.hypot(other.row / factor - one.row, other.column / factor - one.column)
  return off < 0.15 * side and abs(np.sqrt(other.area) / factor / side - 1) < 0.15


@pytest.mark.parametrize('class_name', smear.CLASS_NAMES)
def test_a_recoloured_twin_has_the_same_nucleus(class_name):
  image_HWC = drawn(class_name, 3)
  found = nucleus.find(image_HWC)
  for order in ([1, 0, 2], [2, 1, 0], [1, 2, 0]):
    assert agree(found, nucleus.find(np.ascontiguousarray(image_HWC[..., order])))


@pytest.mark.parametrize('factor', [0.5, 2.0])
def test_a_scaled_twin_has_the_same_nucleus(factor):
  image_HWC = drawn('NEUTROPHIL', 1)
  assert agree(nucleus.find(image_HWC), nucleus.find(resized(image_HWC, factor)), factor)


def test_the_surroundings_do_not_change_the_area():
  image_HWC = drawn('LYMPHOCYTE', 2)
  found = nucleus.find(image_HWC)
  half = round(2 * np.sqrt(found.area))
  top, left = max(0, round(found.row) - half), max(0, round(found.column) - half)
  inner = nucleus.find(image_HWC[top : top + 2 * half, left : left + 2 * half])
  assert abs(np.sqrt(inner.area / found.area) - 1) < 0.1
  assert np.hypot(inner.row + top - found.row, inner.column + left - found.column) < 0.15 * np.sqrt(
    found.area
  )


def test_another_photograph_does_not_agree():
  assert not agree(nucleus.find(drawn('NEUTROPHIL', 1)), nucleus.find(drawn('NEUTROPHIL', 7)))


@pytest.mark.parametrize('level', [0, 128, 255])
@pytest.mark.parametrize('shape', [(64, 80, 3), (8, 8, 3), (1, 400, 3)])
def test_an_image_of_one_tone_has_none(level, shape):
  assert nucleus.find(np.full(shape, level, np.uint8)) is None


def test_noise_has_none():
  grey = np.random.default_rng(0).normal(200, 3, (100, 100, 3)).clip(0, 255).astype(np.uint8)
  assert nucleus.find(grey) is None
