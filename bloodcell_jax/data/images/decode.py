"""Decodes image files to uint8 arrays of one size, each file once."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np
from PIL import Image

from bloodcell_jax.base import cell, types
from bloodcell_jax.data.images import (
  brightness,
  cell_view,
  excerpt,
  image_buffer,
  image_files,
  locate,
  near_copies,
  on_demand,
  photograph,
  rgb,
)

INTERPOLATIONS = {
  'nearest': Image.Resampling.NEAREST,
  'bilinear': Image.Resampling.BILINEAR,
  'bicubic': Image.Resampling.BICUBIC,
  'lanczos': Image.Resampling.LANCZOS,
  'box': Image.Resampling.BOX,
}
VIEWS = ('full', 'nucleus', *cell_view.SIDES)
CACHES = ('auto', image_buffer.MEMORY, image_buffer.DISK, image_buffer.NONE)
LEAST_SIDE = photograph.LEAST_SIDE
MOST_SIDE = 10**8

_CHUNK = 32  # images a task decodes
_AHEAD = 128  # images that `each` decodes ahead
_AHEAD_CUT = 8  # photographs, each of many cells, that it decodes ahead


@dataclasses.dataclass(frozen=True)
class Spec:
  """How a file becomes an image of the size of the network's input."""

  image_size: int  # pixels a side of the square result, 8 to MOST_SIDE
  view: str  # one of VIEWS
  interpolation: str  # a key of INTERPOLATIONS
  stretch_brightness: bool  # scale by 255 / max
  max_pixels: int  # > 0
  cache: str  # one of CACHES

  def __post_init__(self):
    for name, choices in (('view', VIEWS), ('interpolation', INTERPOLATIONS), ('cache', CACHES)):
      if getattr(self, name) not in choices:
        raise types.UserError(f'data.{name} is {getattr(self, name)!r}; choose one of {", ".join(choices)}')
    if not LEAST_SIDE <= self.image_size <= MOST_SIDE:
      raise types.UserError(
        f'data.image_size is {self.image_size}; it must lie in {LEAST_SIDE} to {MOST_SIDE}, in pixels'
      )
    if self.max_pixels <= 0:
      raise types.UserError(f'data.max_pixels is {self.max_pixels}; it must be above 0')


DecodeError = rgb.DecodeError
quiet = photograph.quiet


@dataclasses.dataclass(frozen=True)
class Decoded:
  """The images of the rows of a table; a row that could not be decoded is black and not kept."""

  image_NHWC: on_demand.Images  # uint8, in memory, memory-mapped or decoded when read
  kept: np.ndarray  # [N] bool
  problems: list[types.Problem]  # one for each row that is not kept
  notes: list[types.Problem]  # conversions
  size_N2: np.ndarray  # int32: width and height of the upright photographs; 0 where not kept
  # uint8, of `near_copies.thumbnail`, black where not kept; None where decoded images are not kept either.
  thumbnail_NHW: np.ndarray | None


def image(content: types.Content, spec: Spec) -> tuple[np.ndarray, tuple[str, ...]]:
  """The image as uint8 [S, S, 3], and a note for each conversion.

  **Guarantees**: for an RGB file, the view 'full' and no stretch, the pixels of Keras' `load_img` of this size and
  interpolation. Warnings of Pillow are suppressed.

  Raises:
    DecodeError: the image cannot be used; the message is the reason.
  """
  with quiet():
    return _image(content, spec)


def upright(content: types.Content, max_pixels: int) -> np.ndarray:
  """The upright image at its own size, before stretch, crop and resize: uint8 [H, W, 3]; raises as `image`."""
  return np.asarray(photograph.upright(content, max_pixels)[0])


def table(
  rows: types.Table, spec: Spec, directory: str | os.PathLike[str], on_progress: Callable[[int, int], None]
) -> Decoded:
  """Decodes all images of the table on all cores.

  With `data.cache=none` that shows which of them can be used, and they are decoded again whenever they are read.

  Args:
    rows: the table.
    spec: size, crop and limits.
    directory: of the array if it is kept on disk; its space is freed however the process ends.
    on_progress: called with (images done, images in all).

  Raises:
    UserError: the disk has no space for the array.
  """
  is_kept = spec.cache != image_buffer.NONE
  shape = (len(rows) if is_kept else 0, spec.image_size, spec.image_size, 3)
  image_NHWC = image_buffer.make(shape, spec.cache, pathlib.Path(directory))
  kept = np.zeros(len(rows), bool)
  size_N2 = np.zeros((len(rows), 2), np.int32)
  thumbnail_NHW = np.zeros((shape[0], near_copies.SIDE, near_copies.SIDE), np.uint8)
  problems: list[types.Problem] = []
  notes: list[types.Problem] = []

  def decode_block(start: int) -> list[tuple[int, tuple[str, ...] | DecodeError]]:
    results: list[tuple[int, tuple[str, ...] | DecodeError]] = []
    for i in range(start, min(start + _CHUNK, len(rows))):
      try:
        opened, conversions = photograph.upright(rows.content[i], spec.max_pixels)
        image_HWC, more = _of_upright(opened, spec)
      except DecodeError as error:
        results.append((i, error))
      else:
        if is_kept:
          image_NHWC[i], thumbnail_NHW[i] = image_HWC, near_copies.thumbnail(opened)
        kept[i], size_N2[i] = True, opened.size
        results.append((i, conversions + more))
    return results

  done = 0
  with quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for results in pool.map(decode_block, range(0, len(rows), _CHUNK)):
      for i, result in results:
        if isinstance(result, DecodeError):
          problems.append(types.Problem(str(rows.file[i]), str(result)))
        else:
          notes += [types.Problem(str(rows.file[i]), note) for note in result]
      done += len(results)
      on_progress(done, len(rows))
  if is_kept:
    return Decoded(image_NHWC, kept, problems, notes, size_N2, thumbnail_NHW)

  def decode_again(content: types.Content, digest: str) -> np.ndarray:
    data = photograph.read(content, spec.max_pixels)
    if image_files.sha256_16(data) != digest:
      raise DecodeError('has been replaced by another file')
    return _image(data, spec)[0]

  return Decoded(
    on_demand.OnDemand(rows, spec.image_size, decode_again), kept, problems, notes, size_N2, None
  )


def each(
  paths: Iterable[str],
  spec: Spec,
  is_wanted: Callable[[str, bytes], bool],
  boxes_of: Callable[[int, str, np.ndarray], Sequence[cell.Box | None]],
  frames_of: Callable[[np.ndarray, Sequence[cell.Box]], Sequence[cell.Box]] | None = None,
  on_read: Callable[[str, tuple[int, int], tuple[str, ...]], None] | None = None,
) -> Iterator[tuple[str, list[tuple[cell.Box | None, np.ndarray]] | DecodeError | None]]:
  """The cells of each file, in order, decoded and cut out on every core a bounded number of files ahead.

  Memory does not grow with the number of files.

  Args:
    paths: of the files.
    spec: how each cell becomes the network's input.
    is_wanted: whether a file with this digest and these bytes is to be decoded.
    boxes_of: where the cells of a photograph are; None is the whole photograph. It gets the file's index, its digest
      and the upright photograph, uint8 [H, W, 3] at its own size, and is called in several threads.
    frames_of: what the network sees of the photograph for each box; None is the box, cut as `spec.view` says.
    on_read: called with the digest, the (width, height) and the conversions of each photograph that is decoded, in
      several threads; None for nobody.

  Yields:
    (`image_files.sha256_16` of the bytes, [(box, uint8 [S, S, 3]), ...]) of each file. The list is None where the
    digest is not wanted, and an error where the file cannot be used; an unreadable file's digest is empty.
  """

  def decode_one(
    i: int, path: str
  ) -> tuple[str, list[tuple[cell.Box | None, np.ndarray]] | DecodeError | None]:
    try:
      data = photograph.read(path, spec.max_pixels)
    except DecodeError as error:
      return '', error
    digest = image_files.sha256_16(data)
    try:
      if not is_wanted(digest, data):
        return digest, None
      upright, notes = photograph.upright(data, spec.max_pixels)
      original_HWC = np.asarray(upright)
      boxes = boxes_of(i, digest, original_HWC)
      inner = [box for box in boxes if box is not None]
      is_framed = frames_of is not None and bool(inner)
      frames = frames_of(original_HWC, inner) if frames_of is not None and inner else boxes
      about = excerpt.of(upright)
      stretched = _stretched(upright, spec, about)
      sized = [
        _framed(_cut(stretched, frame), spec, box.seen_in(frame))
        if is_framed and box is not None and frame is not None
        else _alone(_cut(stretched, frame), spec, about if frame is None else None)
        for box, frame in zip(boxes, frames, strict=True)
      ]
      if on_read is not None:
        on_read(
          digest, stretched.size, notes + tuple(dict.fromkeys(note for _, more in sized for note in more))
        )
      return digest, [(box, image_HWC) for box, (image_HWC, _) in zip(boxes, sized, strict=True)]
    except DecodeError as error:
      return digest, error

  waiting: collections.deque[futures.Future] = collections.deque()
  with quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    try:
      for i, path in enumerate(paths):
        waiting.append(pool.submit(decode_one, i, path))
        if len(waiting) >= (_AHEAD if frames_of is None else _AHEAD_CUT):
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      # If the caller stops early, pending files need not be decoded.
      pool.shutdown(cancel_futures=True)


def _image(content: types.Content, spec: Spec) -> tuple[np.ndarray, tuple[str, ...]]:
  """As `image`, with the warnings of Pillow."""
  upright, notes = photograph.upright(content, spec.max_pixels)
  array, more = _of_upright(upright, spec)
  return array, notes + more


def _of_upright(upright: Image.Image, spec: Spec) -> tuple[np.ndarray, tuple[str, ...]]:
  """The upright photograph as uint8 [S, S, 3], and what is to be noted of that."""
  about = excerpt.of(upright)
  return _alone(_stretched(upright, spec, about), spec, about)


def _stretched(upright: Image.Image, spec: Spec, about: excerpt.Excerpt | None) -> Image.Image:
  if not spec.stretch_brightness:
    return upright
  return brightness.stretch(upright, about.brightest if about else brightness.maximum(upright))


def _alone(
  picture: Image.Image, spec: Spec, about: excerpt.Excerpt | None
) -> tuple[np.ndarray, tuple[str, ...]]:
  """As `_sized`, of a picture that is no frame; one that was cut out of a photograph shows the cell that was meant."""
  if about is None or spec.view not in about.frames:
    return _sized(picture, spec, None)
  frame = about.frames[spec.view]
  return _framed(_cut(picture, frame), spec, about.box.seen_in(frame))


def _framed(frame: Image.Image, spec: Spec, within: cell.Box) -> tuple[np.ndarray, tuple[str, ...]]:
  """As `_sized`, of a frame, which shows the cell as the network was trained on it, but for its own scale."""
  whole = spec if spec.view in cell_view.SIDES else dataclasses.replace(spec, view='full')
  return _sized(frame, whole, within)


def _cut(photograph: Image.Image, box: cell.Box | None) -> Image.Image:
  if box is None:
    return photograph
  width, height = photograph.size
  if box.right > width or box.bottom > height:
    raise ValueError(f'{box} reaches beyond the photograph of {width}x{height} pixels')
  return photograph.crop(box.as_tuple())


def _sized(upright: Image.Image, spec: Spec, within: cell.Box | None) -> tuple[np.ndarray, tuple[str, ...]]:
  """The image as uint8 [S, S, 3], cropped as the spec says, and what is to be noted; `within`: the box of its cell."""
  notes: tuple[str, ...] = ()
  if spec.view in cell_view.SIDES:
    how = INTERPOLATIONS[spec.interpolation]
    return cell_view.cut(np.asarray(upright), spec.view, spec.image_size, how, within)
  if spec.view == 'nucleus':
    array = np.asarray(upright)
    centre = locate.nucleus(array)
    if centre is None:
      notes = ('no nucleus found, the full image is used',)
    else:
      upright = Image.fromarray(np.ascontiguousarray(locate.crop(array, centre, locate.CROP_SHARE)))
  return np.asarray(
    upright.resize((spec.image_size, spec.image_size), INTERPOLATIONS[spec.interpolation])
  ), notes
