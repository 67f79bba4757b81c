"""Cells that overlapping photographs show again are counted once, whatever copies of the files are there."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_field import draw
from PIL import Image

from bloodcell_jax.base import cell
from bloodcell_jax.data.images import image_files, photograph
from bloodcell_jax.inference import differential_count, field_overlaps

MAX_PIXELS = 10**6
SLIDE = draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
# Left and top of the view of the slide: each shows both cells.
VIEWS = {'a.png': (0, 0), 'b.png': (130, 100), 'c.png': (60, 40)}


def cells_of(folder, files) -> tuple[list[cell.Cell], list[str]]:
  """The cells of these files and the path of each; `copy of NAME` has the bytes of NAME."""
  cells, paths = [], []
  for file in files:
    left, top = VIEWS[file.removeprefix('copy of ')]
    Image.fromarray(SLIDE[top : top + 480, left : left + 640]).save(folder / file)
    digest = image_files.sha256_16((folder / file).read_bytes())
    for number, (x, y) in enumerate(((300 - left, 240 - top), (520 - left, 380 - top)), 1):
      cells.append(cell.Cell(file, digest, number, cell.Box(x - 45, y - 45, x + 45, y + 45)))
      paths.append(str(folder / file))
  return cells, paths


def counted(folder, files) -> tuple[differential_count.ClassifiedCells, dict]:
  """The cells of these files and their count."""
  cells, paths = cells_of(folder, files)
  probs_NK = np.full((len(cells), 2), 0.5)
  classified = differential_count.classify(cells, probs_NK, ('A', 'B'), None, None)
  classified = field_overlaps.counted_once(classified, paths, MAX_PIXELS, lambda: None)
  return classified, differential_count.count(classified, 0.95)


@pytest.mark.parametrize(
  ('files', 'expected', 'num_repeats'),
  [
    (['a.png'], (None, None), 0),
    (['a.png', 'b.png'], (None, None, 0, 1), 2),
    (['a.png', 'b.png', 'copy of b.png'], (None, None, 0, 1, 0, 1), 2),
    (['a.png', 'copy of a.png', 'b.png'], (None, None, None, None, 0, 1), 2),
    (['copy of b.png', 'a.png', 'b.png'], (None, None, 0, 1, None, None), 2),
  ],
)
def test_a_cell_of_overlapping_photographs_is_counted_once_beside_copies_of_them(
  tmp_path, files, expected, num_repeats
):
  classified, count = counted(tmp_path, files)
  assert classified.repeat_of == expected
  assert classified.countable == [0, 1]
  assert (count['num_cells'], count['num_repeats']) == (2, num_repeats)
  assert sum(one['count'] for one in count['classes'].values()) == 2


def test_photographs_that_come_one_after_another_are_compared_as_all_at_once_and_read_once(
  tmp_path, monkeypatch
):
  files = ['a.png', 'b.png', 'copy of b.png', 'c.png']
  cells, paths = cells_of(tmp_path, files)
  read: list[str] = []
  upright = photograph.upright

  def counting(content, max_pixels):
    read.append(image_files.sha256_16(content))
    return upright(content, max_pixels)

  monkeypatch.setattr(photograph, 'upright', counting)

  def repeated(num: int, compared: field_overlaps.Compared) -> tuple[int | None, ...]:
    read.clear()
    return field_overlaps.repeated(
      cells[: 2 * num], paths[: 2 * num], MAX_PIXELS, lambda row: False, lambda: None, compared
    )

  known, num_read = field_overlaps.Compared({}, {}, {}), []
  for num in range(1, 5):
    in_turn = repeated(num, known)
    num_read.append(read.count(cells[0].digest))
    assert in_turn == repeated(num, field_overlaps.Compared({}, {}, {}))
  assert in_turn == (None, None, 0, 1, 0, 1, 0, 1)
  # The first photograph is read for its cells and its keypoints when the second comes, and never again.
  assert num_read == [0, 2, 0, 0]
  # Negative control: where nothing is known it is.
  assert read.count(cells[0].digest) == 2
