"""Cells that overlapping photographs of one field show again, so that each is counted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bloodcell_jax.base import cell
from bloodcell_jax.fields import repeats
from bloodcell_jax.inference import differential_count, photographs


@dataclasses.dataclass(frozen=True)
class Compared:
  """What is known of photographs that were compared before, so that only new ones are read; `repeated` adds to it."""

  thumbnails: dict[str, np.ndarray]  # by key of the cell
  keypoints: dict[str, repeats.Described]  # by digest of the photograph
  # By the digests of two photographs: the map from one to the other, None where there is none.
  maps: dict[tuple[str, str], np.ndarray | None]


def counted_once(
  classified: differential_count.ClassifiedCells,
  paths: Sequence[str],
  max_pixels: int,
  poll: Callable[[], None],
) -> differential_count.ClassifiedCells:
  """The same cells with their `repeat_of`; arguments as of `repeated`."""

  def is_doubtful(row: int) -> bool:
    return differential_count.is_left_out(classified.cells[row])

  repeats_N = repeated(classified.cells, paths, max_pixels, is_doubtful, poll, Compared({}, {}, {}))
  return dataclasses.replace(classified, repeat_of=repeats_N)


def repeated(
  cells: Sequence[cell.Cell],
  paths: Sequence[str],
  max_pixels: int,
  is_doubtful: Callable[[int], bool],
  poll: Callable[[], None],
  compared: Compared,
) -> tuple[int | None, ...]:
  """For each cell the row of the one that it repeats, None where it is the first of its kind or stands alone.

  Of several views of one cell, the first that is not doubtful stays; the others repeat it. Only cells with a box are
  compared, in photographs that were moved, not turned by much. Cells of equal key repeat the same one.

  Args:
    cells: N.
    paths: N, of the photograph of each.
    max_pixels: of a photograph.
    is_doubtful: whether a row shows its cell badly, as where the edge cuts it.
    poll: called for each photograph; its exceptions propagate.
    compared: what is known of some of the photographs. The answer is the same without it.
  """
  nothing = (None,) * len(cells)
  places = photographs.searched(cells, paths)
  if len(places) < 2:
    return nothing
  boxes = [[_box(cells[row]) for row in one.rows] for one in places]
  unseen = [one for one in places if any(cells[row].key not in compared.thumbnails for row in one.rows)]

  def thumbnails(i: int, photograph_HWC: np.ndarray) -> dict[str, np.ndarray]:
    return {cells[row].key: repeats.thumbnail(photograph_HWC, _box(cells[row])) for row in unseen[i].rows}

  for thumbs in photographs.visit(unseen, max_pixels, thumbnails):
    poll()
    compared.thumbnails.update(thumbs or {})
  seen = [
    (i, j)
    for i, one in enumerate(places)
    for j, row in enumerate(one.rows)
    if cells[row].key in compared.thumbnails
  ]
  if not seen:
    return nothing
  thumbnail_ND = np.stack([compared.thumbnails[cells[places[i].rows[j]].key] for i, j in seen])
  sides = [boxes[i][j].longer_side for i, j in seen]
  pairs = repeats.alike(repeats.Thumbnails(thumbnail_ND, np.array(sides), tuple(seen)))

  def look(i: int) -> repeats.Described | None:
    poll()
    digest = places[i].digest
    if digest not in compared.keypoints:
      photograph_HWC = photographs.read(places[i], max_pixels)
      if photograph_HWC is None:
        return None
      compared.keypoints[digest] = repeats.described(photograph_HWC)
    return compared.keypoints[digest]

  def map_of(a: int, b: int) -> np.ndarray | None:
    digests = places[a].digest, places[b].digest
    if digests not in compared.maps:
      compared.maps[digests] = repeats.registered(look(a), look(b))
    return compared.maps[digests]

  # By key: of photographs with the same bytes only the first is compared.
  repeat_of: dict[str, int] = {}
  for group in repeats.same_cells(boxes, pairs, map_of):
    rows = [places[i].rows[j] for i, j in group]
    kept = min(rows, key=lambda row: (is_doubtful(row), row))
    repeat_of |= {cells[row].key: kept for row in rows if row != kept}
  return tuple(repeat_of.get(one.key) for one in cells)


def _box(one: cell.Cell) -> cell.Box:
  if one.box is None:
    raise ValueError(f'{one.file}: a cell without a box')
  return one.box
