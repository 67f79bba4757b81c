"""Decodes image files to uint8 arrays of one size, each file once."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np

from bloodcell_jax.base import cell, types
from bloodcell_jax.data.images import (
  image_buffer,
  image_files,
  near_copies,
  network_input,
  on_demand,
  photograph,
  rgb,
)

_CHUNK = 32  # images a task decodes
_AHEAD = 128  # images that `each` decodes ahead
_AHEAD_CUT = 8  # photographs, each of many cells, that it decodes ahead


Spec = network_input.Spec
INTERPOLATIONS, VIEWS, CACHES = network_input.INTERPOLATIONS, network_input.VIEWS, network_input.CACHES
LEAST_SIDE, MOST_SIDE = network_input.LEAST_SIDE, network_input.MOST_SIDE
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
        image_HWC, more = network_input.of_picture(opened, spec)
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
      frames = frames_of(original_HWC, inner) if frames_of is not None and inner else None
      sized = network_input.of_cells(upright, spec, boxes, frames)
      if on_read is not None:
        on_read(
          digest, upright.size, notes + tuple(dict.fromkeys(note for _, more in sized for note in more))
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
  array, more = network_input.of_picture(upright, spec)
  return array, notes + more
