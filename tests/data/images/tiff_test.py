"""TIFF in every layout that microscopes' programs write has the pixels that were saved."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from tiff_files import (
  CHANNELS,
  GREY,
  GREY_HW,
  GREY_HWC,
  IN_PLANES,
  OME,
  RGB,
  RGB_HWC,
  WIDE_HWC,
  luts,
  planes,
  with_alpha,
  write,
)

from bloodcell_jax.data.images import photograph

READ = {
  '8 bits': (RGB_HWC, RGB, RGB_HWC),
  '8 bits in planes': (planes(RGB_HWC), IN_PLANES, RGB_HWC),
  '8 bits in tiles': (RGB_HWC, {**RGB, 'tile': (16, 16)}, RGB_HWC),
  '8 bits big-endian': (RGB_HWC, {**RGB, 'byteorder': '>'}, RGB_HWC),
  '8 bits BigTIFF': (RGB_HWC, {**RGB, 'bigtiff': True}, RGB_HWC),
  '16 bits': (WIDE_HWC, RGB, RGB_HWC),
  '16 bits in planes': (planes(WIDE_HWC), IN_PLANES, RGB_HWC),
  '16 bits in planes big-endian': (planes(WIDE_HWC), {**IN_PLANES, 'byteorder': '>'}, RGB_HWC),
  '16 bits in planes deflate': (planes(WIDE_HWC), {**IN_PLANES, 'compression': 'zlib', 'predictor': True}, RGB_HWC),
  '16 bits in planes and tiles': (planes(WIDE_HWC), {**IN_PLANES, 'tile': (16, 32)}, RGB_HWC),
  '16 bits BigTIFF in planes': (planes(WIDE_HWC), {**IN_PLANES, 'bigtiff': True}, RGB_HWC),
  'white is zero': (255 - GREY_HW, {'photometric': 'miniswhite'}, GREY_HWC),
  'white is zero, 16 bits': (65535 - GREY_HW.astype(np.uint16) * 257, {'photometric': 'miniswhite'}, GREY_HWC),
  'white is zero, 16 bits, big-endian': (
    65535 - GREY_HW.astype(np.uint16) * 257, {'photometric': 'miniswhite', 'byteorder': '>'}, GREY_HWC,
  ),
  '8 bits in 16': (RGB_HWC.astype(np.uint16), RGB, RGB_HWC),
  '10 bits in 16': (RGB_HWC.astype(np.uint16) * 4, RGB, RGB_HWC),
  '12 bits in 16': (RGB_HWC.astype(np.uint16) * 16, RGB, RGB_HWC),
  '12 bits in 16, planes': (planes(RGB_HWC.astype(np.uint16) * 16), IN_PLANES, RGB_HWC),
  '14 bits in 16, grey': (GREY_HW.astype(np.uint16) * 64, GREY, GREY_HWC),
  'signed 16': (RGB_HWC.astype(np.int16) * 128, RGB, RGB_HWC),
  'signed 16 of 8 bits, grey': (GREY_HW.astype(np.int16), GREY, GREY_HWC),
  'unsigned 32 of 12 bits': (GREY_HW.astype(np.uint32) * 16, GREY, GREY_HWC),
  'float 0 to 1': (RGB_HWC.astype(np.float32) / 255, RGB, RGB_HWC),
  'float 0 to 255, grey': (GREY_HW.astype(np.float32), GREY, GREY_HWC),
  'float64 0 to 65535': (WIDE_HWC.astype(np.float64), RGB, RGB_HWC),
  'half 0 to 1': ((RGB_HWC / 255).astype(np.float16), RGB, RGB_HWC),
  'alpha 0': (with_alpha(RGB_HWC, 0), {**RGB, 'extrasamples': ['unassalpha']}, RGB_HWC),
  'associated alpha 0': (with_alpha(RGB_HWC, 0), {**RGB, 'extrasamples': ['assocalpha']}, RGB_HWC),
  'alpha 0, 16 bits': (with_alpha(WIDE_HWC, 0), {**RGB, 'extrasamples': ['unassalpha']}, RGB_HWC),
  'alpha 65535, 12 bits': (
    with_alpha(RGB_HWC.astype(np.uint16) * 16, 65535), {**RGB, 'extrasamples': ['unassalpha']}, RGB_HWC,
  ),
  'a fourth channel of no meaning': (with_alpha(WIDE_HWC, 7), {**RGB, 'extrasamples': ['unspecified']}, RGB_HWC),
  'three samples called grey': (RGB_HWC, {**GREY, 'planarconfig': 'contig'}, RGB_HWC),
  'ImageJ channels': (planes(RGB_HWC), CHANNELS, RGB_HWC),
  'ImageJ channels, 16 bits': (planes(WIDE_HWC), CHANNELS, RGB_HWC),
  'ImageJ channels blue first': (
    planes(RGB_HWC[..., ::-1]),
    {'imagej': True, 'metadata': {**CHANNELS['metadata'], 'LUTs': luts((2, 1, 0))}},
    RGB_HWC,
  ),
  'ImageJ RGB': (RGB_HWC, {'imagej': True}, RGB_HWC),
  'OME channels': (planes(RGB_HWC), OME, RGB_HWC),
  'OME RGB in planes, 16 bits': (planes(WIDE_HWC), {'ome': True, 'metadata': {'axes': 'SYX'}, **IN_PLANES}, RGB_HWC),
}  # fmt: skip


@pytest.mark.parametrize('name', READ)
def test_the_pixels_are_those_that_were_saved(name):
  array, options, expected_HWC = READ[name]
  image, notes = photograph.upright(write(array, **options), 10**6)
  difference = np.abs(np.asarray(image).astype(int) - expected_HWC)
  assert difference.max() <= 2, notes
  assert bool(notes) == (name != 'ImageJ RGB' and (name == '8 bits in 16' or not name.startswith('8 bits')))


def indexed(room: int) -> bytes:
  """A palette of 8-bit colours, in the upper or in the lower half of its 16 bits."""
  palette = Image.fromarray(RGB_HWC).quantize(256)
  colours = np.array(palette.getpalette()).reshape(-1, 3).T.astype(np.uint16)
  return write(np.asarray(palette), photometric='palette', colormap=colours * (257 if room == 16 else 1))


def behind_a_preview() -> bytes:
  buffer = io.BytesIO()
  with tifffile.TiffWriter(buffer) as file:
    file.write(RGB_HWC[::2, ::2], **RGB, subfiletype=1)
    file.write(RGB_HWC, **RGB)
  return buffer.getvalue()


IN_256_HWC = np.asarray(Image.fromarray(RGB_HWC).quantize(256).convert('RGB'))
ODD = {
  'BigTIFF, big-endian, 8 bits': (lambda: write(RGB_HWC, **RGB, byteorder='>', bigtiff=True), RGB_HWC, ()),
  'BigTIFF, big-endian, 12 bits': (
    lambda: write(RGB_HWC.astype(np.uint16) * 16, **RGB, byteorder='>', bigtiff=True), RGB_HWC,
    ('12 bits a channel, in samples of 16, scaled to 8',)),
  'a palette of 8 bits': (
    lambda: indexed(8), IN_256_HWC, ('palette converted to RGB',)),
  'a palette of 16 bits': (
    lambda: indexed(16), IN_256_HWC, ('palette converted to RGB',)),
  'signed 8': (
    lambda: write((RGB_HWC // 2).astype(np.int8), **RGB), RGB_HWC,
    ('signed samples of 8 bits, 7 of them used, scaled to 8',)),
  'behind its preview': (behind_a_preview, RGB_HWC, ('the largest of its 2 frames is used',)),
}  # fmt: skip


@pytest.mark.parametrize('name', ODD)
def test_what_pillow_would_misread_is_read(name):
  written, expected_HWC, expected = ODD[name]
  image, notes = photograph.upright(written(), 10**6)
  assert np.abs(np.asarray(image).astype(int) - expected_HWC).max() <= 2
  assert notes == expected


def test_a_reduced_second_page_is_a_preview_and_no_stack():
  buffer = io.BytesIO()
  with tifffile.TiffWriter(buffer) as file:
    file.write(WIDE_HWC, photometric='rgb')
    file.write(RGB_HWC[::2, ::2], photometric='rgb', subfiletype=1)
  image, notes = photograph.upright(buffer.getvalue(), 10**6)
  assert np.abs(np.asarray(image).astype(int) - RGB_HWC).max() <= 1
  assert 'the first of its 2 frames is used' in notes


def pages(*arrays: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  with tifffile.TiffWriter(buffer) as file:
    for array in arrays:
      file.write(np.ascontiguousarray(array), photometric='rgb')
  return buffer.getvalue()


def test_an_unmarked_preview_before_the_image_is_not_taken_for_it():
  image, notes = photograph.upright(pages(RGB_HWC[::2, ::2], RGB_HWC), 10**6)
  assert np.array_equal(np.asarray(image), RGB_HWC)
  assert notes == ('the largest of its 2 frames is used',)
  # Negative control: a first page of another shape is the image; what follows may be a label.
  height = RGB_HWC.shape[0] // 4
  image, notes = photograph.upright(pages(RGB_HWC[:height], RGB_HWC), 10**6)
  assert image.size == (RGB_HWC.shape[1], height)
  assert notes == ('the first of its 2 frames is used',)


@pytest.mark.parametrize('names', [('Blue', 'Green', 'Red'), ('B', 'G', 'R')])
def test_channels_that_ome_names_by_their_colours_are_those_colours(names):
  about = {'axes': 'CYX', 'Channel': {'Name': list(names)}}
  data = write(planes(RGB_HWC[..., ::-1]), ome=True, photometric='minisblack', metadata=about)
  assert np.array_equal(np.asarray(photograph.upright(data, 10**6)[0]), RGB_HWC)
  # Negative control: names that are no colours leave the order.
  about['Channel']['Name'] = ['A', 'B', 'C']
  data = write(planes(RGB_HWC), ome=True, photometric='minisblack', metadata=about)
  assert np.array_equal(np.asarray(photograph.upright(data, 10**6)[0]), RGB_HWC)


@pytest.mark.parametrize(
  ('tags', 'bits'),
  [
    ({'extratags': [(281, 3, 1, 4095, True)]}, 12),
    ({'extratags': [(341, 3, 1, 1000, True)]}, 10),
    ({'extratags': [(281, 3, 1, 65535, True)]}, 8),  # only the room of the samples
    ({'imagej': True, 'metadata': {'min': 0.0, 'max': 4095.0}}, 12),
    ({'ome': True, 'metadata': {'axes': 'YX', 'SignificantBits': 12}}, 12),
    ({}, 8),
  ],
)
def test_a_brightest_value_that_the_file_names_raises_the_depth(tags, bits):
  dark = (GREY_HW.astype(np.uint16)) // 2
  _, notes = photograph.upright(
    write(dark, **GREY, **tags) if 'imagej' not in tags else write(dark, **tags), 10**6
  )
  assert notes[0].startswith(f'{bits} bits a channel')


def test_colours_of_16_bits_keep_the_pixels_that_pillow_gives():
  wide = np.random.default_rng(0).integers(0, 65536, (40, 60, 3), np.uint16)
  data = write(wide, **RGB)
  np.testing.assert_array_equal(
    np.asarray(photograph.upright(data, 10**6)[0]), np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))
  )


@pytest.mark.parametrize('factor', [16, 257])
@pytest.mark.parametrize('kind', ['.tif', '.png'])
def test_colours_of_16_bits_under_other_compressions_are_read(factor, kind):
  _, data = cv2.imencode(kind, (RGB_HWC.astype(np.uint16) * factor)[..., ::-1])  # LZW in a TIFF
  image, notes = photograph.upright(data.tobytes(), 10**6)
  assert np.abs(np.asarray(image).astype(int) - RGB_HWC).max() <= 1
  assert notes == (
    ('12 bits a channel, in samples of 16,' if factor == 16 else '16 bits a channel') + ' scaled to 8',
  )


@pytest.mark.parametrize('compression', ['tiff_lzw', 'packbits', 'tiff_adobe_deflate', 'jpeg'])
def test_common_compressions_of_8_bits_are_read(compression):
  buffer = io.BytesIO()
  Image.fromarray(RGB_HWC).save(buffer, 'TIFF', compression=compression)
  image, notes = photograph.upright(buffer.getvalue(), 10**6)
  assert np.abs(np.asarray(image).astype(int) - RGB_HWC).mean() < (5 if compression == 'jpeg' else 0.001)
  assert notes == ()


@pytest.mark.parametrize('orientation', range(1, 9))
def test_an_orientation_turns_every_layout_alike(orientation):
  tag = [(274, 3, 1, orientation, True)]
  plain, wide = (
    np.asarray(photograph.upright(write(array, extratags=tag, **options), 10**6)[0])
    for array, options in ((RGB_HWC, RGB), (planes(WIDE_HWC), IN_PLANES))
  )
  assert plain.shape == wide.shape
  assert np.abs(plain.astype(int) - wide).max() <= 1
