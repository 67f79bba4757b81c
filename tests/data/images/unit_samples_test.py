"""Floating-point samples a little outside 0 to 1 are those of an ordinary image, never of a black one."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiff_files import GREY, GREY_HW, RGB, RGB_HWC, write

from bloodcell_jax.data.images import decode, photograph, rgb, unit_samples

UNIT_HWC = RGB_HWC.astype(np.float64) / 255


def with_few(values, share=0.02):
  """The image with these values in a small share of its samples."""
  image_HWC = UNIT_HWC.copy()
  flat = image_HWC.reshape(-1)
  rows = np.linspace(0, flat.size - 1, max(len(values), int(share * flat.size))).astype(int)
  flat[rows] = np.resize(values, len(rows))
  return image_HWC


def read(image, dtype=np.float32):
  picture, notes = photograph.upright(write(image.astype(dtype), **RGB), 10**6)
  return np.asarray(picture).astype(int), notes


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
@pytest.mark.parametrize('values', [(1.02,), (1.002,), (1.9,), (-0.03,), (-0.2, 1.4)])
def test_a_few_samples_outside_are_clipped_and_the_others_stay(values, dtype):
  pixels, notes = read(with_few(values), dtype)
  assert np.abs(pixels - np.rint(with_few(values).clip(0, 1) * 255)).max() <= 1
  assert notes == (unit_samples.CLIPPED,)


def test_an_image_scaled_to_a_little_above_one_is_not_black():
  pixels, notes = read(UNIT_HWC / UNIT_HWC.max() * 1.02)
  assert np.abs(pixels - RGB_HWC).max() <= 8
  assert notes == (unit_samples.CLIPPED,)
  # Negative controls: within 0 to 1 nothing is clipped, and grey levels are those of 8 bits.
  assert read(UNIT_HWC)[1] == ('floating-point samples, 0 to 1, scaled to 8 bits',)
  levels, notes = read(np.minimum(RGB_HWC + 0.25, 255))
  assert np.abs(levels - RGB_HWC).max() <= 1
  assert notes == ('floating-point samples of 32 bits, 8 of them used, scaled to 8',)


def test_whole_numbers_beyond_one_are_grey_levels_as_before():
  dark = (GREY_HW // 128 + 1).astype(np.float32)
  picture, _ = photograph.upright(write(dark, **GREY), 10**6)
  assert sorted(np.unique(np.asarray(picture))) == [1, 2]


OPEN = {
  'half of it beyond 1.25': UNIT_HWC * 1.9,
  'a brightest value of 5': UNIT_HWC * 5.3,
  'about 0, as networks are given it': UNIT_HWC * 0.5 - 0.24,
}


@pytest.mark.parametrize('name', OPEN)
def test_an_image_whose_white_cannot_be_known_is_refused_and_read_once_saved_as_said(name):
  assert (np.mean(OPEN[name] > 1.004) > 0.05) or OPEN[name].max() > 2 or np.mean(OPEN[name] < -0.004) > 0.05
  with pytest.raises(
    rgb.DecodeError, match='whose white is undefined; save them as 0 to 1, or with 8'
  ) as caught:
    read(OPEN[name])
  assert '\n' not in str(caught.value)
  low, high = OPEN[name].min(), OPEN[name].max()
  assert read((OPEN[name] - low) / (high - low))[0].max() == 255
  eight_HWC = np.rint((OPEN[name] - low) / (high - low) * 255).astype(np.uint8)
  assert np.asarray(photograph.upright(write(eight_HWC, **RGB), 10**6)[0]).max() == 255


@pytest.mark.parametrize('image', [UNIT_HWC * 2 - 1, UNIT_HWC * 4.5 - 2])
def test_an_image_normalised_about_zero_is_refused(image):
  with pytest.raises(decode.DecodeError, match='samples below 0'):
    read(image)


def test_training_and_prediction_read_the_clipped_and_the_plain_file_alike(tmp_path):
  tifffile.imwrite(tmp_path / 'over.tif', with_few((1.02,), 0.001).astype(np.float32), photometric='rgb')
  Image.fromarray(RGB_HWC).save(tmp_path / 'plain.png')
  over, plain = (decode.upright(str(tmp_path / name), 10**6) for name in ('over.tif', 'plain.png'))
  assert (np.abs(over.astype(int) - plain) > 1).mean() < 0.01
