"""A rule for every odd file: refused with a plain reason, or converted with a note."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from bloodcell_jax.data.images import decode

SPEC = decode.Spec(
  image_size=16,
  view='full',
  interpolation='nearest',
  stretch_brightness=False,
  max_pixels=10_000,
  cache='auto',
)


def _encode(image, kind='PNG', **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _picture():
  return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def _png16(channels, value=0x8000):
  """A PNG of 16x16 pixels, 16 bits a channel, all of this value: Pillow writes none in colour."""
  raw = b''.join(b'\0' + struct.pack('>H', value) * (16 * channels) for _ in range(16))
  chunks = [
    (b'IHDR', struct.pack('>IIBBBBB', 16, 16, 16, 2 if channels == 3 else 0, 0, 0, 0)),
    (b'IDAT', zlib.compress(raw)),
    (b'IEND', b''),
  ]
  body = b''.join(struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d)) for t, d in chunks)
  return b'\x89PNG\r\n\x1a\n' + body


# What is refused.

_JPEG = _encode(Image.fromarray(_picture()), 'JPEG')
_PNG = _encode(Image.fromarray(_picture()))


@pytest.mark.parametrize(
  ('data', 'says'),
  [
    (b'', 'zero bytes'),
    (b'no image at all', 'not an image of a known kind'),
    (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'not an image of a known kind'),
    (_JPEG[: len(_JPEG) // 2], 'cut short or damaged'),
    (_PNG[: len(_PNG) // 2], 'cut short or damaged'),
    (_JPEG[:20], 'not an image|cut short or damaged'),
    (_PNG[:60] + b'\0' * 40 + _PNG[100:], 'cut short or damaged'),
    (_encode(Image.new('RGB', (101, 100))), '101x100 pixels, more than data.max_pixels=10000'),
    (_encode(Image.new('RGB', (7, 50))), '7x50 pixels, fewer than 8 a side'),
    (_encode(Image.new('F', (20, 20), 1e6), 'TIFF'), '32 bits'),
    (_encode(Image.new('I', (20, 20), 10**6), 'TIFF'), '32 bits'),
  ],
)
def test_what_is_no_good_image_is_refused_with_a_plain_reason(data, says):
  with pytest.raises(decode.DecodeError, match=says) as caught:
    decode.image(data, SPEC)
  assert '\n' not in str(caught.value)


def test_the_size_is_checked_before_the_pixels_are_decoded(monkeypatch):
  loaded = []
  monkeypatch.setattr(ImageFile.ImageFile, 'load', lambda self: loaded.append(self))
  with pytest.raises(decode.DecodeError, match=r'max_pixels'):
    decode.image(_encode(Image.new('RGB', (101, 100))), SPEC)
  assert not loaded
  with pytest.raises(decode.DecodeError):  # the control: a fitting one gets as far as load()
    decode.image(_PNG, SPEC)
  assert loaded


@pytest.mark.parametrize('side', [12_000, 60_000])  # Pillow warns of the first and raises at the second
def test_a_decompression_bomb_is_refused_by_its_header(side):
  header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
  bomb = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + b'IHDR' + header
  bomb += struct.pack('>I', zlib.crc32(b'IHDR' + header)) + struct.pack('>I', 0) + b'IDAT' + b'\0\0\0\0'
  with pytest.raises(decode.DecodeError, match='max_pixels'):
    decode.image(bomb, SPEC)


def test_a_file_that_is_gone_is_refused(tmp_path):
  with pytest.raises(decode.DecodeError, match='cannot be read'):
    decode.image(str(tmp_path / 'gone.png'), SPEC)


# What is converted, with a note.


def test_rgb_has_no_note():
  assert decode.image(_PNG, SPEC)[1] == ()


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'TIFF'])
def test_greyscale_becomes_three_equal_channels(kind):
  pixels, notes = decode.image(_encode(Image.new('L', (20, 20), 90), kind), SPEC)
  assert (pixels == 90).all()
  assert notes == ('greyscale converted to RGB',)


def test_black_and_white_becomes_0_and_255():
  pixels, notes = decode.image(_encode(Image.new('1', (20, 20), 1)), SPEC)
  assert (pixels == 255).all()
  assert notes == ('black and white converted to RGB',)


def test_a_palette_becomes_its_colours():
  coloured = Image.new('RGB', (20, 20), (10, 200, 30)).convert('P', palette=Image.Palette.ADAPTIVE)
  pixels, notes = decode.image(_encode(coloured), SPEC)
  assert (pixels == (10, 200, 30)).all()
  assert notes == ('palette converted to RGB',)


@pytest.mark.parametrize('kind', ['JPEG', 'TIFF'])
def test_cmyk_becomes_rgb_and_not_its_negative(kind):
  # Cyan ink takes red away.
  pixels, notes = decode.image(_encode(Image.new('CMYK', (24, 24), (255, 0, 0, 0)), kind), SPEC)
  assert pixels[..., 0].max() < 20
  assert pixels[..., 1:].min() > 235
  assert notes == ('CMYK converted to RGB',)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'PPM'])
@pytest.mark.parametrize(('value', 'expected'), [(16_384, 64), (0x8000, 128), (65_535, 255)])
def test_16_bits_are_scaled_and_not_clipped(kind, value, expected):
  wide = Image.fromarray(np.full((20, 20), value, np.uint16))
  pixels, notes = decode.image(_encode(wide, kind), SPEC)
  assert (pixels == expected).all()
  assert '16 bits a channel scaled to 8' in notes


@pytest.mark.parametrize('channels', [1, 3])
def test_16_bits_a_channel_in_colour_are_scaled_too(channels):
  pixels, notes = decode.image(_png16(channels), SPEC)
  assert (pixels == 128).all()
  assert '16 bits a channel scaled to 8' in notes


@pytest.mark.parametrize(
  'transparent',
  [
    Image.new('RGBA', (20, 20), (255, 0, 0, 0)),
    Image.new('LA', (20, 20), (0, 0)),
    Image.new('RGBA', (20, 20), (255, 0, 0, 0)).convert('PA'),
  ],
)
def test_alpha_is_laid_on_white(transparent):
  kind = 'TIFF' if transparent.mode == 'PA' else 'PNG'
  # One visible pixel, so that the alpha means something.
  transparent.putpixel((0, 0), {'RGBA': (255, 0, 0, 255), 'LA': (0, 255), 'PA': (0, 255)}[transparent.mode])
  pixels, notes = decode.image(_encode(transparent, kind), SPEC)
  assert (pixels[2:] == 255).all()
  assert 'alpha composed over white' in notes


def test_half_of_alpha_is_half_of_white():
  pixels, _ = decode.image(_encode(Image.new('RGBA', (20, 20), (255, 0, 0, 128))), SPEC)
  assert abs(pixels.astype(int) - [255, 127, 127]).max() <= 1


def test_a_transparent_colour_of_a_palette_is_laid_on_white():
  flat = Image.new('P', (20, 20), 0)
  flat.putpalette([255, 0, 0, 0, 0, 0])
  flat.putpixel((0, 0), 1)
  pixels, notes = decode.image(_encode(flat, transparency=0), SPEC)
  assert (pixels[2:] == 255).all()
  assert set(notes) == {'alpha composed over white', 'palette converted to RGB'}


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
def test_exif_orientation_is_applied(kind):
  stored = np.zeros((32, 64, 3), np.uint8)
  stored[:, :32] = 255  # the left half
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned by 90 degrees to the right: the left half comes up
  pixels, notes = decode.image(_encode(Image.fromarray(stored), kind, exif=exif), SPEC)
  assert pixels[:6].min() > 240
  assert pixels[-6:].max() < 15
  assert notes == ('rotated upright by its EXIF orientation',)
  exif[0x0112] = 1
  pixels, notes = decode.image(_encode(Image.fromarray(stored), kind, exif=exif), SPEC)
  assert pixels[:, :6].min() > 240
  assert notes == ()


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP'])
def test_of_several_frames_the_first_is_used(kind):
  frames = [Image.new('RGB', (20, 20), c) for c in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
  pixels, notes = decode.image(_encode(frames[0], kind, save_all=True, append_images=frames[1:]), SPEC)
  assert pixels[..., 0].min() > 230
  assert pixels[..., 1:].max() < 20
  assert 'the first of its 3 frames is used' in notes


# Fewer bits than the samples have room for.


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'PPM'])
@pytest.mark.parametrize('bits', [8, 10, 12, 14])
def test_fewer_bits_than_the_samples_have_room_for_are_not_dark(kind, bits):
  ramp = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16)
  pixels, notes = decode.image(_encode(Image.fromarray(ramp), kind), SPEC)
  assert abs(pixels[..., 0].astype(int) - np.arange(256).reshape(16, 16)).max() <= 1
  assert f'{bits} bits a channel, in samples of 16, scaled to 8' in notes


@pytest.mark.parametrize(('value', 'expected'), [(255, 255), (4_000, 249), (0x3FFF, 255), (0x4000, 64)])
@pytest.mark.parametrize('channels', [1, 3])
def test_the_depth_of_a_png_is_that_of_its_brightest_value(channels, value, expected):
  data = _png16(channels, value)
  pixels, _ = decode.image(data, SPEC)
  assert (pixels == expected).all()


@pytest.mark.parametrize(
  'transparent',
  [
    Image.new('RGBA', (20, 20), (9, 90, 30, 0)),
    Image.new('LA', (20, 20), (90, 0)),
    Image.new('RGBA', (20, 20), (9, 90, 9, 1)),
  ],
)
@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_an_alpha_that_hides_everything_is_ignored_and_told(transparent, kind):
  pixels, notes = decode.image(_encode(transparent, kind), SPEC)
  assert (pixels[..., 1] == 90).all()
  assert 'alpha that hides every pixel ignored' in notes


@pytest.mark.parametrize(
  ('alpha', 'expected'), [(0, (200, 90, 30)), (255, (200, 90, 30)), (128, (227, 172, 142))]
)
def test_a_bmp_with_alpha_is_read_like_any_other(alpha, expected):
  # BITMAPV4HEADER with masks, as screen programs and some cameras write it; Pillow writes none.
  size, head = 20 * 20 * 4, struct.pack('<IiiHHIIiiII', 108, 20, 20, 1, 32, 3, 1600, 0, 0, 0, 0)
  masks = struct.pack('<IIII', 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b'BGRs' + bytes(48)
  data = b'BM' + struct.pack('<IHHI', 14 + 108 + size, 0, 0, 14 + 108) + head + masks
  pixels, notes = decode.image(data + bytes((30, 90, 200, alpha)) * 400, SPEC)
  assert abs(pixels.astype(int) - expected).max() <= 1
  assert len(notes) == 1


@pytest.mark.parametrize('white', [4095, 65535, 0])
def test_alpha_of_as_few_bits_as_the_colours_hides_nothing(white):
  picture = _picture()[:16, :16]
  alpha_HW1 = np.full((16, 16, 1), white, np.uint16)
  wide_HWC = np.concatenate([picture.astype(np.uint16) * 16, alpha_HW1], -1)
  raw = b''.join(b'\0' + row.astype('>u2').tobytes() for row in wide_HWC)
  chunks = [
    (b'IHDR', struct.pack('>IIBBBBB', 16, 16, 16, 6, 0, 0, 0)), (b'IDAT', zlib.compress(raw)), (b'IEND', b''),
  ]  # fmt: skip
  body = b''.join(struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d)) for t, d in chunks)
  image_HWC, _ = decode.image(b'\x89PNG\r\n\x1a\n' + body, SPEC)
  assert np.abs(image_HWC.astype(int) - picture).max() <= 2


def test_half_of_an_alpha_of_few_bits_hides_half():
  picture = np.full((16, 16, 3), 100 * 16, np.uint16)
  alpha_HW1 = np.full((16, 16, 1), 2047, np.uint16)
  alpha_HW1[0, 0] = 4095
  raw = b''.join(b'\0' + row.astype('>u2').tobytes() for row in np.concatenate([picture, alpha_HW1], -1))
  chunks = [
    (b'IHDR', struct.pack('>IIBBBBB', 16, 16, 16, 6, 0, 0, 0)), (b'IDAT', zlib.compress(raw)), (b'IEND', b''),
  ]  # fmt: skip
  body = b''.join(struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d)) for t, d in chunks)
  image_HWC, _ = decode.image(b'\x89PNG\r\n\x1a\n' + body, SPEC)
  assert abs(int(image_HWC[0, 0, 0]) - 100) <= 1
  assert abs(int(image_HWC[8, 8, 0]) - 178) <= 2
