"""TIFF in every layout that microscopes' programs write: read right, or refused by a line that says what to save."""

from __future__ import annotations

import importlib.util
import io
import pathlib
import struct

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from bloodcell_jax.data.images import decode, photograph
from bloodcell_jax.data.sources import smear

RGB_HWC = smear.draw('NEUTROPHIL', np.random.default_rng(0), 48, 64)
RGB_HWC = ((RGB_HWC.astype(int) - RGB_HWC.min()) * 255 // (int(RGB_HWC.max()) - int(RGB_HWC.min()))).astype(
  np.uint8
)
GREY_HW = RGB_HWC[..., 1]
GREY_HWC = np.repeat(GREY_HW[..., None], 3, -1)
WIDE_HWC = RGB_HWC.astype(np.uint16) * 257


def write(array: np.ndarray, **options) -> bytes:
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, array, **options)
  return buffer.getvalue()


def planes(array_HWC: np.ndarray) -> np.ndarray:
  return np.moveaxis(array_HWC, -1, 0)


def with_alpha(array_HWC: np.ndarray, alpha: int) -> np.ndarray:
  return np.concatenate([array_HWC, np.full_like(array_HWC[..., :1], alpha)], -1)


def luts(order: tuple[int, ...]) -> list[np.ndarray]:
  ramp = np.arange(256, dtype=np.uint8)
  return [np.stack([ramp if i == k else np.zeros_like(ramp) for i in range(3)]) for k in order]


GREY, RGB = {'photometric': 'minisblack'}, {'photometric': 'rgb'}
IN_PLANES = {**RGB, 'planarconfig': 'separate'}
CHANNELS = {'imagej': True, 'metadata': {'axes': 'CYX', 'mode': 'composite'}}
OME = {'ome': True, 'metadata': {'axes': 'CYX'}, **GREY}

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


def test_a_volume_is_refused_whatever_its_bits():
  for dtype in (np.uint8, np.uint16):
    data = write(np.stack([GREY_HW] * 16).astype(dtype), **GREY, volumetric=True, tile=(16, 16, 16))
    with pytest.raises(
      photograph.rgb.DecodeError, match='is a volume; save one of its slices as an RGB image'
    ):
      photograph.upright(data, 10**6)


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
  'two channels': (STACK[:2], CHANNELS, 'has 2 channels that are no colours; save it as RGB'),
  'four channels': (STACK[:4], OME, 'has 4 channels that are no colours; save it as RGB'),
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


def test_a_reduced_second_page_is_a_preview_and_no_stack():
  buffer = io.BytesIO()
  with tifffile.TiffWriter(buffer) as file:
    file.write(WIDE_HWC, photometric='rgb')
    file.write(RGB_HWC[::2, ::2], photometric='rgb', subfiletype=1)
  image, notes = photograph.upright(buffer.getvalue(), 10**6)
  assert np.abs(np.asarray(image).astype(int) - RGB_HWC).max() <= 1
  assert 'the first of its 2 frames is used' in notes


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


@pytest.mark.parametrize(
  ('extension', 'mark'), [('czi', b'ZISRAWFILE' + bytes(99)), ('dcm', bytes(128) + b'DICM' + bytes(99))]
)
def test_a_file_of_a_microscope_under_any_name_says_what_it_is(tmp_path, extension, mark):
  with pytest.raises(decode.DecodeError, match='which is not read here; export RGB TIFF or PNG with'):
    photograph.upright(mark, 10**6)


def packed(num_bits: int, samples: int) -> bytes:
  """An uncompressed TIFF of 8x8 pixels whose samples follow one another without gaps."""
  values = np.arange(64 * samples) % 2**num_bits
  bits = (values[:, None] >> np.arange(num_bits)[::-1] & 1).astype(np.uint8)
  data = np.packbits(bits.reshape(8, -1), axis=1).tobytes()
  tags = [(256, 4, 8), (257, 4, 8), (258, 3, num_bits), (259, 3, 1), (262, 3, 2 if samples == 3 else 1),
          (277, 3, samples), (278, 4, 8), (279, 4, len(data))]  # fmt: skip
  start = 8 + 2 + 12 * (len(tags) + 1) + 4
  extra = struct.pack('<3H', *[num_bits] * 3) if samples == 3 else b''
  entries = []
  for tag, kind, value in sorted([*tags, (273, 4, start + len(extra))]):
    if tag == 258 and samples == 3:
      entries.append(struct.pack('<HHII', tag, kind, 3, start))
    else:
      entries.append(struct.pack('<HHII', tag, kind, 1, value))
  head = struct.pack('<2sHIH', b'II', 42, 8, len(entries))
  return head + b''.join(entries) + struct.pack('<I', 0) + extra + data


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
