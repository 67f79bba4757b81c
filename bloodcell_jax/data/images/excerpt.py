"""A picture cut out of a photograph, from which its reader sees the cell as in the photograph.

Which cell is meant, what each view shows of it and how bright the whole photograph is stand in the PNG itself, so that
they go wherever the picture goes. Without them a neighbour of the cell could be taken for it, and the picture would be
stretched by its own maximum.
"""

from __future__ import annotations

import dataclasses
import io
import re
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image, PngImagePlugin

from bloodcell_jax.base import cell

_KEY = 'bloodcell_jax excerpt'
# The sum is that of the pixels: a picture that was edited since is read as any other.
_SIZE, _SUM, _BRIGHTEST, _CELL = 'size', 'crc', 'brightest', 'cell'
_ITEM = re.compile(r'([a-z_]+)((?: \d{1,10})+)', re.ASCII)


@dataclasses.dataclass(frozen=True)
class Excerpt:
  """What a picture says of the photograph that it was cut out of."""

  box: cell.Box  # of the cell, in pixels of the picture
  frames: Mapping[str, cell.Box]  # by view, what it shows of the photograph, in pixels of the picture
  brightest: int  # the largest value of the whole photograph, 0 to 255


def png_file(photograph_HWC: np.ndarray, box: cell.Box, frames: Mapping[str, cell.Box]) -> bytes:
  """A PNG of as much of the photograph as any view shows of the cell; `of` reads what it says.

  Args:
    photograph_HWC: the upright photograph, uint8 RGB.
    box: of the cell.
    frames: by view, what it shows of the photograph.

  Raises:
    ValueError: a view shows nothing of the cell.
  """
  whole = cell.Box(
    min(frame.left for frame in frames.values()),
    min(frame.top for frame in frames.values()),
    max(frame.right for frame in frames.values()),
    max(frame.bottom for frame in frames.values()),
  )
  inner_HWC = photograph_HWC[whole.top : whole.bottom, whole.left : whole.right]
  items = {
    _SIZE: inner_HWC.shape[1::-1],
    _SUM: (_sum(inner_HWC),),
    _BRIGHTEST: (int(photograph_HWC.max()),),
    _CELL: box.seen_in(whole).as_tuple(),
    **{f'view_{view}': frame.seen_in(whole).as_tuple() for view, frame in frames.items()},
  }
  about, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
  about.add_text(_KEY, ', '.join(' '.join([name, *map(str, values)]) for name, values in items.items()))
  Image.fromarray(inner_HWC).save(buffer, 'PNG', pnginfo=about)
  return buffer.getvalue()


def of(picture: Image.Image) -> Excerpt | None:
  """What the picture says, as `png_file` wrote it; None where it says nothing, or shows something else now."""
  items: dict[str, list[int]] = {}
  for text in str(picture.info.get(_KEY, '')).split(', '):
    if (item := _ITEM.fullmatch(text)) is None:
      return None
    items[item[1]] = [int(number) for number in item[2].split()]
  try:
    if tuple(items.pop(_SIZE)) != picture.size:
      return None
    (expected,), (brightest,) = items.pop(_SUM), items.pop(_BRIGHTEST)
    box = cell.Box(*items.pop(_CELL))
    frames = {name.removeprefix('view_'): cell.Box(*sides) for name, sides in items.items()}
    for frame in frames.values():
      box.seen_in(frame)
  except (KeyError, TypeError, ValueError):
    return None
  width, height = picture.size
  is_inside = all(one.right <= width and one.bottom <= height for one in (box, *frames.values()))
  is_as_written = is_inside and brightest <= 255 and _sum(np.asarray(picture)) == expected
  return Excerpt(box, frames, brightest) if is_as_written else None


def _sum(image_HWC: np.ndarray) -> int:
  return zlib.crc32(np.ascontiguousarray(image_HWC))
