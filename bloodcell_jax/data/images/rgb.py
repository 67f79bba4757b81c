"""Converts any image that Pillow has opened to upright 8-bit RGB on white."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFile, ImageOps

from bloodcell_jax.data.images import levels

_ORIENTATION = 0x0112  # EXIF 2.3, tag 274
# Pillow counts frames by reading the header of each, which for TIFF takes quadratic time.
MOST_COUNTED = 100
# Notes that several readers give.
TURNED, GREY = 'rotated upright by its EXIF orientation', 'greyscale converted to RGB'
ALPHA, HIDDEN = 'alpha composed over white', 'alpha that hides every pixel ignored'
# Largest alpha, 0 to 255, that hides a pixel as far as anyone sees.
_HIDES = 1


class DecodeError(ValueError):
  """An image that cannot be used; the text is the reason, without the file's name."""


def convert(opened: ImageFile.ImageFile, data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
  """The upright image as 8-bit RGB, and a note for each conversion.

  Args:
    opened: the image.
    data: its file, for samples of 16 bits of which Pillow keeps the upper 8.

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
  num_bits = 16
  if rgb.mode == 'I' and opened.format == 'PPM':
    wide = True  # Pillow scales the values of a PGM to 16 bits, whatever its header defines as white
  if rgb.mode.startswith('I;16') or (rgb.mode == 'I' and wide):
    sample_HW = np.asarray(rgb).astype(np.int64).clip(0, 65535)
    num_bits = levels.bits(int(sample_HW.max()))
    rgb = Image.fromarray(levels.scaled(sample_HW, num_bits, is_colour=False))
  elif rgb.mode in ('I', 'F'):
    raise DecodeError('has 32 bits a channel without a defined white; save it with 8 or 16')
  elif wide and opened.format in ('PNG', 'TIFF') and rgb.mode in ('RGB', 'RGBA', 'LA'):
    rgb, num_bits = _dark_colours(rgb, data)
  if turned:
    if opened.getexif().get(_ORIENTATION, 1) in range(2, 9):
      rgb = _upright(rgb, opened)
    notes.append(TURNED)
  if wide:
    notes.append(levels.note(num_bits, 16))
  if rgb.has_transparency_data:
    if rgb.mode in ('RGBa', 'La'):  # colours multiplied by alpha
      alpha = rgb.getchannel('a')
      straight = rgb.convert('RGBA' if rgb.mode == 'RGBa' else 'LA')
      bands = (rgb if _hides(alpha) else straight).split()[:-1]
      below = Image.merge('RGB', bands if len(bands) == 3 else bands * 3)
    else:
      rgba = rgb.convert('RGBA')
      below, alpha = rgba.convert('RGB'), rgba.getchannel('A')
    rgb, note = on_white(below, alpha)
    notes.append(note or ALPHA)
  if opened.mode not in ('RGB', 'RGBA', 'RGBX', 'RGBa'):
    kind = {'1': 'black and white', 'P': 'palette', 'PA': 'palette'}.get(opened.mode)
    grey = 'greyscale' if opened.mode[0] in 'LI' and opened.mode != 'LAB' else opened.mode
    notes.append(f'{kind or grey} converted to RGB')
  return rgb.convert('RGB'), tuple(notes)
