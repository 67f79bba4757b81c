"""Where the cells of a photograph are, and the frame around each that a network sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bloodcell_jax.base import cell, types
from bloodcell_jax.data.images import cell_view
from bloodcell_jax.fields import detector, red_cells

AUTO, ONE, MANY = 'auto', 'one', 'many'
# Smaller photographs are taken for pictures of single cells.
_LEAST_SIDE = 200
# A picture of a single cell is about square, at most this many red cells wide, with the cell this near its middle.
_MOST_RED_CELLS, _MOST_ASPECT, _OFF_CENTRE = 6.5, 1.1, 0.15
# Side of the frame in red cells: the crop around the nucleus in the photographs of the study has 224 pixels, a red cell
# has 105 and a whole photograph 480 rows.
_FRAMES = {'nucleus': 224 / 105, 'full': 480 / 105}
# Side of the frame in sides of the cell's box, where the view finds the nucleus in it and cuts by its area.
_GENEROUS = 2.2
# Where no red cell was recognised: a white cell's box in red cells.
_WHITE_CELL = 1.9


def check(cells: str) -> None:
  """Raises UserError for an unknown kind of photograph."""
  if cells not in (AUTO, ONE, MANY):
    raise types.UserError(f'cells is {cells!r}; choose one of {AUTO}, {ONE}, {MANY}')


def finder(cells: str) -> Callable[[np.ndarray], Sequence[cell.Box | None]]:
  """What gives the boxes of a photograph's cells; None alone is the whole photograph as one cell.

  Args:
    cells: `one`, every photograph shows one cell; `many`, search each; `auto`, search those that are not pictures of a
      single cell in their middle.
  """

  def boxes_of(photograph_HWC: np.ndarray) -> Sequence[cell.Box | None]:
    if cells == ONE or (cells == AUTO and min(photograph_HWC.shape[:2]) < _LEAST_SIDE):
      return (None,)
    field = detector.find(photograph_HWC)
    if cells == AUTO and _is_single(field, photograph_HWC.shape):
      return (None,)
    return tuple(one.box for one in field.cells)

  return boxes_of


def framer(view: str) -> Callable[[np.ndarray, Sequence[cell.Box]], list[cell.Box]]:
  """What gives the square around each cell that a network of this `data.view` was trained on, within the photograph."""

  def frames_of(photograph_HWC: np.ndarray, boxes: Sequence[cell.Box]) -> list[cell.Box]:
    if view == cell_view.NAME:
      return [_around(box, photograph_HWC.shape) for box in boxes]
    diameter = red_cells.diameter(photograph_HWC)
    return [frame(box, diameter, photograph_HWC.shape) for box in boxes]

  def frame(box: cell.Box, diameter: float | None, shape: Sequence[int]) -> cell.Box:
    height, width = shape[:2]
    if diameter is None:
      diameter = max(box.right - box.left, box.bottom - box.top) / _WHITE_CELL
    side = max(1, min(round(_FRAMES[view] * diameter), height, width))
    middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    left, top = (
      int(np.clip(round(at - side / 2), 0, size - side))
      for at, size in zip(middle, (width, height), strict=True)
    )
    return cell.Box(left, top, left + side, top + side)

  return frames_of


def _around(box: cell.Box, shape: Sequence[int]) -> cell.Box:
  """A square around the box, less what would be beyond the photograph: the cell stays in the middle elsewhere."""
  half = _GENEROUS * max(box.right - box.left, box.bottom - box.top) / 2
  x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
  return cell.Box(
    max(0, round(x - half)),
    max(0, round(y - half)),
    min(shape[1], round(x + half)),
    min(shape[0], round(y + half)),
  )


def fingerprint(cells: str) -> str:
  """Text that changes with anything that decides the boxes and frames; empty where nothing is searched."""
  return '' if cells == ONE else f'{cells} {_FRAMES} {detector.fingerprint()}'


def _is_single(field: detector.Field, shape: Sequence[int]) -> bool:
  height, width = shape[:2]
  if field.diameter is None or not field.cells or max(height, width) > _MOST_ASPECT * min(height, width):
    return False
  off = min(max(abs(one.row / height - 0.5), abs(one.column / width - 0.5)) for one in field.cells)
  return max(height, width) <= _MOST_RED_CELLS * field.diameter and off <= _OFF_CENTRE
