"""An image and its reduced or re-saved copy are one group; different images of similar names are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.data.images import copies
from bloodcell_jax.data.sources import folders, smear


def draw(seed: int) -> Image.Image:
  return Image.fromarray(smear.draw('MONOCYTE', np.random.default_rng(seed), 96, 128))


def save(image: Image.Image, path, **options) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  image.save(path, **options)


@pytest.mark.parametrize(
  'name',
  [
    'small/cell_1.png', 'cell_1-small.jpg', 'cell_1_thumb.jpg', 'cell_1 (1).png', 'cell_1 - Copy.png', 'cell_1.jpg',
    'previews/CELL_1.JPG', 'cell_1.png/THUMB_S.jpg', 'cell_1_64x48.png', 'cell_1 copy 2.tif', 'Copy of cell_1.png',
    "cell_1 (Ann's conflicted copy 2026-01-02).png", 'cell_1-checkpoint.png',
    'cell_1.sync-conflict-20260102-1234-ABCD.png', 'cell_1_overlay.jpg', 'cell_1.jfif',
    'cell_1@2x.png', 'thumb_cell_1.jpg', 'cell_1.png.jpg', 'cell_1-DESKTOP-AB12CD.png', 'cell_1 [conflicted].png',
    'cell_1_PC7_Jan-01-120000-2026_Conflict.png',
  ],
)  # fmt: skip
def test_a_reduced_copy_of_a_similar_name_is_of_the_same_group(tmp_path, name):
  original = 'full/cell_1.png' if '.png/' in name else 'cell_1.png'
  save(draw(1), tmp_path / 'A' / original)
  save(draw(2), tmp_path / 'A' / 'cell_2.png')
  save(draw(1).resize((64, 48)), tmp_path / 'A' / name)
  found = folders.read(str(tmp_path), '', '')
  group = dict(zip(found.table.file.tolist(), found.table.group.tolist(), strict=True))
  assert group[f'A/{original}'] == group[f'A/{name}'] != group['A/cell_2.png']
  assert '1 images are copies of others' in '\n'.join(found.remarks)


def test_numbered_names_of_different_images_stay_groups_of_their_own(tmp_path):
  for number in range(6):
    save(draw(number), tmp_path / 'A' / f'cell ({number}).png')
    save(draw(10 + number), tmp_path / 'A' / f'patient_{number}' / '1.png')
  found = folders.read(str(tmp_path), '', '')
  assert len(set(found.table.group.tolist())) == 12


def test_images_of_one_colour_are_not_taken_for_copies():
  flat, drawn = (
    copies.signature(np.asarray(image)) for image in (Image.new('RGB', (50, 50), (200, 180, 200)), draw(3))
  )
  assert not copies.are_copies(flat, flat)
  assert copies.are_copies(drawn, drawn)


def test_words_inside_a_name_are_kept():
  assert copies.stem('A/cells.png') == 'cells'
  assert copies.stem('A/small.png') == 'small'
  assert copies.stem('A/BA_123.jpg') != copies.stem('A/BA_124.jpg')


def test_a_file_that_is_no_image_is_left_to_the_decoder(tmp_path):
  for name in ('a.png', 'a.jpg'):
    (tmp_path / name).write_bytes(name.encode())
  paths = [str(tmp_path / name) for name in ('a.png', 'a.jpg')]
  assert copies.join(paths, ['a.png', 'a.jpg'], ['1', '2'], ['', '']) == ['1', '2']


def round_field(seed: int) -> Image.Image:
  """A field of many small cells, so of little contrast when reduced, seen through an eyepiece."""
  generator = np.random.default_rng(seed)
  small = Image.fromarray(generator.integers(120, 230, (60, 80, 3), np.uint8))
  return surrounded(small.resize((320, 240), Image.Resampling.BICUBIC))


def surrounded(image: Image.Image) -> Image.Image:
  """Black outside a circle, as wide as the image is high."""
  y, x = np.mgrid[: image.height, : image.width]
  is_seen_HW = (y - image.height / 2) ** 2 + (x - image.width / 2) ** 2 < (0.49 * image.height) ** 2
  return Image.fromarray(np.where(is_seen_HW[:, :, None], np.asarray(image), 0).astype(np.uint8))


def signatures(images) -> np.ndarray:
  return np.stack([copies.signature(np.asarray(image.convert('RGB'))) for image in images])


def brighter(image: Image.Image) -> Image.Image:
  return Image.fromarray((np.asarray(image).astype(np.float32) * 1.02).clip(0, 255).astype(np.uint8))


def saved_again(image: Image.Image) -> Image.Image:
  file = io.BytesIO()
  image.save(file, 'JPEG', quality=60)
  return Image.open(file)


def test_different_fields_seen_through_an_eyepiece_are_no_copies_of_one_another():
  fields = signatures([round_field(seed) for seed in range(6)])
  bright = signatures([brighter(round_field(seed)) for seed in range(6)])
  # They are as near as copies only by the black that they share.
  assert np.sqrt(((fields[0] - fields[1]) ** 2).mean()) < copies.MOST_DIFFERENCE
  assert not len(copies.pairs(fields, lambda: None))
  assert not copies.are_copies(fields[0], bright[1])


@pytest.mark.parametrize(
  'change', [saved_again, brighter, lambda image: image.resize((160, 120)), lambda image: image.copy()]
)
def test_copies_with_a_black_surround_are_found(change):
  images = [surrounded(draw(seed).resize((320, 240))) for seed in range(4)]
  both = signatures([*images, *map(change, images)])
  assert copies.pairs(both, lambda: None).tolist() == [[i, 4 + i] for i in range(4)]
  assert [copies.are_copies(both[i], both[4 + i]) for i in range(4)] == [True] * 4
  assert not copies.are_copies(both[0], both[5])
