"""A TIFF that is not one RGB image, or cannot be read, is refused by a line that says what to save."""

from __future__ import annotations

import importlib.util
import io
import pathlib

import numpy as np
import pytest
import tifffile
from tiff_files import CHANNELS, GREY, GREY_HW, OME, RGB, RGB_HWC, WIDE_HWC, luts, packed, planes, write

from bloodcell_jax.data.images import decode, photograph


def test_a_volume_is_refused_whatever_its_bits():
  for dtype in (np.uint8, np.uint16):
    data = write(np.stack([GREY_HW] * 16).astype(dtype), **GREY, volumetric=True, tile=(16, 16, 16))
    with pytest.raises(
      photograph.rgb.DecodeError, match='is a volume; save one of its slices as an RGB image'
    ):
      photograph.upright(data, 10**6)


def test_two_series_of_ome_are_two_images_and_not_six_channels():
  buffer = io.BytesIO()
  with tifffile.TiffWriter(buffer, ome=True) as file:
    for array_HWC in (RGB_HWC, RGB_HWC[::-1]):
      file.write(array_HWC, **RGB, metadata={'axes': 'YXS'})
  with pytest.raises(decode.DecodeError, match='is a stack of 2 images; save one of them'):
    photograph.upright(buffer.getvalue(), 10**6)


STACK = np.stack([GREY_HW] * 5)
REFUSED = {
  'ImageJ slices': (STACK, {'imagej': True, 'metadata': {'axes': 'ZYX'}}, 'is a stack of 5 images'),
  'ImageJ frames': (STACK, {'imagej': True, 'metadata': {'axes': 'TYX'}}, 'is a stack of 5 images'),
  'ImageJ frames of RGB': (np.stack([RGB_HWC] * 4), {'imagej': True, 'metadata': {'axes': 'TYXS'}}, 'a stack of 4'),
  'ImageJ slices of channels': (
    np.stack([planes(RGB_HWC)] * 2), {'imagej': True, 'metadata': {'axes': 'ZCYX'}}, 'is a stack of 2 images',
  ),
  'OME frames': (STACK, {'ome': True, 'metadata': {'axes': 'TYX'}, **GREY}, 'is a stack of 5 images'),
  'pages': (STACK, GREY, 'is a stack of 5 images'),
  'three pages': (STACK[:3], GREY, 'if they are the channels of one image, save it as RGB'),
  'two channels': (STACK[:2], CHANNELS, 'has 2 channels that are not colours; save it as RGB'),
  'four channels': (STACK[:4], OME, 'has 4 channels that are not colours; save it as RGB'),
  'cyan, magenta, yellow': (
    planes(RGB_HWC),
    {'imagej': True, 'metadata': {**CHANNELS['metadata'], 'LUTs': [255 - lut for lut in luts((0, 1, 2))]}},
    'in colours other than red, green and blue',
  ),
  'float beyond any white': (GREY_HW.astype(np.float32) * 1e6, GREY, 'without a defined white'),
  'float below 0': (GREY_HW.astype(np.float32) - 90, GREY, 'samples below 0'),
  'not finite': (np.where(GREY_HW > 200, np.nan, 0.5).astype(np.float32), GREY, 'not finite'),
  'signed below 0': (RGB_HWC.astype(np.int16) - 128, RGB, 'signed samples below 0'),
  'unsigned 32 without white': (GREY_HW.astype(np.uint32) << 20, GREY, '32 bits a channel without a defined white'),
  'complex': (GREY_HW.astype(np.complex64), GREY, 'complex samples'),
  'five samples': (
    np.concatenate([WIDE_HWC, WIDE_HWC[..., :2]], -1), {**RGB, 'extrasamples': ['unspecified'] * 2}, 'has 5 channels',
  ),
  'sensor data': (GREY_HW.astype(np.uint16), {'photometric': 'cfa'}, 'raw data of a camera'),
}  # fmt: skip


@pytest.mark.parametrize('name', REFUSED)
def test_what_is_no_one_rgb_image_is_refused_in_one_line_that_says_what_to_save(name):
  array, options, says = REFUSED[name]
  with pytest.raises(decode.DecodeError, match=says) as error:
    photograph.upright(write(array, **options), 10**6)
  assert 'save' in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('extension', 'mark'), [('czi', b'ZISRAWFILE' + bytes(99)), ('dcm', bytes(128) + b'DICM' + bytes(99))]
)
def test_a_file_of_a_microscope_under_any_name_says_what_it_is(tmp_path, extension, mark):
  with pytest.raises(decode.DecodeError, match='which cannot be read here; export RGB TIFF or PNG with'):
    photograph.upright(mark, 10**6)


@pytest.mark.parametrize(('num_bits', 'samples'), [(10, 1), (10, 3), (12, 1), (12, 3), (14, 3)])
def test_packed_samples_are_read_or_refused_with_what_reads_them(num_bits, samples):
  data = packed(num_bits, samples)
  # Pillow reads 12 bits of grey.
  if importlib.util.find_spec('imagecodecs') or (num_bits, samples) == (12, 1):
    image, notes = photograph.upright(data, 10**6)
    assert notes[0].endswith('scaled to 8')
    assert np.diff(np.asarray(image)[0, :, 0].astype(int)).min() >= 0, 'a ramp'
    return
  with pytest.raises(photograph.rgb.DecodeError) as caught:
    photograph.upright(data, 10**6)
  assert str(caught.value) == (
    f'has packed samples of {num_bits} bits; save it with 8 or 16 bits, or `pip install -r requirements-tiff.txt`'
  )
  assert 'imagecodecs' in (pathlib.Path(__file__).parents[3] / 'requirements-tiff.txt').read_text()
