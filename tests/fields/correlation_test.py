"""Pixels of copies agree where their map lays them on each other; those of other photographs do not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bloodcell_jax.data.sources import smear
from bloodcell_jax.fields import correlation, geometry

SIZE = (320, 240)


def photograph(seed: int) -> np.ndarray:
  return smear.draw('MONOCYTE', np.random.default_rng(seed), 240, 320)


def match(affine_23: np.ndarray, mirrored: bool = False) -> geometry.Match:
  return geometry.Match(30, affine_23, mirrored, 1.0)


IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
TURNED = np.array([[0.96, -0.28, 40.0], [0.28, 0.96, -30.0]])


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('dark', [1.0, 0.6])
def test_a_copy_agrees_by_its_own_map_only_whatever_its_brightness(mirrored, dark):
  original = photograph(1)
  copy = cv2.warpAffine((original * dark).astype(np.uint8), TURNED, SIZE)
  copy = copy[:, ::-1] if mirrored else copy
  assert correlation.of_pixels(original, copy, match(TURNED, mirrored)) > 0.98
  assert correlation.of_pixels(original, copy, match(TURNED, not mirrored)) < 0.5
  assert correlation.of_pixels(original, copy, match(IDENTITY, mirrored)) < 0.5


def test_other_photographs_do_not_agree_and_size_does_not_matter():
  original = photograph(1)
  small = cv2.resize(original, (80, 60), interpolation=cv2.INTER_AREA)
  assert correlation.of_pixels(original, small, match(IDENTITY)) > 0.9
  assert abs(correlation.of_pixels(original, photograph(2), match(IDENTITY))) < 0.3


def test_black_borders_do_not_count_and_nothing_in_common_is_zero():
  one, other = photograph(1), photograph(2)
  one[:, :160], other[:, :160] = 0, 0
  assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9
  assert abs(correlation.of_pixels(one, other, match(IDENTITY))) < 0.4
  apart_23 = np.array([[1.0, 0, 1000], [0, 1, 0]])
  assert correlation.of_pixels(one, one, match(apart_23)) == 0
  grey = np.full((60, 80, 3), 120, np.uint8)
  assert correlation.of_pixels(grey, grey, match(IDENTITY)) == 0
