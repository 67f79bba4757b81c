"""The numbers that describe an image follow its stain, scale and sharpness, each its own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bloodcell_jax.data.images import appearance

SPREAD = np.array(appearance.LEAST_SPREAD)


def smear(radius=14, size=96, tint=(1, 1, 1)):
  """A purple nucleus in a pink cell on a pale background, with grain."""
  row, column = np.mgrid[:size, :size] - size / 2
  distance = np.hypot(row, column)
  image = np.full((size, size, 3), (235, 228, 240), float)
  image[distance < 2 * radius] = (225, 170, 200)
  image[distance < radius] = (110, 50, 140)
  image += np.random.default_rng(0).normal(0, 6, image.shape)
  return np.clip(image * tint, 0, 255).astype(np.uint8)


def changed(image):
  """By aspect, the greatest change of a number against the plain smear, in least spreads."""
  before, after = appearance.describe([smear(), image])
  change = np.abs(after - before) / SPREAD
  return {name: change[np.array(appearance.ASPECTS) == name].max() for name in set(appearance.ASPECTS)}


def blurred():
  return np.asarray(Image.fromarray(smear()).filter(ImageFilter.GaussianBlur(1.5)))


@pytest.mark.parametrize(
  ('image', 'aspect'),
  [(smear(tint=(1, 0.9, 0.8)), 'stain'), (smear(radius=8), 'scale'), (blurred(), 'sharpness')],
)
def test_a_change_shows_in_its_aspect(image, aspect):
  assert changed(image)[aspect] > 5


def test_black_corners_and_an_identical_image_change_little():
  cornered = smear()
  cornered[:12, :12] = 0
  assert max(changed(smear()).values()) == 0
  assert changed(cornered)['stain'] < 5


@pytest.mark.parametrize('level', [0, 255, 128])
def test_an_image_without_anything_has_finite_numbers(level):
  assert np.isfinite(appearance.describe([np.full((40, 40, 3), level, np.uint8)])).all()
