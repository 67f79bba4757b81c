"""A picture cut out of a photograph shows the cell that was labelled, as `predict` sees it in the photograph."""

from __future__ import annotations

import io
import pathlib

import drawn_field
import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import cell
from bloodcell_jax.data.images import decode, excerpt
from bloodcell_jax.inference import cell_finder, cell_folder

# The first is near the edge, with the second, larger one beside it.
CELLS = ((60, 240), (176, 240))
BOXES = (cell.Box(8, 188, 112, 292), cell.Box(124, 188, 228, 292))


@pytest.fixture(scope='module')
def field(tmp_path_factory) -> pathlib.Path:
  """A photograph with both cells, and a bright spot far away from them."""
  path = tmp_path_factory.mktemp('field') / 'a.png'
  image_HWC = drawn_field.draw(CELLS)
  image_HWC[188:292, 8:112] = drawn_field.draw(CELLS, lobes=((0, 0),), lobe=18)[188:292, 8:112]
  image_HWC[450:460, 600:610] = 250
  Image.fromarray(image_HWC).save(path)
  return path


@pytest.fixture(scope='module')
def pictures(field, tmp_path_factory) -> list[bytes]:
  place = tmp_path_factory.mktemp('cut') / 'cells'
  cells = tuple(cell_folder.LabelledCell(n, box, 'A') for n, box in enumerate(BOXES, 1))
  cell_folder.write([cell_folder.LabelledPhotograph(str(field), 'a.png', '0' * 16, cells)], place, 10**8)
  return [path.read_bytes() for path in sorted((place / 'images').iterdir())]


def spec_of(view: str) -> decode.Spec:
  return decode.Spec(96, view, 'bilinear', True, 10**8, 'memory')


def predicted(field: pathlib.Path, view: str, box: cell.Box) -> np.ndarray:
  """What `predict` shows a network for this box."""
  framer = cell_finder.framer(view)
  ((_, found),) = decode.each([str(field)], spec_of(view), lambda *_: True, lambda *_: [box], framer)
  return found[0][1]


def without_text(data: bytes) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(np.asarray(Image.open(io.BytesIO(data)))).save(buffer, 'PNG')
  return buffer.getvalue()


@pytest.mark.parametrize('view', decode.VIEWS)
def test_the_picture_of_a_labelled_cell_is_read_as_predict_sees_that_cell(field, pictures, view):
  for data, box in zip(pictures, BOXES, strict=True):
    assert np.array_equal(decode.image(data, spec_of(view))[0], predicted(field, view, box))


@pytest.mark.parametrize('view', decode.VIEWS)
def test_a_picture_that_does_not_say_which_cell_is_meant_is_read_otherwise(field, pictures, view):
  read_HWC = decode.image(without_text(pictures[0]), spec_of(view))[0].astype(int)
  assert np.abs(read_HWC - predicted(field, view, BOXES[0])).mean() > 2


def test_what_does_not_fit_the_picture_is_passed_over(pictures):
  opened = Image.open(io.BytesIO(pictures[0]))
  assert excerpt.of(opened) is not None
  assert excerpt.of(opened.crop((0, 0, 90, 90))) is None
  turned = opened.transpose(Image.Transpose.ROTATE_180)
  assert (turned.size, turned.info) == (opened.size, opened.info)
  assert excerpt.of(turned) is None
  key, text = next(iter(opened.text.items()))
  assert text.startswith('size ')
  assert ', cell ' in text
  assert ', view_full ' in text
  for damaged in (
    '',
    text + ' ',
    text.replace(', cell ', ', cell -'),
    text.replace(', cell ', ', cell 9999'),
    text.replace(', view_full ', ', view_full 99999'),
    text.replace('brightest ', 'brightest 9'),
    text.replace('size ', 'size 1'),
    text.replace('crc ', 'crc 1'),
    text.partition(', cell ')[0],
  ):
    opened.info[key] = damaged
    assert excerpt.of(opened) is None


def test_a_cell_larger_than_what_a_view_shows_is_framed(field):
  assert predicted(field, 'nucleus', cell.Box(8, 100, 300, 380)).shape == (96, 96, 3)
