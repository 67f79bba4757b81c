"""Folders of classes."""

import numpy as np
import pytest
from written import write

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import folders


def _csv(tmp_path, text):
  path = tmp_path / 'groups.csv'
  path.write_text(text, encoding='utf-8')
  return str(path)


def test_classes_without_split_folders_are_all_of_train(tmp_path):
  table, problems = folders.table(write(tmp_path, 'B/10.png', 'B/9.png', 'A/x.JPG'), '', '')
  assert not problems
  assert table.class_names == ('A', 'B')
  assert table.file.tolist() == ['A/x.JPG', 'B/9.png', 'B/10.png']
  assert table.label.tolist() == [0, 1, 1]
  assert set(table.split) == {'TRAIN'}
  assert image_files.read(table.content[0]) == b'A/x.JPG'


@pytest.mark.parametrize(('name', 'split'), folders.SPLITS.items())
def test_split_folders_are_known_in_any_case(tmp_path, name, split):
  table, _ = folders.table(write(tmp_path, f'{name.title()}/A/1.png', f'{name.title()}/B/2.png'), '', '')
  assert set(table.split) == {split}
  assert table.class_names == ('A', 'B')


def test_folders_inside_a_class_belong_to_it(tmp_path):
  table, _ = folders.table(write(tmp_path, 'train/A/patient 1/slide/1.png', 'train/B/2.png'), '', '')
  assert table.file.tolist() == ['train/A/patient 1/slide/1.png', 'train/B/2.png']
  assert table.class_names == ('A', 'B')


def test_without_a_csv_equal_bytes_share_a_group(tmp_path):
  write(tmp_path, 'A/1.png', 'A/2.png', 'B/3.png')
  (tmp_path / 'B' / 'copy.png').write_bytes(b'A/1.png')
  table, _ = folders.table(str(tmp_path), '', '')
  group = dict(zip(table.file.tolist(), table.group.tolist(), strict=True))
  assert group['A/1.png'] == group['B/copy.png']
  assert len(set(group.values())) == 3
  assert table.source.tolist() == table.file.tolist()


def test_the_csv_gives_the_groups(tmp_path):
  folder = write(tmp_path / 'd', 'A/1.png', 'A/2.png', 'B/3.png')
  # A byte-order mark, a backslash and another column, as spreadsheets write them.
  text = '\ufefffile,site,group\nB/3.png,x,p2\n./A/1.png,x,p1\nA\\2.png,x,p1\n'
  table, _ = folders.table(folder, _csv(tmp_path, text), '')
  assert table.group.tolist() == ['p1', 'p1', 'p2']


@pytest.mark.parametrize(
  ('text', 'says'),
  [
    ('file,patient\n', 'must name the columns file and group'),
    ('', 'must name the columns file and group'),
    ('file,group\nA/1.png,p\nA/9.png,p\n', r'line 3 names A/9.png, which is not an image'),
    ('file,group\nA/1.png,p\nA/1.png,q\n', r'line 3 names A/1.png a second time'),
    ('file,group\nA/1.png,\n', 'line 2 lacks'),
    ('file,group\nA/1.png\n', 'line 2 lacks'),
    ('file,group\nA/1.png,p\n', 'has no line for B/2.png'),
  ],
)
def test_a_csv_that_does_not_fit_is_one_line_naming_the_row(tmp_path, text, says):
  folder = write(tmp_path / 'd', 'A/1.png', 'B/2.png')
  with pytest.raises(types.UserError, match=says) as caught:
    folders.table(folder, _csv(tmp_path, text), '')
  assert 'groups.csv' in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_csv_that_is_none_or_not_there_is_one_line(tmp_path):
  folder = write(tmp_path / 'd', 'A/1.png')
  with pytest.raises(types.UserError, match='groups_csv'):
    folders.table(folder, str(tmp_path / 'nowhere.csv'), '')
  (tmp_path / 'binary.csv').write_bytes(b'\xff\xfe\x00file,group')
  with pytest.raises(types.UserError, match='is not a CSV in UTF-8'):
    folders.table(folder, str(tmp_path / 'binary.csv'), '')


def test_empty_classes_and_stray_files_are_problems(tmp_path):
  write(tmp_path, 'A/1.png', 'A/notes.txt', 'stray.png')
  (tmp_path / 'EMPTY').mkdir()
  table, problems = folders.table(str(tmp_path), '', '')
  assert table.class_names == ('A',)
  by_file = {p.file: p.reason for p in problems}
  assert by_file['EMPTY'] == 'holds no image'
  assert by_file[tmp_path.name] == 'images outside the class folders: 1, such as stray.png'
  assert '.txt' in by_file['A/notes.txt']
  assert len(problems) == 3


@pytest.mark.parametrize(
  ('names', 'says'),
  [
    ((), 'no images in class folders'),
    (('a.png',), 'no images in class folders'),
    (('train/A/1.png', 'val/A/1.png', 'Validation/A/1.png'), 'are both folders of VALIDATION'),
    (('train/A/1.png', 'B/1.png'), 'B: is beside split folders'),
    (('train/Mono/1.png', 'test/MONO/1.png'), 'MONO .test/MONO. and Mono .train/Mono. are two spellings'),
  ],
)
def test_a_layout_that_means_two_things_is_one_line(tmp_path, names, says):
  with pytest.raises(types.UserError, match=says) as caught:
    folders.table(write(tmp_path, *names), '', '')
  assert '\n' not in str(caught.value)


def test_no_such_folder_is_one_line(tmp_path):
  with pytest.raises(types.UserError, match='no such folder'):
    folders.table(str(tmp_path / 'nowhere'), '', '')


def test_another_laboratory_loads(real_images):
  pbc = real_images.parent / 'pbc-180'
  if not pbc.is_dir():
    pytest.skip('no pbc-180 beside the folder of BLOODCELL_DATA')
  table, problems = folders.table(str(pbc), '', '')
  assert not problems
  assert table.class_names == ('BASOPHIL', 'EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
  assert {s: int(n) for s, n in zip(*np.unique(table.split, return_counts=True), strict=True)} == {
    'TRAIN': 6169,
    'VALIDATION': 1030,
    'TEST': 3099,
  }
