"""How a picture becomes the network's input: what of it is shown, how bright and at what size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

from bloodcell_jax.base import cell, types
from bloodcell_jax.data.images import brightness, cell_view, excerpt, image_buffer, locate, photograph

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


def of_picture(upright: Image.Image, spec: Spec) -> tuple[np.ndarray, tuple[str, ...]]:
  """The upright photograph as uint8 [S, S, 3], and what is to be noted of that."""
  about = excerpt.of(upright)
  return _alone(_stretched(upright, spec, about), spec, about)


def of_cells(
  upright: Image.Image, spec: Spec, boxes: Sequence[cell.Box | None], frames: Sequence[cell.Box] | None
) -> list[tuple[np.ndarray, tuple[str, ...]]]:
  """As `of_picture`, for each cell of a photograph.

  Args:
    upright: the photograph.
    spec: of the input.
    boxes: of the cells; None is the whole photograph.
    frames: what the network sees for each box, none of which is None then; None: the box, cut as `spec.view` says.
  """
  about = excerpt.of(upright)
  stretched = _stretched(upright, spec, about)
  if frames is None:
    return [
      _alone(stretched, spec, about) if box is None else _sized(_cut(stretched, box), spec, None)
      for box in boxes
    ]
  return [
    _framed(_cut(stretched, frame), spec, box.seen_in(frame))
    for box, frame in zip(boxes, frames, strict=True)
    if box is not None
  ]


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


def _cut(whole: Image.Image, box: cell.Box) -> Image.Image:
  width, height = whole.size
  if box.right > width or box.bottom > height:
    raise ValueError(f'{box} reaches beyond the photograph of {width}x{height} pixels')
  return whole.crop(box.as_tuple())


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
