"""Masks and annotations beside images are no images; whatever shows a cell is kept and told."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bloodcell_jax.data.images import companions
from bloodcell_jax.data.sources import folders, input_paths, smear


def photograph(seed: int) -> Image.Image:
  return Image.fromarray(smear.draw('MONOCYTE', np.random.default_rng(seed), 60, 80))


def mask(values: tuple[int, int] = (255, 128)) -> Image.Image:
  image = Image.new('L', (80, 60))
  draw = ImageDraw.Draw(image)
  draw.ellipse((15, 10, 60, 50), fill=values[0])
  draw.ellipse((25, 20, 45, 40), fill=values[1])
  return image


def save(image: Image.Image, path: pathlib.Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  image.save(path)


@pytest.mark.parametrize(
  'name',
  [
    '1_mask.png', '1-mask.png', '1_seg.png', '1 segmentation.tif', '1_label.png', 'mask_1.png', '1_GT.bmp',
    '1_Mask.JPG',     'masks/1.png', 'Masks/1_mask.png', 'labels/1.tif', 'cell_masks/1.png',
  ],
)  # fmt: skip
@pytest.mark.parametrize('values', [(255, 128), (1, 2)])
def test_a_mask_of_an_image_is_passed_over_and_counted(tmp_path, name, values):
  for seed in (1, 2):
    save(photograph(seed), tmp_path / 'A' / f'{seed}.png')
  save(photograph(3), tmp_path / 'B' / '1.png')
  save(mask(values), tmp_path / 'A' / name)
  if values == (1, 2) and name.endswith('JPG'):
    pytest.skip('JPEG does not keep such values')
  found = folders.read(str(tmp_path), '', '')
  assert found.table.file.tolist() == ['A/1.png', 'A/2.png', 'B/1.png']
  assert 'passed over, as belonging to images beside them: 1 masks' in '\n'.join(found.remarks)
  assert len(input_paths.read([str(tmp_path)]).inputs) == 3


@pytest.mark.parametrize(
  ('name', 'told'),
  [
    ('1_mask.png', True),
    ('masks/1.png', True),
    ('1_marked.png', False),
    ('masks/9.png', False),
    ('9_mask.png', False),
  ],
)
def test_a_photograph_is_kept_whatever_it_is_called(tmp_path, name, told):
  save(photograph(1), tmp_path / 'A' / '1.png')
  save(photograph(2), tmp_path / 'A' / name)
  save(photograph(3), tmp_path / 'B' / '1.png')
  found = folders.read(str(tmp_path), '', '')
  assert len(found.table) == 3
  text = f'1 named like masks of others, such as A/{name}, are used as images of cells'
  assert (text in '\n'.join(found.remarks)) == told


def test_a_class_of_masks_without_their_images_is_a_class(tmp_path):
  for name in ('A/1_mask.png', 'A/2_mask.png', 'B/1.png'):
    save(mask(), tmp_path / name)
  assert len(folders.read(str(tmp_path), '', '').table) == 3


@pytest.mark.parametrize('name', ['1_mask.png', 'masks/1.png'])
@pytest.mark.parametrize(
  'paths',
  [['{}'], ['{}/**/*.png'], ['{}/*'], ['{}/1.png', '{}/*'], ['{}/1.png', '{}/2.png', '{}/**']],
  ids=str,
)
def test_a_pattern_passes_over_the_masks_that_a_folder_does(tmp_path, name, paths):
  folder = tmp_path / 'slides'
  for seed in (1, 2):
    save(photograph(seed), folder / f'{seed}.png')
  save(mask(), folder / name)
  found = input_paths.read([path.format(folder) for path in paths])
  assert [one.shown for one in found.inputs] == ['1.png', '2.png']
  assert found.remarks()[-1] == 'passed over, as belonging to images beside them: 1 masks'
  # Negative control: a photograph of that name is kept.
  save(photograph(3), folder / name)
  found = input_paths.read([path.format(folder) for path in paths])
  assert len(found.inputs) == 3
  assert len(found.remarks()) == 1


def test_a_folder_of_masks_is_passed_over_beside_the_folder_of_their_images_and_read_alone(tmp_path):
  save(photograph(1), tmp_path / 'images' / '1.png')
  save(mask(), tmp_path / 'masks' / '1.png')
  images, masks = str(tmp_path / 'images'), str(tmp_path / 'masks')
  assert [one.path for one in input_paths.read([masks, images]).inputs] == [f'{images}/1.png']
  assert len(input_paths.read([masks]).inputs) == len(input_paths.read([f'{masks}/*']).inputs) == 1


def test_a_mask_that_is_named_is_used(tmp_path):
  save(photograph(1), tmp_path / '1.png')
  save(mask(), tmp_path / '1_mask.png')
  named, folder = str(tmp_path / '1_mask.png'), str(tmp_path)
  (tmp_path / 'list.csv').write_text('file\n1.png\n1_mask.png\n')
  for paths in (
    [folder, named],
    [named, f'{folder}/*.png'],
    [f'{folder}/list.csv'],
    [f'{folder}/1.png', named],
  ):
    assert sorted(one.shown for one in input_paths.read(paths).inputs) == ['1.png', '1_mask.png']
  # Negative control: found in the folder alone.
  assert [one.shown for one in input_paths.read([folder]).inputs] == ['1.png']


def test_areas_of_one_value_tell_a_mask_from_a_photograph():
  buffer = io.BytesIO()
  mask().save(buffer, 'JPEG', quality=75)
  saved = np.asarray(Image.open(buffer).convert('RGB'))
  assert companions.share_of_equal(saved) > companions.LEAST_EQUAL
  assert companions.share_of_equal(np.asarray(photograph(1))) < companions.LEAST_EQUAL
  assert companions.share_of_equal(np.zeros((8, 8, 3), np.uint8)) == 0


@pytest.mark.parametrize('name', ['1.xml', '1.json', '1.png.json', '1.TXT', '1.csv', '1.geojson', '1.roi'])
def test_what_was_noted_of_an_image_is_passed_over_and_counted(tmp_path, name):
  save(photograph(1), tmp_path / 'A' / '1.png')
  save(photograph(2), tmp_path / 'B' / '2.png')
  (tmp_path / 'A' / name).write_text('x')
  found = folders.read(str(tmp_path), '', '')
  assert (len(found.table), found.problems) == (2, [])
  assert 'belonging to images beside them: 1 files of annotations' in '\n'.join(found.remarks)
  (tmp_path / 'A' / f'other{pathlib.Path(name).suffix}').write_text('x')
  assert len(folders.read(str(tmp_path), '', '').problems) == 1, 'of no image: told as before'
