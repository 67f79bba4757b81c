"""The photographs of cells that were found, looked at again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from bloodcell_jax.base import cell
from bloodcell_jax.data.images import decode, image_files

_Seen = TypeVar('_Seen')


@dataclasses.dataclass(frozen=True)
class Photograph:
  """One photograph in which cells were searched."""

  file: str  # as shown to people
  path: str
  digest: str  # `sha256_16` of its bytes
  rows: tuple[int, ...]  # of its cells


def searched(cells: Sequence[cell.Cell], paths: Sequence[str]) -> list[Photograph]:
  """The photographs of the cells that have a box, in order, those with the same bytes once.

  Args:
    cells: N.
    paths: N, of the photograph of each.
  """
  rows: dict[tuple[str, str], list[int]] = {}
  for row, (one, path) in enumerate(zip(cells, paths, strict=True)):
    if one.box is not None:
      rows.setdefault((one.digest, path), []).append(row)
  first: dict[str, Photograph] = {}
  for (digest, path), inside in rows.items():
    first.setdefault(digest, Photograph(cells[inside[0]].file, path, digest, tuple(inside)))
  return list(first.values())


def visit(
  photographs: Sequence[Photograph], max_pixels: int, look: Callable[[int, np.ndarray], _Seen]
) -> Iterator[_Seen | None]:
  """What `look` gives for each, in order; None where the file has changed or gone meanwhile.

  Args:
    photographs: which.
    max_pixels: of a photograph.
    look: called with the index and the photograph, uint8 RGB at its own size, in several threads.
  """
  seen: dict[int, _Seen] = {}

  def look_at(i: int, digest: str, photograph_HWC: np.ndarray) -> Sequence[cell.Box | None]:
    # Two files may have changed places.
    if digest == photographs[i].digest:
      seen[i] = look(i, photograph_HWC)
    return ()

  def nothing(_: np.ndarray, boxes: Sequence[cell.Box]) -> Sequence[cell.Box]:
    return boxes

  whole = decode.Spec(decode.LEAST_SIDE, 'full', 'nearest', False, max_pixels, 'none')
  contents = decode.each(
    (one.path for one in photographs), whole, lambda digest, data: True, look_at, nothing
  )
  for i, _ in enumerate(contents):
    yield seen.pop(i, None)


def read(one: Photograph, max_pixels: int) -> np.ndarray | None:
  """The photograph, uint8 RGB; None where the file has changed or gone."""
  try:
    with open(one.path, 'rb') as file:
      data = file.read()
    return decode.upright(data, max_pixels) if image_files.sha256_16(data) == one.digest else None
  except (OSError, decode.DecodeError):
    return None
