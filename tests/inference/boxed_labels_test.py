"""Labels of cells within photographs: each cell becomes an image, and what does not fit is one line."""

from __future__ import annotations

import csv
import pathlib
import shutil

import drawn_field
import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import folders, input_paths, label_csv
from bloodcell_jax.inference import boxed_labels, cell_folder

HEADER = ('file', 'cell', 'left', 'top', 'right', 'bottom', 'sha256_16', 'machine_label', 'human_label')
BOXES = ((108, 88, 212, 192), (418, 278, 522, 382))  # around drawn_field.WHITE_CELLS


# Nuclei and platelets of three fields that show no cell of another.
FIELDS = (
  {'lobes': drawn_field.NEUTROPHIL, 'platelets': ((320, 60), (90, 400))},
  {'lobes': ((0, -14), (4, 14)), 'lobe': 24, 'platelets': ((560, 90), (300, 420))},
  {'white_cells': ((310, 330), (480, 120)), 'lobes': ((0, 0),), 'lobe': 32, 'platelets': ((60, 230),)},
)


def draw_field(i: int) -> Image.Image:
  return Image.fromarray(drawn_field.draw(seed=i, **FIELDS[i]))


@pytest.fixture(scope='module')
def slides(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('lab') / 'slides'
  folder.mkdir()
  for i in range(2):
    draw_field(i).save(folder / f'{i}.png')
  return folder


def rows_of(slides: pathlib.Path) -> list[list]:
  """Both cells of both photographs, as the review page lists them."""
  rows = []
  for i in range(2):
    digest = image_files.marked(image_files.sha256_16((slides / f'{i}.png').read_bytes()))
    for n, label in enumerate(('MONOCYTE', 'NEUTROPHIL')):
      rows.append([f'{i}.png', n + 1, *BOXES[n], digest, 'unclassified', label])
  return rows


def write_list(path: pathlib.Path, rows: list[list], header=HEADER) -> str:
  with open(path, 'w', newline='') as file:
    csv.writer(file).writerows([header, *rows])
  return str(path)


def test_each_labelled_cell_is_an_image_of_its_class_and_those_of_a_photograph_are_one_group(
  slides, tmp_path
):
  labels = write_list(tmp_path / 'corrections.csv', rows_of(slides))
  assert boxed_labels.are_in(labels)
  place = tmp_path / 'cells'
  assert boxed_labels.write(labels, str(slides), place, 10**9) == 4
  table = folders.read(str(place), str(place / cell_folder.GROUPS), str(place / cell_folder.LABELS)).table
  assert [table.class_names[k] for k in table.label] == ['MONOCYTE', 'NEUTROPHIL'] * 2
  assert len(set(table.group[:2])) == len(set(table.group[2:])) == 1
  assert len(set(table.group)) == 2
  # The dark nucleus is in the middle of each.
  for content in table.content:
    image_HWC = np.asarray(Image.open(content))
    height, width = image_HWC.shape[:2]
    middle = image_HWC[height // 2 - 5 : height // 2 + 5, width // 2 - 5 : width // 2 + 5]
    assert middle.mean() < image_HWC.mean() - 15
  before = {path.name: path.read_bytes() for path in place.rglob('*') if path.is_file()}
  boxed_labels.write(labels, str(slides), place, 10**9)
  assert {path.name: path.read_bytes() for path in place.rglob('*') if path.is_file()} == before


def test_a_group_is_called_like_its_photograph_and_one_photograph_under_two_names_is_one_group(
  slides, tmp_path
):
  mine = tmp_path / 'slides'
  mine.mkdir()
  # The first twice; of the others two have names that a reader takes for one.
  seeds = {'a.png': 0, 'b.png': 0, 'c_1.png': 1, 'c-1.png': 2}
  for name, seed in seeds.items():
    draw_field(seed).save(mine / name)
  rows = []
  for name, seed in seeds.items():
    cells = FIELDS[seed].get('white_cells', drawn_field.WHITE_CELLS)
    digest = image_files.marked(image_files.sha256_16((mine / name).read_bytes()))
    rows += [
      [name, n + 1, x - 52, y - 52, x + 52, y + 52, digest, '', label]
      for n, ((x, y), label) in enumerate(zip(cells, ('MONOCYTE', 'NEUTROPHIL'), strict=True))
    ]
  place = tmp_path / 'cells'
  boxed_labels.write(write_list(tmp_path / 'labels.csv', rows), str(mine), place, 10**9)
  table = folders.read(str(place), str(place / cell_folder.GROUPS), str(place / cell_folder.LABELS)).table
  digest = image_files.sha256_16((mine / 'c_1.png').read_bytes())
  assert table.group.tolist() == [*['a.png'] * 4, *['c-1.png'] * 2, *[f'c_1.png ({digest})'] * 2]


def test_photographs_that_show_the_same_labelled_cell_are_one_group(tmp_path):
  slide_HWC = drawn_field.draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
  mine = tmp_path / 'slides'
  mine.mkdir()
  # Two views of one field, and another field.
  views = {'a.png': (0, 0), 'b.png': (130, 100)}
  for name, (left, top) in views.items():
    Image.fromarray(slide_HWC[top : top + 480, left : left + 640]).save(mine / name)
  Image.fromarray(drawn_field.draw(((300, 240),), seed=2)).save(mine / 'c.png')

  def groups(cells: list[tuple[str, int, int, str]]) -> list[str]:
    rows = [
      [name, n, x - 45, y - 45, x + 45, y + 45, '', '', label] for n, (name, x, y, label) in enumerate(cells)
    ]
    place = tmp_path / f'cells-{len(list(tmp_path.iterdir()))}'
    boxed_labels.write(write_list(tmp_path / f'{place.name}.csv', rows), str(mine), place, 10**9)
    return folders.read(
      str(place), str(place / cell_folder.GROUPS), str(place / cell_folder.LABELS)
    ).table.group.tolist()

  first, other = ('a.png', 300, 240, 'MONOCYTE'), ('c.png', 300, 240, 'NEUTROPHIL')
  assert groups([first, ('b.png', 170, 140, 'MONOCYTE'), other]) == ['a.png', 'a.png', 'c.png']
  # Negative control: other cells of the same field.
  assert groups([first, ('b.png', 390, 280, 'MONOCYTE'), other]) == ['a.png', 'b.png', 'c.png']


def test_eight_views_of_a_labelled_cell_are_one_group(tmp_path):
  slide_HWC = drawn_field.draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
  mine = tmp_path / 'slides'
  mine.mkdir()
  rows = []
  for i, (left, top) in enumerate(np.random.default_rng(0).integers(0, 101, (8, 2)).tolist()):
    Image.fromarray(slide_HWC[top : top + 480, left : left + 640]).save(mine / f'{i:02}.png')
    x, y = 300 - left, 240 - top
    rows.append([f'{i:02}.png', 0, x - 45, y - 45, x + 45, y + 45, '', '', 'MONOCYTE'])
  # Negative control: the cell of another field.
  Image.fromarray(drawn_field.draw(((300, 240),), seed=2)).save(mine / 'other.png')
  rows.append(['other.png', 0, 255, 195, 345, 285, '', '', 'MONOCYTE'])
  place = tmp_path / 'cells'
  boxed_labels.write(write_list(tmp_path / 'list.csv', rows), str(mine), place, 10**9)
  table = folders.read(str(place), str(place / cell_folder.GROUPS), str(place / cell_folder.LABELS)).table
  assert table.group.tolist() == ['00.png'] * 8 + ['other.png']


def test_a_list_beside_its_photographs_names_them_as_one_without_boxes_does(slides, tmp_path):
  rows = rows_of(slides)
  monday = tmp_path / 'lab' / 'monday'
  shutil.copytree(slides, monday)
  labels = write_list(monday / 'corrections.csv', rows)
  assert boxed_labels.write(labels, str(monday.parent), tmp_path / 'cells', 10**9) == 4
  groups = (tmp_path / 'cells' / cell_folder.GROUPS).read_text()
  assert groups.count('monday/0.png') == groups.count('monday/1.png') == 2
  whole = write_list(monday / 'whole.csv', [[row[0], row[-1]] for row in rows[::2]], ('file', 'label'))
  assert [one.file for one in label_csv.read(whole, str(monday.parent))] == ['monday/0.png', 'monday/1.png']
  # Negative controls: a list elsewhere without the digests, and names that lead out of its folder.
  elsewhere = write_list(tmp_path / 'corrections.csv', [[*row[:6], '', *row[7:]] for row in rows])
  (monday / 'deep').mkdir()
  above = write_list(monday / 'deep' / 'corrections.csv', [[f'../{row[0]}', *row[1:]] for row in rows])
  for refused in (elsewhere, above):
    with pytest.raises(types.UserError, match=r'line 2 names .*0\.png, which is not a file in the folder'):
      boxed_labels.write(refused, str(monday.parent), tmp_path / 'others', 10**9)


def test_corrections_of_a_pattern_or_of_several_folders_are_read_back_from_the_folder_above(slides, tmp_path):
  top = tmp_path / 'top'
  for i, day in enumerate(('mon', 'tue')):
    (top / day).mkdir(parents=True)
    shutil.copy(slides / f'{i}.png', top / day)
  for paths in ([f'{top}/**/*.png'], [f'{top}/mon', f'{top}/tue']):
    assert [one.shown for one in input_paths.read(paths).inputs] == ['0.png', '1.png']
  labels = write_list(tmp_path / 'corrections.csv', rows_of(slides))
  assert boxed_labels.write(labels, str(top), tmp_path / 'cells', 10**9) == 4
  groups = (tmp_path / 'cells' / cell_folder.GROUPS).read_text()
  assert groups.count('mon/0.png') == groups.count('tue/1.png') == 2
  # Negative controls: the folder of some of them, another image of that name, and two of them.
  with pytest.raises(types.UserError, match='set --data_dir to a folder that holds all photographs'):
    boxed_labels.write(labels, str(top / 'mon'), tmp_path / 'others', 10**9)
  (top / 'mon' / '0.png').rename(top / 'mon' / 'kept.png')
  shutil.copy(slides / '1.png', top / 'tue' / '0.png')
  with pytest.raises(types.UserError, match=r'tue/0\.png has changed since it was labelled'):
    boxed_labels.write(labels, str(top), tmp_path / 'others', 10**9)
  (top / 'mon' / 'kept.png').rename(top / 'mon' / '0.png')
  assert boxed_labels.write(labels, str(top), tmp_path / 'again', 10**9) == 4, (
    'the digest tells which is meant'
  )
  shutil.copy(slides / '0.png', top / 'tue')
  with pytest.raises(
    types.UserError, match=r'line 2 names 0\.png, which may be mon/0\.png or tue/0\.png; write'
  ):
    boxed_labels.write(labels, str(top), tmp_path / 'others', 10**9)


def test_a_list_of_whole_photographs_has_no_boxes(slides, tmp_path):
  whole = [[row[0], row[1], '', '', '', '', *row[6:]] for row in rows_of(slides)[::2]]
  assert not boxed_labels.are_in(write_list(tmp_path / 'a.csv', whole))
  assert not boxed_labels.are_in(
    write_list(tmp_path / 'b.csv', [['0.png', 'MONOCYTE']], ('file', 'human_label'))
  )


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({0: 'gone.png'}, 'is not a file in the folder'),
    ({0: '../slides/0.png'}, 'is not a file in the folder'),
    ({4: 2000}, 'reaches beyond the photograph of 640x480'),
    ({2: 'x'}, 'is not a box in pixels'),
    ({2: 300}, 'is not a box in pixels'),
    ({6: 'sha256:' + 'f' * 16}, 'has changed since it was labelled'),
    ({8: ''}, 'lacks a label'),
    ({8: 'A/B'}, 'a label has no slash'),
    ({2: '', 3: '', 4: '', 5: ''}, 'is labelled as a whole and in parts'),
  ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_is_written(slides, tmp_path, change, said):
  rows = rows_of(slides)
  for column, value in change.items():
    rows[0][column] = value
  labels = write_list(tmp_path / 'labels.csv', rows)
  with pytest.raises(types.UserError, match=said) as refused:
    boxed_labels.write(labels, str(slides), tmp_path / 'cells', 10**9)
  assert '\n' not in str(refused.value)
  assert [path.name for path in tmp_path.iterdir()] == ['labels.csv']


def test_a_cell_with_two_labels_is_refused(slides, tmp_path):
  rows = rows_of(slides)
  labels = write_list(tmp_path / 'labels.csv', [*rows, [*rows[0][:-1], 'LYMPHOCYTE']])
  with pytest.raises(types.UserError, match='labels a cell LYMPHOCYTE that is MONOCYTE above'):
    boxed_labels.write(labels, str(slides), tmp_path / 'cells', 10**9)


def test_a_photograph_of_too_many_pixels_is_named(slides, tmp_path):
  place, listed = tmp_path / 'cells', write_list(tmp_path / 'corrections.csv', rows_of(slides)[2:])
  with pytest.raises(
    types.UserError, match=r'labelled photograph cannot be used: 1\.png: has 640x480 pixels'
  ):
    boxed_labels.write(listed, str(slides), place, 640 * 480 - 1)
  assert not place.exists()
  # Negative control: within the limit it is used.
  assert boxed_labels.write(listed, str(slides), place, 640 * 480) == 2
