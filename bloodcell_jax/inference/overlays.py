"""A picture of each photograph with its cells boxed and named, in the folder `overlays` of a prediction."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from bloodcell_jax.inference import differential_count, photographs
from bloodcell_jax.plots import overlay
from bloodcell_jax.system import atomic, portable_name

FOLDER = 'overlays'
_LONGEST_NAME = 100


def write(
  folder: pathlib.Path,
  classified: differential_count.ClassifiedCells,
  paths: Sequence[str],
  max_pixels: int,
  poll: Callable[[], None],
) -> dict[str, str]:
  """Writes `overlays/NAME.jpg` for every photograph in which cells were found.

  Args:
    folder: of the prediction.
    classified: all cells.
    paths: N, of the photograph of each.
    max_pixels: of a photograph.
    poll: called for each photograph; its exceptions propagate.

  Returns:
    By photograph as shown to people: its picture, relative to the folder. Photographs that have changed or gone have
    none.
  """
  places = photographs.searched(classified.cells, paths)
  names = file_names([one.file for one in places], [one.digest for one in places])
  target = folder / FOLDER
  if places:
    target.mkdir(exist_ok=True)

  def picture(i: int, photograph_HWC: np.ndarray) -> bool:
    drawn = overlay.draw(
      photograph_HWC, [labelled(classified, row) for row in places[i].rows], places[i].file
    )
    buffer = io.BytesIO()
    drawn.save(buffer, 'JPEG', quality=88)
    atomic.write_bytes(target / names[i], buffer.getvalue())
    return True

  written = {}
  for one, name, is_there in zip(places, names, photographs.visit(places, max_pixels, picture), strict=True):
    poll()
    if is_there:
      written[one.file] = f'{FOLDER}/{name}'
  # Of photographs that an earlier prediction into this folder searched.
  for path in set(target.glob('*.jpg')) - {folder / name for name in written.values()}:
    path.unlink()
  return written


def labelled(classified: differential_count.ClassifiedCells, row: int) -> overlay.Labelled:
  """The box and the words of one cell: its class and confidence, and what makes it doubtful or not counted."""
  one, likeliest = classified.cells[row], classified.likeliest[row]
  is_named = classified.predicted[row] == likeliest
  words = [f'{"" if is_named else "? "}{likeliest} {classified.probs_NK[row].max():.0%}']
  if classified.predicted[row] == differential_count.UNLIKE:
    words.append('unlike the training images')
  repeated = classified.repeat_of[row]
  if repeated is not None:
    words.append(f'counted in {classified.cells[repeated].file}')
  words += one.marks
  kind = overlay.SURE if is_named else overlay.DOUBTFUL
  if repeated is not None or differential_count.is_left_out(one):
    kind = overlay.NOT_COUNTED
  if one.box is None:
    raise ValueError(f'{one.file}: a cell without a box')
  return overlay.Labelled(one.box, tuple(words), kind, classified.class_names.index(likeliest))


def file_names(files: Sequence[str], digests: Sequence[str]) -> list[str]:
  """A name for the picture of each photograph: its own with `.jpg`, with its digest where another one has that.

  Example:
    >>> file_names(['a.png', 'monday/b.png', 'a.tif'], ['0f', '1f', '2f'])
    ['a.jpg', 'monday_b.jpg', 'a_2f.jpg']
  """
  names: list[str] = []
  taken: set[str] = set()
  for file, digest in zip(files, digests, strict=True):
    stem = portable_name.portable_name(str(pathlib.PurePath(file).with_suffix('')))
    name = f'{stem}.jpg'
    # Some file systems do not tell capital letters from small ones.
    if not stem or len(name.encode()) > _LONGEST_NAME or name.lower() in taken:
      name = f'{stem[: _LONGEST_NAME // 4]}_{digest}.jpg'
    names.append(name)
    taken.add(name.lower())
  return names
