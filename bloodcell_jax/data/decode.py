"""Image files to uint8 arrays of one size, each decoded once.

What becomes of an image:

  zero bytes, no image, cut short or damaged      refused, with the reason
  more than `max_pixels`, under 8 pixels a side   refused from its header, before it is decoded
  32 bits or floating point                       refused: nothing says what is white
  greyscale, palette, CMYK and the like           turned into RGB, noted
  16 bits a channel                               65535 becomes 255, whatever the brightest value is, noted
  alpha                                           laid on white, noted
  turned by its EXIF orientation                  turned upright, noted
  several frames                                  the first one, noted
  colour profile                                  not applied

A file is read by its content: its extension is not looked at here.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures

import numpy as np
from PIL import Image, ImageFile, ImageOps

from bloodcell_jax import types
from bloodcell_jax.data import files, locate

INTERPOLATIONS = {
  'nearest': Image.Resampling.NEAREST,
  'bilinear': Image.Resampling.BILINEAR,
  'bicubic': Image.Resampling.BICUBIC,
  'lanczos': Image.Resampling.LANCZOS,
  'box': Image.Resampling.BOX,
}
VIEWS = ('full', 'nucleus')
CACHES = ('auto', 'memory', 'disk')
# Below this a side nothing of a cell can be seen.
LEAST_SIDE = 8

# Pillow's names of what `files.EXTENSIONS` lists, and MPO, which a phone's JPEG with a preview is. The others
# stay shut: some start other programs.
# Registers every format, so that those named here can be asked for.
Image.init()
_FORMATS = ('JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP', 'GIF', 'PPM')
_ORIENTATION = 0x0112  # EXIF 2.3, tag 274
_CHUNK = 32  # images a thread takes at a time
_AHEAD = 128  # images that `each` decodes before they are asked for


@dataclasses.dataclass(frozen=True)
class Spec:
  """How an image becomes the network's input."""

  image_size: int  # pixels a side of the square result, >= 8
  view: str  # one of VIEWS
  interpolation: str  # a key of INTERPOLATIONS
  stretch_brightness: bool  # scale by 255 / max
  max_pixels: int  # > 0
  cache: str  # one of CACHES

  def __post_init__(self):
    for name, choices in (('view', VIEWS), ('interpolation', INTERPOLATIONS), ('cache', CACHES)):
      if getattr(self, name) not in choices:
        raise types.UserError(f'data.{name} is {getattr(self, name)!r}; choose one of {", ".join(choices)}')
    if self.image_size < LEAST_SIDE:
      raise types.UserError(f'data.image_size is {self.image_size}; it must be {LEAST_SIDE} or more')
    if self.max_pixels <= 0:
      raise types.UserError(f'data.max_pixels is {self.max_pixels}; it must be above 0')


class DecodeError(ValueError):
  """An image that cannot be used; the text is the reason, without the file's name."""


@dataclasses.dataclass(frozen=True)
class Decoded:
  """The images of a table, row by row; a row that could not be decoded is black and not kept."""

  image_NHWC: np.ndarray  # uint8, in memory or memory-mapped
  kept: np.ndarray  # [N] bool
  problems: list[types.Problem]  # one for each row that is not kept
  notes: list[types.Problem]  # what had to be converted


def image(content: str | bytes, spec: Spec) -> tuple[np.ndarray, tuple[str, ...]]:
  """The image as uint8 [S, S, 3], and what had to be converted.

  **Guarantees**: for an RGB file, the view 'full' and no stretch, the pixels of Keras' `load_img` of this size and
  interpolation. No warning of Pillow's gets out.

  Raises:
    DecodeError: with the reason, where the image cannot be used.
  """
  with quiet():
    return _image(content, spec)


def upright(content: str | bytes, max_pixels: int) -> np.ndarray:
  """The image that `image` stretches, views and resizes: upright, at its own size, uint8 [H, W, 3]; errors as there."""
  return np.asarray(_upright(content, max_pixels)[0])


def table(
  rows: types.Table, spec: Spec, directory: str | os.PathLike[str], on_progress: Callable[[int, int], None]
) -> Decoded:
  """All images of the table, decoded on every core.

  Args:
    rows: the table.
    spec: how.
    directory: where the array lies when it is kept on disk; its room is given back however the process ends.
    on_progress: called with (images done, images in all).

  Raises:
    UserError: the array is to lie on a disk without room for it.
  """
  image_NHWC = _room((len(rows), spec.image_size, spec.image_size, 3), spec.cache, pathlib.Path(directory))
  kept = np.zeros(len(rows), bool)
  problems: list[types.Problem] = []
  notes: list[types.Problem] = []

  def some(start: int) -> list[tuple[int, tuple[str, ...] | DecodeError]]:
    results: list[tuple[int, tuple[str, ...] | DecodeError]] = []
    for i in range(start, min(start + _CHUNK, len(rows))):
      try:
        image_NHWC[i], found = _image(rows.content[i], spec)
      except DecodeError as error:
        results.append((i, error))
      else:
        kept[i] = True
        results.append((i, found))
    return results

  done = 0
  with quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for results in pool.map(some, range(0, len(rows), _CHUNK)):
      for i, result in results:
        if isinstance(result, DecodeError):
          problems.append(types.Problem(str(rows.file[i]), str(result)))
        else:
          notes += [types.Problem(str(rows.file[i]), note) for note in result]
      done += len(results)
      on_progress(done, len(rows))
  return Decoded(image_NHWC, kept, problems, notes)


def each(
  paths: Iterable[str], spec: Spec, is_wanted: Callable[[str], bool]
) -> Iterator[tuple[str, np.ndarray | DecodeError | None]]:
  """(`files.sha256_16` of the bytes, image) of each file, in order, decoded on every core a bounded number ahead.

  The image is None where its digest is not wanted, and an error where it cannot be used; an unreadable file's digest is
  empty. Memory does not grow with the number of files.
  """

  def one(path: str) -> tuple[str, np.ndarray | DecodeError | None]:
    try:
      data = _bytes(path)
    except DecodeError as error:
      return '', error
    digest = files.sha256_16(data)
    try:
      return digest, _image(data, spec)[0] if is_wanted(digest) else None
    except DecodeError as error:
      return digest, error

  waiting: collections.deque[futures.Future] = collections.deque()
  with quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    try:
      for path in paths:
        waiting.append(pool.submit(one, path))
        if len(waiting) >= _AHEAD:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      # Where the reader leaves early, what has not begun need not begin.
      pool.shutdown(cancel_futures=True)


def stretch(opened: Image.Image) -> Image.Image:
  """The image scaled so that its brightest value is 255; a black one stays black.

  The published copies were saved so, by the `array_to_img` of Keras 2, which took off the darkest value only
  where it was negative (that of Keras 3 always does). A photograph must be treated alike before it is
  compared with them; its darkest value, 56 to 117, stays.

  Example:
    >>> np.asarray(stretch(Image.new('RGB', (1, 1), (50, 100, 200)))).tolist()
    [[[63, 127, 255]]]
  """
  brightest = int(np.asarray(opened).max())  # three times as fast as getextrema()
  if brightest in (0, 255):
    return opened
  # Cut off and not rounded, as the cast to uint8 in `array_to_img` does; in integers, so that 255 stays 255.
  return opened.point([min(255, value * 255 // brightest) for value in range(256)] * 3)


def quiet() -> warnings.catch_warnings:
  """Without Pillow's warnings of odd metadata. In one thread only: the filters belong to the whole process."""
  return warnings.catch_warnings(action='ignore')


def _upright(content: str | bytes, max_pixels: int) -> tuple[Image.Image, tuple[str, ...]]:
  data = _bytes(content)
  if not data:
    raise DecodeError('is empty: zero bytes')
  try:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
      _check_size(opened.size, max_pixels)
      return _to_rgb(opened)
  except (DecodeError, MemoryError):
    raise
  except Image.UnidentifiedImageError:
    kinds = ', '.join(e[1:] for e in files.EXTENSIONS)
    raise DecodeError(f'is not an image of a known kind ({kinds})') from None
  except Image.DecompressionBombError:
    # Raised while the header is read, beyond twice Image.MAX_IMAGE_PIXELS, about 179 million.
    raise DecodeError(f'has more pixels than data.max_pixels={max_pixels} or Pillow allows') from None
  # Pillow's decoders raise many kinds of errors on damaged files, SyntaxError and struct.error among them.
  except Exception as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise DecodeError(f'is cut short or damaged ({reason})') from None


def _image(content: str | bytes, spec: Spec) -> tuple[np.ndarray, tuple[str, ...]]:
  rgb, notes = _upright(content, spec.max_pixels)
  if spec.stretch_brightness:
    rgb = stretch(rgb)
  if spec.view == 'nucleus':
    array = np.asarray(rgb)
    centre = locate.nucleus(array)
    if centre is None:
      notes += ('no nucleus found, the full image is used',)
    else:
      rgb = Image.fromarray(np.ascontiguousarray(locate.crop(array, centre, locate.CROP_SHARE)))
  return np.asarray(rgb.resize((spec.image_size, spec.image_size), INTERPOLATIONS[spec.interpolation])), notes


def _bytes(content: str | bytes) -> bytes:
  if isinstance(content, bytes):
    return content
  try:
    return files.read(content)
  except OSError as error:
    raise DecodeError(f'cannot be read ({error.strerror})') from None


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
  width, height = size
  if width * height > max_pixels:
    raise DecodeError(f'has {width}x{height} pixels, more than data.max_pixels={max_pixels}')
  if min(width, height) < LEAST_SIDE:
    raise DecodeError(f'has {width}x{height} pixels, fewer than {LEAST_SIDE} a side')


def _to_rgb(opened: ImageFile.ImageFile) -> tuple[Image.Image, tuple[str, ...]]:
  notes = []
  # Asked before load(), which forgets them and itself turns a TIFF upright.
  num_frames = getattr(opened, 'n_frames', 1)
  wide = opened.mode.startswith('I;16') or any(';16' in str(tile.args) for tile in opened.tile)
  if num_frames > 1:
    opened.seek(0)
    notes.append(f'the first of its {num_frames} frames is used')
  turned = opened.getexif().get(_ORIENTATION, 1) in range(2, 9)
  opened.load()
  rgb: Image.Image = opened
  if turned:
    rgb = ImageOps.exif_transpose(rgb)
    notes.append('turned upright by its EXIF orientation')
  if rgb.mode == 'I' and opened.format == 'PPM':
    wide = True  # Pillow spreads a PGM's values over 16 bits, whatever its header calls white
  if rgb.mode.startswith('I;16') or (rgb.mode == 'I' and wide):
    rgb = _to_eight_bits(rgb)
  elif rgb.mode in ('I', 'F'):
    raise DecodeError('has 32 bits a pixel, and nothing says what is white; save it with 8 or 16')
  if wide:
    notes.append('16 bits a channel scaled to 8')
  if rgb.has_transparency_data:
    notes.append('its alpha is laid on white')
    rgba = rgb.convert('RGBA')
    rgb = Image.alpha_composite(Image.new('RGBA', rgba.size, 'white'), rgba)
  if opened.mode not in ('RGB', 'RGBA', 'RGBX', 'RGBa'):
    kind = {'1': 'black and white', 'P': 'palette', 'PA': 'palette'}.get(opened.mode)
    grey = 'greyscale' if opened.mode[0] in 'LI' and opened.mode != 'LAB' else opened.mode
    notes.append(f'{kind or grey} turned into RGB')
  return rgb.convert('RGB'), tuple(notes)


def _to_eight_bits(wide: Image.Image) -> Image.Image:
  # convert() would clip at 255. 65535 = 257 x 255, and + 128 rounds.
  array = np.asarray(wide).astype(np.int64)
  return Image.fromarray(((array.clip(0, 65535) + 128) // 257).astype(np.uint8))


def _room(shape: tuple[int, ...], cache: str, directory: pathlib.Path) -> np.ndarray:
  num_bytes = int(np.prod(shape, dtype=np.int64))
  if num_bytes == 0 or cache == 'memory' or (cache == 'auto' and num_bytes <= _available_memory() // 2):
    return np.zeros(shape, np.uint8)
  directory.mkdir(parents=True, exist_ok=True)
  # Asked first: to write into a map on a full disk kills the process.
  free = shutil.disk_usage(directory).free
  if free < num_bytes:
    raise types.UserError(
      f'{directory}: {num_bytes / 1e9:.1f} GB are needed for the decoded images and {free / 1e9:.1f} GB are '
      'free; make room or lower data.image_size'
    )
  # Unlinked while open: the room is given back however the process ends.
  with tempfile.TemporaryFile(dir=directory) as file:
    file.truncate(num_bytes)
    return np.memmap(file, np.uint8, 'r+', shape=shape)


def _available_memory() -> int:
  """Bytes that can be had without swapping."""
  try:
    with open('/proc/meminfo') as file:
      fields = dict(line.split(':') for line in file)
    return 1024 * int(fields['MemAvailable'].split()[0])
  except (OSError, KeyError, ValueError):
    # Not Linux: half of what is built in stands for what is free.
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2
