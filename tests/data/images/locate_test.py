"""The nucleus and the crop around it."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.data.images import locate

PLASMA, RED_CELL, NUCLEUS = (225, 220, 225), (200, 160, 160), (100, 60, 160)


def _field(height, width, row, column, radius):
  """Red cells in two corners, larger than the nucleus, and a nucleus."""
  y, x = np.mgrid[:height, :width]
  image = np.full((height, width, 3), PLASMA, np.uint8)
  for at in ((0, 0), (height, width)):
    image[np.hypot(y - at[0], x - at[1]) < height / 3] = RED_CELL
  image[np.hypot(y - row, x - column) < radius] = NUCLEUS
  return image


@pytest.mark.parametrize(('height', 'width'), [(480, 640), (240, 320), (180, 180), (97, 131)])
def test_the_centre_of_the_nucleus_is_found_at_any_size(height, width):
  row, column = 0.6 * height, 0.45 * width
  actual = locate.nucleus(_field(height, width, row, column, 0.09 * height))
  assert np.hypot(actual[0] - row, actual[1] - column) < 0.01 * height + 1


def test_a_small_nucleus_wins_over_a_larger_chain_of_red_cells():
  image = _field(240, 320, 60, 250, 14)
  red = (image == RED_CELL).all(-1).sum()
  nucleus = (image == NUCLEUS).all(-1).sum()
  assert (
    red > 10 * nucleus
  )  # the largest blob by area would be the red cells, were the threshold to select them
  row, column = locate.nucleus(image)
  assert np.hypot(row - 60, column - 250) < 3


@pytest.mark.parametrize('value', [0, 128, 255])
def test_a_flat_image_has_no_nucleus(value):
  assert locate.nucleus(np.full((64, 80, 3), value, np.uint8)) is None


def test_greyscale_noise_has_no_nucleus():
  grey = np.random.default_rng(0).integers(0, 256, (64, 80, 1), np.uint8)
  assert locate.nucleus(np.repeat(grey, 3, axis=2)) is None


def test_red_cells_alone_have_no_nucleus():
  assert locate.nucleus(_field(240, 320, 0, 0, 0)) is None
  assert locate.nucleus(_field(240, 320, 120, 160, 20)) is not None


def test_a_speck_is_no_nucleus():
  assert locate.nucleus(_field(240, 320, 120, 160, 3)) is None


@pytest.mark.parametrize('centre', [(240.0, 320.0), (0.0, 0.0), (479.0, 639.0), (470.0, 5.0)])
def test_the_crop_stays_inside_and_holds_the_centre(centre):
  image = np.stack([*np.mgrid[:480, :640], np.zeros((480, 640), int)], axis=-1)
  cropped = locate.crop(image, centre, locate.CROP_SHARE)
  assert cropped.shape == (224, 224, 3)
  (top, left), (bottom, right) = cropped[0, 0, :2], cropped[-1, -1, :2]
  assert (bottom - top, right - left) == (223, 223)
  assert top <= centre[0] <= bottom
  assert left <= centre[1] <= right


def test_the_crop_of_a_narrow_image_is_as_wide_as_it_is():
  assert locate.crop(np.zeros((100, 20, 3), np.uint8), (50.0, 10.0), 0.5).shape == (20, 20, 3)


def _photographs(real_images):
  """Real photographs with the boxes of their red cells, the only ones the annotations have."""
  root = next(p for p in real_images.glob('dataset-master/**/Annotations') if p.is_dir())
  for path in sorted(root.glob('*.xml'))[::4]:
    boxes = [
      [int(box.find(side).text) for side in ('ymin', 'xmin', 'ymax', 'xmax')]
      for box in ET.parse(path).getroot().iter('bndbox')
    ]
    with Image.open(root.parent / 'JPEGImages' / f'{path.stem}.jpg') as opened:
      yield np.asarray(opened.convert('RGB')), np.array(boxes)


def test_on_real_photographs_the_nucleus_is_in_no_red_cell_and_mirrors_with_the_image(real_images):
  inside = np.zeros(2, int)
  total = 0
  for image, boxes in _photographs(real_images):
    actual = locate.nucleus(image)
    mirrored = locate.nucleus(image[:, ::-1])
    assert np.hypot(actual[0] - mirrored[0], actual[1] - (639 - mirrored[1])) < 2
    total += 1
    for which, (row, column) in enumerate((actual, (240.0, 320.0))):
      low = (boxes[:, :2] <= (row, column)).all(1)
      inside[which] += (low & (boxes[:, 2:] >= (row, column)).all(1)).any()
  assert total > 80
  assert inside[0] == 0
  assert inside[1] > 0.2 * total  # the control: the middle of the frame often is


@pytest.mark.parametrize(('height', 'width'), [(480, 640), (97, 131)])
def test_the_mask_is_the_nucleus_and_its_middle_the_centre(height, width):
  row, column = 0.6 * height, 0.45 * width
  image = _field(height, width, row, column, 0.09 * height)
  found_HW = locate.mask(image)
  expected_HW = (image == NUCLEUS).all(-1)
  assert found_HW.shape == (height, width)
  assert (found_HW & expected_HW).sum() > 0.9 * (found_HW | expected_HW).sum()
  rows, columns = np.nonzero(found_HW)
  assert np.hypot(*(np.array(locate.nucleus(image)) - (rows.mean(), columns.mean()))) < 1
  # Negative control: the red cells are larger and are not in it.
  assert not found_HW[(image == RED_CELL).all(-1)].any()
  assert locate.mask(np.full((height, width, 3), 128, np.uint8)) is None
