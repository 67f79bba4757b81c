"""Converts any image that Pillow has opened to upright 8-bit RGB on white."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFile, ImageOps

from bloodcell_jax.data.images import levels, wide_colours

_ORIENTATION = 0x0112  # EXIF 2.3, tag 274
# Pillow counts frames by reading the header of each, which for TIFF takes quadratic time.
MOST_COUNTED = 100
# What turns an image of each orientation upright.
TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
# Notes that several readers give.
TURNED, GREY = 'rotated upright by its EXIF orientation', 'greyscale converted to RGB'
ALPHA, HIDDEN = 'alpha composed over white', 'alpha that hides every pixel ignored'
# Largest alpha, 0 to 255, that hides a pixel as far as anyone sees.
_HIDES = 1


class DecodeError(ValueError):
  """An image that cannot be used; the text is the reason, without the file's name."""


class TooLarge(DecodeError):
  """An image beyond the limit of pixels; the text names its key of the config.

  Args:
    what: the image's size, as 'has 9x9 pixels'.
    bound: what that is beyond.
    enough: a limit of pixels under which the image is read; 0 where it is too large under any.
  """

  def __init__(self, what: str, bound: str, enough: int):
    super().__init__(f'{what}, {bound}')
    self.what, self.enough = what, enough


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
  if wide and opened.format in ('PNG', 'TIFF') and rgb.mode in ('RGB', 'RGBA', 'LA'):
    rgb, num_bits = _dark_colours(opened, data)
  if turned:
    rgb = ImageOps.exif_transpose(rgb)
    notes.append(TURNED)
  if rgb.mode == 'I' and opened.format == 'PPM':
    wide = True  # Pillow scales the values of a PGM to 16 bits, whatever its header defines as white
  if rgb.mode.startswith('I;16') or (rgb.mode == 'I' and wide):
    sample_HW = np.asarray(rgb).astype(np.int64).clip(0, 65535)
    num_bits = levels.bits(int(sample_HW.max()))
    rgb = Image.fromarray(levels.scaled(sample_HW, num_bits, is_colour=False))
  elif rgb.mode in ('I', 'F'):
    raise DecodeError('has 32 bits a channel without a defined white; save it with 8 or 16')
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
    notes.append(note)
  if opened.mode not in ('RGB', 'RGBA', 'RGBX', 'RGBa'):
    kind = {'1': 'black and white', 'P': 'palette', 'PA': 'palette'}.get(opened.mode)
    grey = 'greyscale' if opened.mode[0] in 'LI' and opened.mode != 'LAB' else opened.mode
    notes.append(f'{kind or grey} converted to RGB')
  return rgb.convert('RGB'), tuple(notes)


def on_white(below: Image.Image, alpha: Image.Image) -> tuple[Image.Image, str]:
  """The RGB image composed over white by its alpha, and a note; an alpha that hides every pixel is ignored.

  Some programs write a fourth channel of zeros that means nothing.
  """
  if _hides(alpha):
    return below, HIDDEN
  rgba = below.copy()
  rgba.putalpha(alpha)
  return Image.alpha_composite(Image.new('RGBA', rgba.size, 'white'), rgba), ALPHA


def _hides(alpha: Image.Image) -> bool:
  return int(np.asarray(alpha).max()) <= _HIDES


def _dark_colours(opened: Image.Image, data: bytes) -> tuple[Image.Image, int]:
  """The 16-bit colour image and the number of bits that it uses; where those are fewer, Pillow kept too few of them."""
  colours = opened.convert('RGB') if opened.mode != 'LA' else opened.getchannel('L')
  if int(np.asarray(colours).max()) >= 64:
    return opened, 16
  sample_HWC = wide_colours.read(data)
  if sample_HWC is None or sample_HWC.shape[:2] != opened.size[::-1]:
    raise DecodeError('uses fewer than 15 of its 16 bits a channel and cannot be read; save it with 8 bits')
  num_bits = levels.bits(int(sample_HWC[..., :3].max()))
  eight_HWC = levels.scaled(sample_HWC[..., :3], num_bits, is_colour=True)
  image = Image.fromarray(eight_HWC)
  if sample_HWC.shape[2] == 4:
    # Its own scale: some programs give 12-bit colours an alpha of 12 bits, others one of all bits.
    alpha_HW1 = sample_HWC[..., 3:]
    image.putalpha(
      Image.fromarray(levels.scaled(alpha_HW1, levels.bits(int(alpha_HW1.max())), is_colour=False)[..., 0])
    )
  if exif := opened.info.get('exif'):
    image.info['exif'] = exif
  return image, num_bits


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
