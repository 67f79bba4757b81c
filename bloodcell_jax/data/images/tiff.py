"""TIFF in the layouts that Pillow reads wrongly or not at all, by tifffile; the others are left to Pillow.

Read here: more than 8 bits a channel, signed and floating samples, channels in planes of more than 8 bits or in pages,
BigTIFF of the other byte order, a palette of 8 bits, and an image behind its own preview. A stack of several images is
refused, because the images of a stack are not one image.
"""

from __future__ import annotations

import io
import itertools
import logging
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from bloodcell_jax.data.images import rgb, tiff_about
from bloodcell_jax.data.images import samples as samples_lib

MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# BigTIFF with the most significant byte first, which Pillow does not know.
_OF_TIFFFILE = b'MM\0+'
# Pages that are looked at; a stack of more is refused all the same.
_MOST_PAGES = 64
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK = range(6)
_REDUCED, _OF_MASK = 1, 4  # bits of NewSubfileType
_RAW = (32803, 34892)  # colour filter array, linear raw
# A note: Pillow misreads them.
PLANES = 'colours in planes of more than 8 bits joined'
# What reads the compressions that tifffile and Pillow lack, and packed samples of 9 to 15 bits.
CODECS = 'pip install -r requirements-tiff.txt'
# tifffile warns of every odd tag; what matters is an error or a note of the image.
logging.getLogger('tifffile').setLevel(logging.CRITICAL + 1)


def is_tiff(data: bytes) -> bool:
  """Whether the bytes begin like a TIFF or BigTIFF of either byte order."""
  return data[:4] in MAGIC


def read(data: bytes, max_pixels: int) -> tuple[Image.Image, tuple[str, ...]] | None:
  """The upright image as 8-bit RGB and a note for each conversion; None to leave the file to Pillow.

  Args:
    data: the file.
    max_pixels: an image with more is left to Pillow, which refuses it by its header.

  Raises:
    DecodeError: a stack of images, samples without a defined white, channels that are not RGB, or a compression that
      cannot be read in this layout.
  """
  try:
    with tifffile.TiffFile(io.BytesIO(data), _multifile=False) as file:
      page = _main(file)
      if page.imagewidth * page.imagelength > max_pixels or page.imagewidth * page.imagelength == 0:
        return None
      pages, more = _pages(file, page)
      is_pillows = page is file.pages.first and not data.startswith(_OF_TIFFFILE)
      if len(pages) == 1 and is_pillows and _is_plain(page) and not _is_erased(page):
        return None
      samples = _read(file, pages, max_pixels)
      turn = rgb.TURNS.get(_value(page, 274, 1))
  except (rgb.DecodeError, MemoryError):
    raise
  # tifffile raises many kinds of errors on damaged files; Pillow then says what is wrong with the file.
  except Exception:
    return None
  if samples is None:
    return None
  image, notes = samples_lib.to_rgb(samples)
  if turn is not None:
    image, notes = image.transpose(turn), (*notes, rgb.TURNED)
  return image, (*more, *notes)


def _main(file: Any) -> Any:
  """The first page that is not marked as the reduced copy or the mask of another, or the larger one that it previews.

  A page of the same shape, all but smaller, is taken for a preview that its program did not mark.
  """
  unmarked = [
    page
    for page in itertools.islice(file.pages, _MOST_PAGES)
    if not _value(page, 254, 0) & (_REDUCED | _OF_MASK)
  ]
  if not unmarked:
    return file.pages.first
  first, largest = unmarked[0], max(unmarked, key=lambda page: page.imagewidth * page.imagelength)
  width, height = first.imagewidth, first.imagelength
  is_preview = (
    abs(width * largest.imagelength - height * largest.imagewidth) <= largest.imagewidth + largest.imagelength
  )
  return largest if is_preview and 2 * width <= largest.imagewidth else first


def _pages(file: Any, first: Any) -> tuple[list[Any], tuple[str, ...]]:
  """The pages that are one image, or its channels; and a note if others are left out.

  Raises:
    DecodeError: a stack of images.
  """
  pages, num = [first], first.index + 1
  while num < _MOST_PAGES:
    try:
      page = file.pages[num]
    except IndexError:
      break
    num += 1
    if not _value(page, 254, 0) & (_REDUCED | _OF_MASK) and _size(page) == _size(first):
      pages.append(page)
  channels, others = tiff_about.stack(file)
  if others <= 1 and len(pages) > 1 and channels and len(pages) * first.samplesperpixel > channels:
    # Several series of OME, each an image of all its channels.
    others = len(pages) * first.samplesperpixel // channels
  if others > 1 or (len(pages) > 1 and not channels):
    num_images = others if others > 1 else len(pages)
    more = 'more than ' if num_images >= _MOST_PAGES else ''
    advice = 'save one of them, or their projection, as an RGB image'
    if len(pages) == 3 and others <= 1:
      advice = 'if they are the channels of one image, save it as RGB; else save one of them'
    raise rgb.DecodeError(f'is a stack of {more}{num_images} images; {advice}')
  if channels and channels != 3 and (len(pages) > 1 or channels > 4):
    raise rgb.DecodeError(f'has {channels} channels that are not colours; save it as RGB')
  left = num - len(pages)
  which = 'the first' if first is file.pages.first else 'the largest'
  return pages, (f'{which} of its {num} frames is used',) if left and len(pages) == 1 else ()


def _is_plain(page: Any) -> bool:
  """Whether Pillow reads it right: at most 8 bits, unsigned, in a known order of channels."""
  num_extra = page.samplesperpixel - 1
  is_odd = page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and num_extra and not page.extrasamples
  is_odd = is_odd or (page.photometric == _BLACK_IS_ZERO and page.samplesperpixel >= 3)
  is_odd = is_odd or page.imagedepth > 1 or (page.photometric == _PALETTE and _is_short(page.colormap))
  return _bits(page) <= 8 and _format(page) in (1, 4) and not is_odd


def _is_short(colormap: np.ndarray) -> bool:
  """Whether a palette has 8 of its 16 bits, as some programs write it, so that by the standard it would be black."""
  return 0 < int(np.max(colormap)) < 256


def _is_erased(page: Any) -> bool:
  """Whether colours multiplied by alpha have an alpha that hides all of them, so that Pillow would lose the colours."""
  if page.extrasamples != (1,):
    return False
  try:
    return int(_hwc(page)[..., -1].max()) <= 1
  except Exception:
    return False


def _read(file: Any, pages: list[Any], max_pixels: int) -> samples_lib.Samples | None:
  """The samples; None to leave the file to Pillow."""
  page, notes = pages[0], []
  photometric, num = int(page.photometric), page.samplesperpixel * len(pages)
  if photometric in _RAW:
    raise rgb.DecodeError('holds raw data of a camera; save it as RGB with the program of the camera')
  if page.imagedepth > 1:
    raise rgb.DecodeError('is a volume; save one of its slices as an RGB image')
  if page.samplesperpixel > 4 or num > 4 or (photometric not in range(_MASK) and _bits(page) > 8):
    if photometric == _CMYK:
      return None  # Pillow knows it
    raise rgb.DecodeError(f'has {num} channels of {_name(page)}; save it as RGB')
  if max(page.tilewidth * page.tilelength, 1) * page.samplesperpixel > 16 * max_pixels:
    return None
  alpha = num - 1 if num in (2, 4) and len(pages) == 1 else None
  if alpha is not None and int((page.extrasamples or (0,))[-1]) not in (1, 2):
    alpha = None  # a channel of unknown meaning
  colours = 3 if num >= 3 else 1
  if page.samplesperpixel == 2 and len(pages) > 1:
    raise rgb.DecodeError(f'has {num} channels of unknown meaning; save it as RGB')
  if len(pages) == 1 and int(page.planarconfig) == 2 and page.samplesperpixel > 1 and _bits(page) > 8:
    notes.append(PLANES)
  if colours == 3 and photometric == _BLACK_IS_ZERO:
    where = 'pages' if len(pages) > 1 else 'samples'
    notes.append(f'three {where} taken for red, green and blue')
  try:
    planes = [_hwc(each) for each in pages]
  except Exception as error:
    reason = str(error)
    if 'imagecodecs' not in reason and 'No module' not in reason:
      raise
    is_chunky = len(pages) == 1 and int(page.planarconfig) == 1
    # Pillow unpacks 12 bits of grey, no other odd number.
    is_packed = _bits(page) % 8 > 0 and (_bits(page), num) != (12, 1) and _bits(page) > 8
    if is_packed:
      raise rgb.DecodeError(
        f'has packed samples of {_bits(page)} bits; save it with 8 or 16 bits, or `{CODECS}`'
      ) from None
    if is_chunky and _format(page) == 1 and photometric in (_BLACK_IS_ZERO, _RGB, _PALETTE):
      return None  # Pillow has these compressions
    kind = getattr(page.compression, 'name', str(page.compression))
    raise rgb.DecodeError(
      f'is compressed with {kind}, which cannot be read in this layout ({_bits(page)} bits, {_name(page)}); save it '
      f'uncompressed, with Deflate (ZIP) compression, or as PNG, or `{CODECS}`'
    ) from None
  array_HWC = np.concatenate(planes, -1)
  if photometric == _PALETTE:
    colours_KC = np.moveaxis(np.asarray(page.colormap), 0, -1)
    array_HWC = (colours_KC.astype(np.uint8) if _is_short(colours_KC) else colours_KC)[array_HWC[..., 0]]
    notes.append('palette converted to RGB')
    photometric, colours, alpha = _RGB, 3, None
  if len(pages) > 1:
    array_HWC = array_HWC[..., tiff_about.order(file)]
  declared, num_bits = _declared(file)
  is_multiplied = alpha is not None and int(page.extrasamples[-1]) == 1
  return samples_lib.Samples(
    array_HWC, photometric == _WHITE_IS_ZERO, colours, alpha, is_multiplied, declared, num_bits, tuple(notes)
  )


def _hwc(page: Any) -> np.ndarray:
  array = page.asarray()
  if page.axes == 'SYX':
    array = np.moveaxis(array, 0, -1)
  return array.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def _declared(file: Any) -> tuple[int, int]:
  """The brightest value and the number of bits that the file names; 0 where it names none, or its samples' own."""
  page = file.pages.first
  room = 2 ** _bits(page) - 1
  values = [_value(page, tag, 0) for tag in (281, 341)]
  if file.is_imagej:
    values.append((file.imagej_metadata or {}).get('max', 0))
  brightest = [int(np.max(value)) for value in values if np.isfinite(np.max(value))]
  declared = max((value for value in brightest if 0 < value < room), default=0)
  num_bits = int(tiff_about.ome(file).get('SignificantBits', 0) or 0)
  return declared, num_bits if 8 <= num_bits < _bits(page) else 0


def _bits(page: Any) -> int:
  return int(np.max(page.bitspersample))


def _format(page: Any) -> int:
  return int(np.max(page.sampleformat))


def _size(page: Any) -> tuple[int, int, int]:
  return page.imagewidth, page.imagelength, page.samplesperpixel


def _name(page: Any) -> str:
  return ' '.join(str(getattr(each, 'name', each)) for each in (page.photometric, page.planarconfig))


def _value(page: Any, tag: int, missing: Any) -> Any:
  return page.tags[tag].value if tag in page.tags else missing
