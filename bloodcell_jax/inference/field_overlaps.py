"""Cells that overlapping photographs of one field show again, so that each is counted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bloodcell_jax.base import cell
from bloodcell_jax.data.images import decode
from bloodcell_jax.fields import repeats
from bloodcell_jax.inference import differential_count, photographs


def counted_once(
  classified: differential_count.ClassifiedCells,
  paths: Sequence[str],
  spec: decode.Spec,
  poll: Callable[[], None],
) -> differential_count.ClassifiedCells:
  """The same cells with their `repeat_of`; arguments as of `repeated`."""

  def is_doubtful(row: int) -> bool:
    return differential_count.is_left_out(classified.cells[row])

  repeats_N = repeated(classified.cells, paths, spec, is_doubtful, poll)
  return dataclasses.replace(classified, repeat_of=repeats_N)


def repeated(
  cells: Sequence[cell.Cell],
  paths: Sequence[str],
  spec: decode.Spec,
  is_doubtful: Callable[[int], bool],
  poll: Callable[[], None],
) -> tuple[int | None, ...]:
  """For each cell the row of the one that it repeats, None where it is the first of its kind or stands alone.

  Of several views of one cell, the first that is not doubtful stays; the others repeat it. Only cells with a box are
  compared, in photographs that were moved, not turned by much. Cells of equal key repeat the same one.

  Args:
    cells: N.
    paths: N, of the photograph of each.
    spec: its limit of pixels counts.
    is_doubtful: whether a row shows its cell badly, as where the edge cuts it.
    poll: called for each photograph; its exceptions propagate.
  """
  nothing = (None,) * len(cells)
  places = photographs.searched(cells, paths)
  boxes = [[_box(cells[row]) for row in one.rows] for one in places]

  def thumbnails(i: int, photograph_HWC: np.ndarray) -> list[np.ndarray]:
    return [repeats.thumbnail(photograph_HWC, box) for box in boxes[i]]

  found: list[np.ndarray] = []
  owner: list[int] = []
  sides: list[int] = []
  if len(places) < 2:
    return nothing
  for i, thumbs in enumerate(photographs.visit(places, spec, thumbnails)):
    poll()
    found += thumbs or []
    owner += [i] * len(thumbs or [])
    sides += [max(b.right - b.left, b.bottom - b.top) for b in boxes[i]] if thumbs else []
  if not found:
    return nothing
  pairs = repeats.candidates(repeats.Thumbnails(np.stack(found), np.array(sides), np.array(owner)))

  def read(i: int) -> np.ndarray | None:
    poll()
    return photographs.read(places[i], spec)

  # By key: of photographs with the same bytes only the first is compared.
  repeat_of: dict[str, int] = {}
  for group in repeats.same_cells(boxes, repeats.registered(pairs, read)):
    rows = [places[i].rows[j] for i, j in group]
    kept = min(rows, key=lambda row: (is_doubtful(row), row))
    repeat_of |= {cells[row].key: kept for row in rows if row != kept}
  return tuple(repeat_of.get(one.key) for one in cells)


def _box(one: cell.Cell) -> cell.Box:
  if one.box is None:
    raise ValueError(f'{one.file}: a cell without a box')
  return one.box
