"""The labelled cells of a session as a folder of images with lists, from which a run can be trained."""

from __future__ import annotations

import os
import pathlib

from bloodcell_jax.base import cell
from bloodcell_jax.data.images import decode, image_files
from bloodcell_jax.inference import cell_finder
from bloodcell_jax.reports import review_images
from bloodcell_jax.serving import photograph_file
from bloodcell_jax.serving import session as session_lib
from bloodcell_jax.system import atomic, portable_name

LABELS, GROUPS = 'labels.csv', 'groups.csv'
# The square around a cell that is saved: as much as a whole photograph of the study shows, so that a training with
# either `data.view` crops it as it crops those.
_VIEW = 'full'


def write(session: session_lib.Session, folder: pathlib.Path, max_pixels: int) -> int:
  """Writes `images/`, `labels.csv` (`file,label,sha256_16`) and `groups.csv` (`file,group`); the number of images.

  A photograph of a single cell is copied byte for byte; of any other each labelled cell is cut out. The cells of one
  photograph are one group. A cell that is there twice is written once. The folder appears once it is complete.

  Raises:
    Refused: nothing is labelled, or the session has ended meanwhile.
  """
  labels = session.labels()
  lists: dict[str, list[list[str]]] = {
    LABELS: [['file', 'label', 'sha256_16']],
    GROUPS: [['file', 'group']],
  }
  done: set[str] = set()
  with atomic.folder(folder) as place:
    (place / 'images').mkdir()
    for number, photograph in enumerate(session.photographs(), 1):
      chosen = [one for one in photograph.cells if one.key in labels and one.key not in done]
      done |= {one.key for one in chosen}
      try:
        images = _contents(photograph, chosen, max_pixels) if chosen else []
      except OSError:
        raise session_lib.Refused('the photographs have been deleted meanwhile') from None
      for one, data in zip(chosen, images, strict=True):
        file = f'images/{_name(number, photograph.shown, one)}'
        (place / file).write_bytes(data)
        digest = image_files.marked(image_files.sha256_16(data))
        lists[LABELS].append([file, labels[one.key].name, digest])
        lists[GROUPS].append([file, image_files.marked(photograph.digest)])
    if len(lists[LABELS]) == 1:
      raise session_lib.Refused('no cell is labelled yet')
    for name, rows in lists.items():
      atomic.write_csv(place / name, rows)
  return len(lists[LABELS]) - 1


def _contents(
  photograph: photograph_file.PhotographFile, cells: list[cell.Cell], max_pixels: int
) -> list[bytes]:
  """The file of each cell's image."""
  boxes = [one.box for one in cells if one.box is not None]
  if not boxes:
    return [photograph.path.read_bytes()]
  photograph_HWC = decode.upright(str(photograph.path), max_pixels)
  frames = cell_finder.framer(_VIEW)(photograph_HWC, boxes)
  return [
    review_images.png_file(photograph_HWC[frame.top : frame.bottom, frame.left : frame.right])
    for frame in frames
  ]


def _name(number: int, shown: str, one: cell.Cell) -> str:
  """A name that any file system takes and that recalls the photograph's.

  Example:
    >>> _name(3, 'slides/Zelle ü 1.JPG', cell.Cell('', '', 1, None))
    '0003-Zelle_ü_1.jpg'
    >>> _name(3, 'a.jpg', cell.Cell('', '', 2, cell.Box(0, 0, 1, 1)))
    '0003-a-cell-2.png'
  """
  stem, extension = os.path.splitext(shown.rpartition('/')[2])
  plain = portable_name.portable_name(stem)[:40]
  end = extension.lower() if one.box is None else f'-cell-{one.number}.png'
  return f'{number:04}-{plain}{end}'
