"""Converts any image that Pillow has opened to upright 8-bit RGB on white."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFile, ImageOps

_ORIENTATION = 0x0112  # EXIF 2.3, tag 274
# Pillow counts frames by reading the header of each, which for TIFF takes quadratic time.
MOST_COUNTED = 100


class DecodeError(ValueError):
  """An image that cannot be used; the text is the reason, without the file's name."""


def convert(opened: ImageFile.ImageFile) -> tuple[Image.Image, tuple[str, ...]]:
  """The upright image as 8-bit RGB, and a note for each conversion.

  Raises:
    DecodeError: it has 32 bits a channel. Pillow raises many other errors on damaged files.
  """
  notes = []
  # Read before load(), which drops them and itself rotates a TIFF upright.
  num_frames = _num_frames(opened)
  wide = opened.mode.startswith('I;16') or any(';16' in str(tile.args) for tile in opened.tile)
  if num_frames > 1:
    more = 'more than ' if num_frames > MOST_COUNTED else ''
    notes.append(f'the first of its {more}{min(num_frames, MOST_COUNTED)} frames is used')
  turned = opened.getexif().get(_ORIENTATION, 1) in range(2, 9)
  opened.load()
  rgb: Image.Image = opened
  if turned:
    rgb = ImageOps.exif_transpose(rgb)
    notes.append('rotated upright by its EXIF orientation')
  if rgb.mode == 'I' and opened.format == 'PPM':
    wide = True  # Pillow scales the values of a PGM to 16 bits, whatever its header defines as white
  if rgb.mode.startswith('I;16') or (rgb.mode == 'I' and wide):
    rgb = _to_eight_bits(rgb)
  elif rgb.mode in ('I', 'F'):
    raise DecodeError('has 32 bits a channel without a defined white; save it with 8 or 16')
  if wide:
    notes.append('16 bits a channel scaled to 8')
  if rgb.has_transparency_data:
    notes.append('alpha composed over white')
    rgba = rgb.convert('RGBA')
    rgb = Image.alpha_composite(Image.new('RGBA', rgba.size, 'white'), rgba)
  if opened.mode not in ('RGB', 'RGBA', 'RGBX', 'RGBa'):
    kind = {'1': 'black and white', 'P': 'palette', 'PA': 'palette'}.get(opened.mode)
    grey = 'greyscale' if opened.mode[0] in 'LI' and opened.mode != 'LAB' else opened.mode
    notes.append(f'{kind or grey} converted to RGB')
  return rgb.convert('RGB'), tuple(notes)


def _num_frames(opened: ImageFile.ImageFile) -> int:
  """The number of frames, counted up to MOST_COUNTED + 1."""
  if not getattr(opened, 'is_animated', False):
    return 1
  if opened.format not in ('GIF', 'TIFF'):
    return opened.n_frames  # type: ignore[attr-defined]  # its header says so
  try:
    for i in range(1, MOST_COUNTED + 1):
      try:
        opened.seek(i)
      except EOFError:
        return i
    return MOST_COUNTED + 1
  finally:
    opened.seek(0)


def _to_eight_bits(wide: Image.Image) -> Image.Image:
  # convert() would clip at 255. 65535 = 257 x 255, and + 128 rounds.
  array = np.asarray(wide).astype(np.int64)
  return Image.fromarray(((array.clip(0, 65535) + 128) // 257).astype(np.uint8))
