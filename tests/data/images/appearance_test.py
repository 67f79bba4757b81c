"""The numbers that describe an image follow its stain, scale and sharpness, each its own."""

from __future__ import annotations

import io

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
  assert max(changed(smear()).values()) == 0
  cornered = smear(size=384, radius=56)
  cornered[np.add.outer(np.arange(384), np.arange(384)) < 150] = 0
  plain = Image.fromarray(smear(size=384, radius=56)).resize((96, 96), Image.Resampling.BILINEAR)
  mixed = Image.fromarray(cornered).resize((96, 96), Image.Resampling.BILINEAR)
  before, after = appearance.describe(np.asarray(image) for image in (plain, mixed))
  # Resizing has mixed the black with the image along the edge of the corner.
  assert ((np.asarray(mixed).max(2) > 15) & (np.asarray(mixed).max(2) < 150)).sum() > 20
  change_D = np.abs(after - before) / SPREAD
  # The coarse structure is that of the part of the frame that is left.
  change_D[[name for name, _ in appearance.NAMES].index('coarse structure')] = 0
  assert change_D.max() < 1.5
  # Negative control: dark grey of the same shape is no fill.
  dark = np.asarray(mixed).copy()
  dark[dark.max(2) < 12] = 40
  after = appearance.describe([dark])[0]
  assert (np.abs(after - before) / SPREAD).max() > 5


@pytest.mark.parametrize('level', [0, 255, 128])
def test_an_image_without_anything_has_finite_numbers(level):
  assert np.isfinite(appearance.describe([np.full((40, 40, 3), level, np.uint8)])).all()


def test_strong_jpeg_compression_shows_as_flat_neighbours_and_a_slight_one_does_not():
  place = [name for name, _ in appearance.NAMES].index('flat share')

  def flat(quality):
    buffer = io.BytesIO()
    Image.fromarray(smear()).save(buffer, 'JPEG', quality=quality)
    return appearance.describe([np.asarray(Image.open(buffer))])[0][place]

  plain = appearance.describe([smear()])[0][place]
  assert flat(10) - plain > 5 * SPREAD[place]
  assert abs(flat(90) - plain) < SPREAD[place]


def test_the_numbers_of_an_earlier_version_are_the_first_ones():
  now = appearance.describe([smear(), blurred()])
  for version, num in appearance.NUM_NUMBERS.items():
    np.testing.assert_array_equal(appearance.describe([smear(), blurred()], version), now[:, :num])
  assert appearance.NUM_NUMBERS[appearance.VERSION] == len(appearance.NAMES) == len(appearance.LEAST_SPREAD)
