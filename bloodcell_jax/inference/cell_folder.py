"""Labelled cells of photographs as a folder of images with lists, from which a run can be trained or adapted."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
from collections.abc import Sequence

from bloodcell_jax.base import cell, types
from bloodcell_jax.data.images import decode, excerpt, image_files
from bloodcell_jax.data.sources import names
from bloodcell_jax.inference import cell_finder, field_overlaps
from bloodcell_jax.system import atomic, portable_name

LABELS, GROUPS = 'labels.csv', 'groups.csv'


@dataclasses.dataclass(frozen=True)
class LabelledCell:
  """One cell with its class."""

  number: int  # within the photograph, from 1
  box: cell.Box | None  # None: the whole photograph
  label: str


@dataclasses.dataclass(frozen=True)
class LabelledPhotograph:
  """A photograph with those of its cells that have a label."""

  path: str
  shown: str  # its name, for people
  digest: str  # `sha256_16` of its bytes
  cells: tuple[LabelledCell, ...]


class _IsThere(Exception):
  """The folder was written before; leaves the new one unused."""


def write(photographs: Sequence[LabelledPhotograph], folder: pathlib.Path, max_pixels: int) -> int:
  """Writes `images/`, `labels.csv` (`file,label,sha256_16`) and `groups.csv` (`file,group`); the number of images.

  A photograph that is labelled as a whole is copied byte for byte; of any other each labelled cell is cut out, as an
  `excerpt` that says which of the cells in it is meant. The cells of one photograph are one group, under whatever names
  it is there, and so are those of photographs that overlap, where they show the same labelled cell; the group has the
  name of the first of them. The folder appears once it is complete; the same arguments give the same bytes. A folder
  that is there already stays as it is.

  Raises:
    FileExistsError: something is there that is not what these arguments give.
    UserError: nothing is labelled, or a box reaches beyond its photograph.
    DecodeError: a photograph cannot be used; the text names it.
    OSError: the folder cannot be written.
  """
  lists = {LABELS: [['file', 'label', 'sha256_16']], GROUPS: [['file', 'group']]}
  group_of = _groups(photographs, max_pixels)
  with contextlib.suppress(_IsThere), atomic.folder(folder) as place:
    (place / 'images').mkdir()
    for number, photograph in enumerate(photographs, 1):
      for one, data in zip(photograph.cells, _contents(photograph, max_pixels), strict=True):
        file = f'images/{_name(number, photograph.shown, one)}'
        (place / file).write_bytes(data)
        # Marked, so that no program takes a digest for a number.
        lists[LABELS].append([file, one.label, image_files.marked(image_files.sha256_16(data))])
        lists[GROUPS].append([file, group_of[photograph.digest]])
    if len(lists[LABELS]) == 1:
      raise types.UserError('no cell is labelled yet')
    for name, rows in lists.items():
      atomic.write_csv(place / name, rows)
    if os.path.lexists(folder):
      if not folder.is_dir() or _files(folder) != _files(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
      raise _IsThere
  return len(lists[LABELS]) - 1


def _groups(photographs: Sequence[LabelledPhotograph], max_pixels: int) -> dict[str, str]:
  """The group of each photograph by its digest."""
  group_of: dict[str, str] = {}
  read_as: set[str] = set()
  for photograph in photographs:
    if photograph.digest not in group_of:
      # Names of groups that a reader would take for one are refused where the list is read.
      is_taken = names.key(photograph.shown) in read_as
      read_as.add(names.key(photograph.shown))
      group_of[photograph.digest] = photograph.shown + (f' ({photograph.digest})' if is_taken else '')
  cells, paths = [], []
  for photograph in photographs:
    for one in photograph.cells:
      cells.append(cell.Cell(photograph.shown, photograph.digest, one.number, one.box))
      paths.append(photograph.path)
  repeats = field_overlaps.repeated(
    cells, paths, max_pixels, lambda row: False, lambda: None, field_overlaps.Compared({}, {}, {})
  )
  for repeat, row in zip(cells, repeats, strict=True):
    if row is not None:
      # The other photograph may itself have joined a group, or been joined.
      joined, first = group_of[repeat.digest], group_of[cells[row].digest]
      group_of = {digest: first if name == joined else name for digest, name in group_of.items()}
  return group_of


def _files(folder: pathlib.Path) -> dict[str, bytes]:
  """What is in the folder and those below, hidden files aside."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file() and not path.name.startswith('.')
  }


def _contents(photograph: LabelledPhotograph, max_pixels: int) -> Sequence[bytes]:
  """The file of each cell's image."""
  boxes = [one.box for one in photograph.cells if one.box is not None]
  if not photograph.cells:
    return []
  if not boxes:
    try:
      return [image_files.read(photograph.path)] * len(photograph.cells)
    except OSError as error:
      raise decode.DecodeError(f'{photograph.shown}: cannot be read ({error.strerror})') from None
  if len(boxes) < len(photograph.cells):
    raise types.UserError(f'{photograph.shown}: is labelled as a whole and in parts; keep one of the two')
  try:
    with decode.quiet():
      photograph_HWC = decode.upright(photograph.path, max_pixels)
  except decode.DecodeError as error:
    raise decode.DecodeError(f'{photograph.shown}: {error}') from None
  height, width = photograph_HWC.shape[:2]
  for box in boxes:
    if box.right > width or box.bottom > height:
      raise types.UserError(
        f'{photograph.shown}: {box.as_tuple()} reaches beyond the photograph of {width}x{height} pixels; label it again'
      )
  frames = cell_finder.frames_by_view(photograph_HWC, boxes, decode.VIEWS)
  return [excerpt.png_file(photograph_HWC, box, of_box) for box, of_box in zip(boxes, frames, strict=True)]


def _name(number: int, shown: str, one: LabelledCell) -> str:
  """A name that any file system takes and that recalls the photograph's.

  Example:
    >>> _name(3, 'slides/Zelle ü 1.JPG', LabelledCell(1, None, ''))
    '0003-Zelle_ü_1.jpg'
    >>> _name(3, 'a.jpg', LabelledCell(2, cell.Box(0, 0, 1, 1), ''))
    '0003-a-cell-2.png'
  """
  stem, extension = os.path.splitext(shown.rpartition('/')[2])
  plain = portable_name.portable_name(stem)[:40]
  end = extension.lower() if one.box is None else f'-cell-{one.number}.png'
  return f'{number:04}-{plain}{end}'
