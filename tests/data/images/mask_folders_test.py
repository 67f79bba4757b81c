"""A folder of masks beside the folder of their images is no class; photographs are one, however flat they look."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bloodcell_jax.data.images import mask_folders
from bloodcell_jax.data.sources import folders, smear


def photograph(seed: int) -> Image.Image:
  return Image.fromarray(smear.draw('MONOCYTE', np.random.default_rng(seed), 60, 80))


def mask(inner: int = 128) -> Image.Image:
  image = Image.new('L', (80, 60))
  draw = ImageDraw.Draw(image)
  draw.ellipse((15, 10, 60, 50), fill=255)
  draw.ellipse((25, 20, 45, 40), fill=inner)
  return image


def flat(seed: int) -> Image.Image:
  """A cell on a background of one value, as where its surroundings were cut away, or are overexposed."""
  pixels = np.full((60, 80, 3), 255, np.uint8)
  pixels[15:45, 20:60] = np.asarray(photograph(seed))[15:45, 20:60]
  return Image.fromarray(pixels)


def save(image: Image.Image, path: pathlib.Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  image.save(path)


# files of photographs; of masks; the folder of masks
PLACES = [
  ('{0}/images/{1}.png', '{0}/masks/{1}.png', 'masks'),
  ('{0}/images/{1}.png', '{0}/ground_truth/{1}_mask.png', 'ground_truth'),
  ('{0}/NEUTROPHIL/{1}.png', '{0}/NEUTROPHIL_mask/{1}.png', 'NEUTROPHIL_mask'),
  ('{0}/NEUTROPHIL/{1}.png', '{0}/masks/all/{1}.png', 'masks'),
  ('{0}/NEUTROPHIL/{1}.jpg', '{0}/masks/{1}.png', 'masks'),
  ('{0}/Zellen/{1}.png', '{0}/Zellen_Masken/{1}.png', 'Zellen_Masken'),
  ('{0}/细胞/{1}.png', '{0}/掩码/{1}.png', '掩码'),
  ('{0}/images/{1}.png', '{0}/out/{1}.png', 'out'),
]


@pytest.mark.parametrize('top', ['.', 'train'])
@pytest.mark.parametrize(('image', 'of_mask', 'name'), PLACES)
def test_a_folder_of_masks_beside_their_images_is_no_class(tmp_path, top, image, of_mask, name):
  for i in range(5):
    save(photograph(i), tmp_path / image.format(top, i))
    save(mask(), tmp_path / of_mask.format(top, i))
  save(photograph(9), tmp_path / top / 'other' / 'x.png')
  found = folders.read(str(tmp_path), '', '')
  assert found.table.class_names == tuple(sorted((image.split('/')[1], 'other')))
  assert len(found.table) == 6
  said = '\n'.join(found.remarks)
  assert 'passed over, as belonging to images beside them: 5 masks' in said
  assert f'{name}: no class, because all images there are masks of others' in said
  # Negative control: photographs in their place, one of them with a flat background, are a class.
  for i in range(5):
    save(photograph(20 + i) if i else flat(20), tmp_path / of_mask.format(top, i))
  found = folders.read(str(tmp_path), '', '')
  assert name in found.table.class_names
  assert len(found.table) == 11
  assert 'passed over' not in '\n'.join(found.remarks)


def test_a_mask_without_a_cell_is_one_among_masks_and_an_image_of_one_colour_elsewhere(tmp_path):
  for i in range(4):
    save(photograph(i), tmp_path / 'images' / f'{i}.png')
    save(mask() if i else Image.new('L', (80, 60)), tmp_path / 'masks' / f'{i}.png')
  assert folders.read(str(tmp_path), '', '').table.class_names == ('images',)
  for i in range(1, 4):
    save(photograph(30 + i), tmp_path / 'masks' / f'{i}.png')
  assert len(folders.read(str(tmp_path), '', '').table) == 8


@pytest.mark.parametrize('kind', ['names', 'sizes', 'photograph', 'masks alone'])
def test_masks_that_belong_to_no_image_are_a_class(tmp_path, kind):
  for i in range(3):
    save(mask() if kind == 'masks alone' else photograph(i), tmp_path / 'images' / f'{i}.png')
    other = mask().resize((40, 30), Image.Resampling.NEAREST) if kind == 'sizes' else mask()
    save(
      photograph(9) if kind == 'photograph' and not i else other,
      tmp_path / 'out' / f'{i + 7 * (kind == "names")}.png',
    )
  assert folders.read(str(tmp_path), '', '').table.class_names == ('images', 'out')


def test_what_the_pixels_say():
  assert mask_folders.pixels(np.asarray(mask().convert('RGB'))).is_mask
  assert mask_folders.pixels(np.asarray(mask().convert('RGB'))).num_colours == 3
  for image in (photograph(1), flat(1), photograph(1).resize((320, 240), Image.Resampling.NEAREST)):
    assert not mask_folders.pixels(np.asarray(image)).is_mask
  assert mask_folders.pixels(np.zeros((5, 7, 3), np.uint8)) == mask_folders.Pixels((5, 7), 1, False)
