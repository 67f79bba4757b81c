"""Copies saved again, resized or cropped a little are told from other images by their thumbnails."""

import io

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.data.images import near_copies

LETTERS = 40


@pytest.fixture(scope='module')
def cells():
  """Drawn smears, each of another field."""
  generator = np.random.default_rng(0)
  drawn = []
  for _ in range(LETTERS):
    coarse_HWC = generator.integers(60, 240, (14, 18, 3), np.uint8)
    drawn.append(Image.fromarray(coarse_HWC).resize((320, 240), Image.Resampling.BICUBIC))
  return drawn


def thumbnails(images) -> np.ndarray:
  return np.stack([near_copies.thumbnail(image) for image in images])


def saved(image: Image.Image) -> Image.Image:
  file = io.BytesIO()
  image.save(file, 'JPEG', quality=40)
  return Image.open(file).convert('RGB')


CHANGES = {
  'saved again as JPEG': lambda one: one,
  'half the size': lambda one: one.resize((160, 120)),
  'square': lambda one: one.resize((96, 96)),
  'twice the size': lambda one: one.resize((640, 480)),
  'cropped by 3 %': lambda one: one.crop((8, 5, 312, 236)),
  'cropped on two sides': lambda one: one.crop((16, 0, 320, 230)),
}


@pytest.mark.parametrize('change', CHANGES)
def test_a_changed_copy_is_one_in_either_direction(cells, change):
  known, changed = thumbnails(cells), thumbnails([saved(CHANGES[change](one)) for one in cells[:20]])
  assert near_copies.are_copies(changed, known).mean() >= 0.95
  assert near_copies.are_copies(known[:20], changed).mean() >= 0.95
  # Negative control: without the images themselves among those that are known.
  assert not near_copies.are_copies(changed, known[20:]).any()


def test_mirrored_and_flat_images_are_none(cells):
  known = thumbnails(cells)
  assert not near_copies.are_copies(
    thumbnails([one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in cells]), known
  ).any()
  flat = np.full((3, near_copies.SIDE, near_copies.SIDE), 200, np.uint8)
  assert not near_copies.are_copies(flat, flat).any()


def test_none_is_known_and_none_is_asked_for(cells):
  known = thumbnails(cells[:3])
  assert near_copies.are_copies(known, known[:0]).tolist() == [False] * 3
  assert near_copies.are_copies(known[:0], known).shape == (0,)
  assert near_copies.are_copies(known, known[:1]).tolist() == [True, False, False]


def surrounded(image: Image.Image) -> Image.Image:
  """Black outside a circle, as wide as the image is high."""
  y, x = np.mgrid[: image.height, : image.width]
  is_seen_HW = (y - image.height / 2) ** 2 + (x - image.width / 2) ** 2 < (0.49 * image.height) ** 2
  return Image.fromarray(np.where(is_seen_HW[:, :, None], np.asarray(image), 0).astype(np.uint8))


def test_different_fields_seen_through_an_eyepiece_are_no_copies_and_their_copies_are(cells):
  generator = np.random.default_rng(1)
  fine = [Image.fromarray(generator.integers(150, 210, (60, 80, 3), np.uint8)) for _ in range(12)]
  fields = [surrounded(one.resize((320, 240), Image.Resampling.BICUBIC)) for one in fine]
  # Of hardly any contrast of their own, and alike in their black.
  assert not near_copies.are_copies(thumbnails(fields[:6]), thumbnails(fields[6:])).any()
  seen = [surrounded(one) for one in cells]
  changed = thumbnails([saved(one).resize((160, 120)) for one in seen[:20]])
  assert near_copies.are_copies(changed, thumbnails(seen)).mean() >= 0.95
  assert not near_copies.are_copies(changed, thumbnails(seen[20:])).any()
