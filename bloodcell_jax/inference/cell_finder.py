"""Where the cells of a photograph are, and the frame around each that a network sees.

Photographs of one cell each and fields of many are told apart by their size, where the training images were of one
size and the network sees what that size shows; by what they show; and, where they are about square, by what most others
of about their size show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bloodcell_jax.base import cell, evenly_spaced, types
from bloodcell_jax.data.images import cell_view, decode
from bloodcell_jax.fields import detector, red_cells

AUTO, ONE, MANY = 'auto', 'one', 'many'
# Smaller photographs are taken for pictures of single cells.
_LEAST_SIDE = 200
# A picture of a single cell is about square, at most this many red cells wide, with the cell this near its middle.
_MOST_RED_CELLS, _MOST_ASPECT, _OFF_CENTRE = 6.5, 1.1, 0.15
# Photographs that are looked at before the first is predicted, and the factor between sizes that count as alike.
_SAMPLED, _ALIKE = 32, 1.25
# Photographs are of the size of the training images up to this factor.
_SAME = 1.05
# Side of the frame in red cells: the crop around the nucleus in the photographs of the study has 224 pixels, a red cell
# has 105 and a whole photograph 480 rows.
_FRAMES = {'nucleus': 224 / 105, 'full': 480 / 105}
# Side of the frame in sides of the cell's box, where the view finds the nucleus in it and cuts by its area.
_GENEROUS = 2.2
# Changes with how a frame becomes the network's input.
_FRAMING = 2
# Where no red cell was recognised: a white cell's box in red cells.
_WHITE_CELL = 1.9


@dataclasses.dataclass(frozen=True)
class Singles:
  """What is known of photographs of single cells before each is searched."""

  smallest: (
    int  # longer side in pixels of the training images; 0 where it says nothing of how many cells there are
  )
  largest: int
  sides: tuple[int, ...]  # longer sides of some of the photographs that are about square
  are_single: tuple[bool, ...]  # whether each of those shows a single cell in its middle

  def is_whole(self, shape: Sequence[int]) -> bool:
    """Whether a photograph of this size needs no search: it is as large as those of training, or too small."""
    longer = max(shape[:2])
    return min(shape[:2]) < _LEAST_SIDE or self.smallest / _SAME <= longer <= self.largest * _SAME

  def is_single(self, field: detector.Field, shape: Sequence[int]) -> bool:
    """Whether a photograph that was searched shows a single cell, by itself or as most of about its size do."""
    if not _is_square(shape):
      return False
    near = [
      single
      for side, single in zip(self.sides, self.are_single, strict=True)
      if 1 / _ALIKE <= side / max(shape[:2]) <= _ALIKE
    ]
    return sum(near) >= len(near) / 2 if near else _is_in_the_middle(field, shape)


# Nothing is known: each photograph is judged by itself.
UNKNOWN = Singles(0, 0, (), ())


def check(cells: str) -> None:
  """Raises UserError for an unknown kind of photograph."""
  if cells and cells not in (AUTO, ONE, MANY):
    raise types.UserError(f'cells is {cells!r}; choose one of {AUTO}, {ONE}, {MANY}')


def default(view: str) -> str:
  """The kind of photographs where the user names none: a network of whole pictures is shown whole pictures."""
  return ONE if view == 'full' else AUTO


def from_training(view: str, trained: Mapping[str, Sequence[int]]) -> Singles:
  """What the training images tell: photographs of their size show what they do, if all are of about one size.

  Images of several sizes, as of several laboratories, can be fields as well as single cells. A network that sees each
  cell by its nucleus' own scale is shown the same of either.

  Args:
    view: the `data.view` that is in use.
    trained: `sizes.summary` of the training images; empty where the run does not record it.
  """
  if view in cell_view.SIDES or not trained:
    return UNKNOWN
  smallest, largest = (max(trained[name]) for name in ('smallest', 'largest'))
  return (
    dataclasses.replace(UNKNOWN, smallest=smallest, largest=largest)
    if largest <= _ALIKE * smallest
    else UNKNOWN
  )


def survey(paths: Sequence[str], max_pixels: int, known: Singles, cells: str) -> Singles:
  """Looks at some of the photographs, spread evenly over all; those that cannot be read are passed over.

  Args:
    paths: of the photographs.
    max_pixels: those with more are not read.
    known: of the training images.
    cells: as `finder` takes it; nothing is read unless it is `auto`.
  """
  if cells != AUTO:
    return UNKNOWN
  sides, are_single = [], []
  for i in evenly_spaced.rows(len(paths), _SAMPLED):
    try:
      with decode.quiet():
        photograph_HWC = decode.upright(paths[i], max_pixels)
    except decode.DecodeError:
      continue
    if _is_square(photograph_HWC.shape) and not known.is_whole(photograph_HWC.shape):
      sides.append(max(photograph_HWC.shape[:2]))
      are_single.append(_is_in_the_middle(detector.find(photograph_HWC), photograph_HWC.shape))
  return dataclasses.replace(known, sides=tuple(sides), are_single=tuple(are_single))


def finder(cells: str, singles: Singles = UNKNOWN) -> Callable[[np.ndarray], Sequence[cell.Region | None]]:
  """What gives the cells of a photograph; None alone is the whole photograph as one cell.

  Args:
    cells: `one`, every photograph shows one cell; `many`, search each; `auto`, search those that are not pictures of a
      single cell.
    singles: what `auto` knows of the latter.
  """

  def regions_of(photograph_HWC: np.ndarray) -> Sequence[cell.Region | None]:
    if cells == ONE or (cells == AUTO and singles.is_whole(photograph_HWC.shape)):
      return (None,)
    field = detector.find(photograph_HWC)
    if cells == AUTO and singles.is_single(field, photograph_HWC.shape):
      return (None,)
    return tuple(cell.Region(one.box, one.marks) for one in field.cells)

  return regions_of


def framer(view: str) -> Callable[[np.ndarray, Sequence[cell.Box]], list[cell.Box]]:
  """What gives the square around each cell that a network of this `data.view` was trained on, within the photograph."""

  def frames_of(photograph_HWC: np.ndarray, boxes: Sequence[cell.Box]) -> list[cell.Box]:
    return [frames[view] for frames in frames_by_view(photograph_HWC, boxes, (view,))]

  return frames_of


def frames_by_view(
  photograph_HWC: np.ndarray, boxes: Sequence[cell.Box], views: Sequence[str]
) -> list[dict[str, cell.Box]]:
  """The squares of `framer` for each box, by view.

  Args:
    photograph_HWC: uint8 RGB.
    boxes: of the cells.
    views: values of `data.view`.
  """
  is_measured = any(view not in cell_view.SIDES for view in views)
  diameter = red_cells.diameter(photograph_HWC) if is_measured else None
  shape = photograph_HWC.shape
  return [
    {
      view: _around(box, shape) if view in cell_view.SIDES else _frame(view, box, diameter, shape)
      for view in views
    }
    for box in boxes
  ]


def _frame(view: str, box: cell.Box, diameter: float | None, shape: Sequence[int]) -> cell.Box:
  """A square of a fixed number of red cells with the box in its middle, moved where it would reach beyond the edge."""
  height, width = shape[:2]
  if diameter is None:
    diameter = box.longer_side / _WHITE_CELL
  side = max(1, min(round(_FRAMES[view] * diameter), height, width))
  y, x = box.middle
  left, top = (int(np.clip(round(at - side / 2), 0, size - side)) for at, size in ((x, width), (y, height)))
  return cell.Box(left, top, left + side, top + side)


def _around(box: cell.Box, shape: Sequence[int]) -> cell.Box:
  """A square around the box, less what would be beyond the photograph: the cell stays in the middle elsewhere."""
  half = _GENEROUS * box.longer_side / 2
  y, x = box.middle
  return cell.Box(
    max(0, round(x - half)),
    max(0, round(y - half)),
    min(shape[1], round(x + half)),
    min(shape[0], round(y + half)),
  )


def fingerprint(cells: str) -> str:
  """Text that changes with anything that decides the boxes and frames; empty where nothing is searched."""
  return '' if cells == ONE else f'{cells} {_FRAMES} {_FRAMING} {detector.fingerprint()}'


def _is_square(shape: Sequence[int]) -> bool:
  return max(shape[:2]) <= _MOST_ASPECT * min(shape[:2])


def _is_in_the_middle(field: detector.Field, shape: Sequence[int]) -> bool:
  """Whether an about square photograph shows few red cells and a white one in its middle."""
  height, width = shape[:2]
  if not field.cells:
    return False
  if field.diameter is None:
    return len(field.cells) == 1
  off = min(max(abs(one.row / height - 0.5), abs(one.column / width - 0.5)) for one in field.cells)
  return max(height, width) <= _MOST_RED_CELLS * field.diameter and off <= _OFF_CENTRE
