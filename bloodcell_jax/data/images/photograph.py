"""A file's photograph: upright, 8-bit RGB, at its own size; every reader of images begins here.

How files are treated:

  empty, not an image, truncated or damaged       refused, with the reason
  a file of a microscope's program                refused: what it is, and what to export
  more than `max_pixels`, under 8 pixels a side   refused by its header, before it is decoded
  more bytes than so many pixels can have         refused unread
  a JPEG of more than 100 scans                   refused: each takes as long as an image; a usual one has 1 to 12
  a TIFF that is a stack of images                refused; pages that are channels are joined
  greyscale, palette, CMYK and the like           converted to RGB, noted
  8, 10, 12, 14 or 16 bits in samples of 16       scaled so that the largest value of so many bits becomes 255, noted
  32 bits, signed or floating-point samples       the same if all lie in 0 to 1 or 0 to 65535; else refused
  floating-point samples, few or near outside 0-1 clipped, noted
  white is zero                                   inverted, noted for more than 8 bits
  alpha                                           composed over white, noted; ignored if it hides every pixel
  an EXIF orientation                             rotated upright, noted
  several frames of a GIF, PNG or WebP            the first one is used, noted
  a colour profile                                ignored

The format is detected from the content; the file extension is ignored here.
"""

from __future__ import annotations

import io
import os
import warnings

from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.images import foreign, image_files, rgb, tiff

# Pixels; smaller images show nothing of a cell.
LEAST_SIDE = 8

# Registers all formats of Pillow, so that those named here can be selected.
Image.init()
# Pillow's names of the formats in `image_files.EXTENSIONS`; others are not opened: some start other programs.
_FORMATS = ('JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP', 'GIF', 'PPM')
# 16 bits a channel with alpha, and spare bytes for a preview and camera metadata.
_BYTES_A_PIXEL, _SPARE_BYTES = 8, 2**24
_MOST_SCANS = 100


def quiet() -> warnings.catch_warnings:
  """Suppresses Pillow's warnings about metadata. Not thread-safe: warning filters belong to the whole process."""
  return warnings.catch_warnings(action='ignore')


def upright(content: types.Content, max_pixels: int) -> tuple[Image.Image, tuple[str, ...]]:
  """The photograph, and a note for each conversion.

  Args:
    content: a path, the bytes of the file, or where they are stored.
    max_pixels: an image with more is refused.

  Raises:
    DecodeError: the image cannot be used; the message is the reason.
  """
  data = read(content, max_pixels)
  if not data:
    raise rgb.DecodeError('is empty: zero bytes')
  if tiff.is_tiff(data):
    found = tiff.read(data, max_pixels)
    if found is not None:
      check_size(found[0].size, max_pixels)
      return found
  try:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
      check_size(opened.size, max_pixels)
      # Within the data of a scan, 0xFF is only followed by 0 or a restart marker, so each 0xFFDA begins a scan.
      if opened.format in ('JPEG', 'MPO') and data.count(b'\xff\xda') > _MOST_SCANS:
        raise rgb.DecodeError(f'is a JPEG of more than {_MOST_SCANS} scans')
      return rgb.convert(opened, data)
  except (rgb.DecodeError, MemoryError):
    raise
  except Image.UnidentifiedImageError:
    if reason := foreign.signature_reason(data):
      raise rgb.DecodeError(f'is {reason}') from None
    kinds = ', '.join(e[1:] for e in image_files.EXTENSIONS)
    raise rgb.DecodeError(f'is not an image of a known kind ({kinds})') from None
  except Image.DecompressionBombError:
    # Raised while the header is read, above twice Image.MAX_IMAGE_PIXELS, about 179 million.
    raise rgb.TooLarge(
      'has too many pixels', f'more than data.max_pixels={max_pixels} or Pillow allows', 0
    ) from None
  # Pillow's decoders raise many kinds of errors on damaged files, including SyntaxError and struct.error.
  except Exception as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise rgb.DecodeError(f'is cut short or damaged ({reason})') from None


def read(content: types.Content, max_pixels: int) -> bytes:
  """The bytes of the file. Raises DecodeError where it cannot be read or is too large for so many pixels."""
  if isinstance(content, bytes):
    return content
  try:
    if not isinstance(content, str):
      return content.read()
    most = _BYTES_A_PIXEL * max_pixels + _SPARE_BYTES
    size = os.path.getsize(content)
    if size > most:
      enough = -(-(size - _SPARE_BYTES) // _BYTES_A_PIXEL)
      raise rgb.TooLarge(
        f'has more than {most:,} bytes', f'the most for data.max_pixels={max_pixels}', enough
      )
    return image_files.read(content)
  except OSError as error:
    raise rgb.DecodeError(f'cannot be read ({error.strerror or error})') from None


def check_size(size: tuple[int, int], max_pixels: int) -> None:
  """Raises DecodeError for a (width, height) of too many or too few pixels."""
  width, height = size
  if width * height > max_pixels:
    raise rgb.TooLarge(
      f'has {width}x{height} pixels', f'more than data.max_pixels={max_pixels}', width * height
    )
  if min(width, height) < LEAST_SIDE:
    raise rgb.DecodeError(f'has {width}x{height} pixels, fewer than {LEAST_SIDE} a side')
