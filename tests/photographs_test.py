"""Photographs of whole fields through `predict`: boxes, marks, pictures, each cell once, the count to print."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_field import draw
from PIL import Image
from starting import read_rows, run


@pytest.fixture(scope='module')
def predicted(finished, tmp_path_factory):
  """The results for two views of one field, a field with a cut cell, an empty one and a black picture."""
  folder = tmp_path_factory.mktemp('photographs')
  slide = draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
  images = {
    'a': slide[:480, :640],
    'b': slide[100:580, 130:770],
    'cut': draw(((160, 140), (632, 330)), seed=2),
    'empty': np.full((480, 640, 3), 225, np.uint8),
    'black': np.zeros((480, 640, 3), np.uint8),
  }
  (folder / 'slides').mkdir()
  for name, image_HWC in images.items():
    Image.fromarray(image_HWC).save(folder / 'slides' / f'{name}.png')
  arguments = ('predict', folder / 'slides', f'--workdir={finished[0]}', f'--to={folder / "out"}')
  code, out, err = run(*arguments, '--cells=many', '--count=3', '--heat_maps=false')
  assert code == 0, err
  return folder / 'out', out, arguments


def test_each_cell_has_a_line_with_its_box_and_marks_and_overlaps_are_counted_once(predicted):
  folder, out, _ = predicted
  rows = read_rows(folder / 'predictions.csv')
  assert [(row['file'], row['cell']) for row in rows] == [
    ('a.png', '1'), ('a.png', '2'), ('b.png', '1'), ('b.png', '2'), ('cut.png', '1'), ('cut.png', '2'),
  ]  # fmt: skip
  assert [row['repeat_of'] for row in rows] == ['', '', 'a.png#1', 'a.png#2', '', '']
  assert [row['marks'] for row in rows] == ['', '', '', '', '', 'cut by the edge']
  assert abs(int(rows[0]['left']) - int(rows[2]['left']) - 130) < 8
  assert 'Not counted: 2 repeats of cells in overlapping photographs of one field' in out
  assert '1 cut by the edge' in out
  for name in ('empty.png', 'black.png'):
    assert f'left out: {name}: no white cell was found in it' in out
  difference = json.loads((folder / 'predict.json').read_text())['differential']
  assert (difference['num_cells'], difference['num_repeats']) == (3, 2)


def test_each_photograph_has_its_picture_and_the_count_a_page(predicted):
  folder, _, _ = predicted
  shown = json.loads((folder / 'predict.json').read_text())['overlays']
  assert shown == {f'{name}.png': f'overlays/{name}.jpg' for name in ('a', 'b', 'cut')}
  for path in shown.values():
    with Image.open(folder / path) as picture:
      assert picture.width == 800
  page = (folder / 'count.html').read_text()
  assert '3 cells in 2 of 3 photographs with white cells' in page
  assert '5 photographs searched, 2 of them without a white cell.' in page
  numbers = json.loads((folder / 'predict.json').read_text())['photographs']
  assert numbers == {'read': 5, 'no_cell': 2, 'unusable': 0}
  rows = read_rows(folder / 'count.csv')
  assert sum(int(row['count']) for row in rows) == 3
  assert 'cut by the edge' in (folder / 'review.html').read_text()


def test_the_same_command_predicts_no_cell_again(predicted):
  folder, _, arguments = predicted
  before = (folder / 'predictions.csv').read_bytes()
  (folder / 'overlays' / 'gone.jpg').write_bytes(b'of a photograph that is no longer searched')
  code, out, _ = run(*arguments, '--cells=many', '--count=3', '--heat_maps=false')
  assert code == 0
  assert '6 cells predicted already' in out
  assert {path.name for path in (folder / 'overlays').iterdir()} == {'a.jpg', 'b.jpg', 'cut.jpg'}
  assert (folder / 'predictions.csv').read_bytes() == before


def test_reviewers_lists_are_read_before_anything_is_predicted_and_compared_on_these_cells(
  predicted, tmp_path
):
  folder, _, arguments = predicted
  head, *lines = (folder / 'predictions.csv').read_text().splitlines()
  own, other = tmp_path / 'own.csv', tmp_path / 'other.csv'
  own.write_text('\n'.join([f'{head},human_label', *(f'{line},A' for line in lines)]) + '\n')
  other.write_text(own.read_text().replace('sha256:', 'sha256:f'))

  def pages(*lists):
    for path in lists:
      if path.name.startswith('copy_'):
        path.write_text((tmp_path / path.name.removeprefix('copy_')).read_text())
    told = run(*arguments, '--cells=many', '--heat_maps=false', f'--reviewers={",".join(map(str, lists))}')
    return *told, (folder / 'count.html').read_text()

  code, out, _, page = pages(own, tmp_path / 'copy_own.csv')
  assert code == 0
  assert 'own and copy_own both labelled 6 cells of this prediction and agree on 100%' in out
  assert 'both labelled 6 cells of this prediction' in page
  # Negative control: the labels of other photographs, whose kappa is none of this prediction.
  code, out, _, page = pages(other, tmp_path / 'copy_other.csv')
  assert code == 0
  assert 'no cell of this prediction is labelled in other or in copy_other' in out
  assert 'kappa' not in page
  before = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
  code, out, err, _ = pages(own, tmp_path / 'none.csv')
  assert code != 0
  assert 'none.csv: No such file' in err
  assert 'predicted already' not in out
  assert {path: path.stat().st_mtime_ns for path in folder.rglob('*')} == before


def test_a_folder_without_a_white_cell_is_a_count_of_nothing(finished, tmp_path):
  Image.fromarray(np.full((480, 640, 3), 225, np.uint8)).save(tmp_path / 'empty.png')
  to = tmp_path / 'out'
  code, out, err = run(
    'predict', tmp_path / 'empty.png', f'--workdir={finished[0]}', f'--to={to}', '--cells=many'
  )
  assert code == 0, err
  assert 'There is no cell to count.' in out
  assert read_rows(to / 'predictions.csv') == []
  assert (to / 'predictions.csv').read_text().startswith('file,')
  assert (to / 'review.html').exists()
