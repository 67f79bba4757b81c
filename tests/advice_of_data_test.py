"""Lines about folders, lists and image files: what each kind of them advises is done here, and the data is read."""

from __future__ import annotations

import csv
import pathlib
import re
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.division import folds, leaks, splits
from bloodcell_jax.data.sources import folders, input_paths, label_csv, remarks

NUMBER = iter(range(10**6))


def fill(top: pathlib.Path, files: str) -> pathlib.Path:
  """Images that all differ, by their names relative to the folder."""
  for name in files.split():
    path = top / name.replace('%', ' ')
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(next(NUMBER))
    Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(path)
  return top


def line(read: Callable, *arguments) -> str:
  """The line that refuses it."""
  with pytest.raises(types.UserError) as caught:
    read(*map(str, arguments))
  assert '\n' not in str(caught.value)
  return str(caught.value)


def read(folder, groups='', labels='') -> types.Table:
  """The table, as training asks for it."""
  found = folders.read(str(folder), str(groups), str(labels))
  if said := remarks.untaught(found.table):
    raise types.UserError(said)
  return found.table


def passed(said: str) -> str:
  return re.search(r'--config\.data\.dir=(\S+?)[,;]?(?: |$)', said)[1]


def renamed(before: str, after: str):
  return lambda top, said: (top / before).rename(top / after) and top


def moved_into(top, said):
  shutil.move(top / 'A' / 'TRAIN', top / 'TRAIN')
  (top / 'TRAIN' / 'A').mkdir()
  for path in [*(top / 'TRAIN').glob('*.png')]:
    path.rename(top / 'TRAIN' / 'A' / path.name)
  shutil.move(top / 'B' / 'TRAIN', top / 'TRAIN' / 'B')
  for name in 'AB':
    (top / name).rmdir()
  return top


def in_classes(top, said):
  assert 'CLASS/ or SPLIT/CLASS/' in said
  for name, file in (('A', '1.png'), ('B', '2.png')):
    (top / name).mkdir()
    (top / file).rename(top / name / file)
  return top


def without(*names: str):
  def remove(top, said):
    for name in names:
      shutil.rmtree(top / name)
    return top

  return remove


def more(files: str):
  return lambda top, said: fill(top, files)


# files; words of the line; what it says, done: (folder, line) -> the folder to read
LAYOUTS = {
  'a data set deeper': (
    'x/TRAIN/A/1.png x/TRAIN/B/2.png', 'pass the data set itself', lambda top, said: pathlib.Path(passed(said))),
  'several data sets': (
    'd1/A/1.png d1/B/2.png d2/A/3.png d2/B/4.png', 'pass one of them', lambda top, said: pathlib.Path(passed(said))),
  'a folder beside split folders': (
    'TRAIN/A/1.png TRAIN/B/2.png other/A/3.png', 'move it away or rename it', renamed('other', 'TEST')),
  'two folders of one split': (
    'TRAIN/A/1.png TRAIN/B/2.png training/A/3.png training/B/4.png', 'keep one', without('training')),
  'splits inside classes': (
    'A/TRAIN/1.png B/TRAIN/2.png', 'put splits above classes: TRAIN/', moved_into),
  'no folders': ('1.png 2.png', 'no images in class folders; put them in', in_classes),
  'two spellings': ('A/1.png B/2.png a%/3.png', 'give them one name', renamed('a ', 'C')),
  'a reserved word': (
    'A/1.png B/2.png Unclassified/3.png', 'give it another name', renamed('Unclassified', 'OTHER')),
  'one class': ('A/1.png A/2.png', 'put the images of each class into a folder of its own', more('B/3.png')),
  'a class that TRAIN lacks': (
    'TRAIN/A/1.png TRAIN/B/2.png TEST/C/3.png', 'add images of it to TRAIN', more('TRAIN/C/4.png')),
  'a class that TRAIN lacks, taken out': (
    'TRAIN/A/1.png TRAIN/B/2.png TEST/C/3.png TEST/A/4.png', 'or take it out of TEST', without('TEST/C')),
}  # fmt: skip


@pytest.mark.parametrize('kind', LAYOUTS)
def test_a_folder_is_understood_after_what_the_line_says(kind, tmp_path):
  files, words, remedy = LAYOUTS[kind]
  top = fill(tmp_path / 'data', files)
  said = line(read, top)
  assert words in said
  assert len(read(remedy(top, said)).class_names) >= 2


@pytest.fixture
def listed(tmp_path) -> pathlib.Path:
  return fill(tmp_path / 'data', '1.png 2.png 3.png 4.png')


GOOD = 'file,label\n1.png,A\n2.png,B\n'
LISTS = {
  'a second time': ('file,label\n1.png,A\n2.png,B\n1.png,B\n', 'keep one of the lines', GOOD),
  'no label': ('file,label\n1.png,\n2.png,B\n', 'give both', GOOD),
  'no such file': ('file,label\n1.png,A\n2.png,B\n9.png,B\n', 'correct or remove the line', GOOD),
  'a slash': ('file,label\n1.png,A/x\n2.png,B\n', 'a label has no slash', GOOD),
  'another column': ('image,label\n1.png,A\n2.png,B\n', 'the first line must name the column file', GOOD),
  'no column of labels': ('file,class\n1.png,A\n2.png,B\n', 'columns file and label or human_label', GOOD),
  'two columns of a name': ('file,label,label\n1.png,A,B\n2.png,B,B\n', 'names the column label twice; keep one', GOOD),
  'a number': ('file,label\n1.png,5.95E+19\n2.png,B\n', 'import the column as text and export the list again', GOOD),
  'a cell too many': (
    'file,label\n1.png,A, b\n2.png,B\n', 'put a cell that holds a separator in double quotes',
    'file,label\n1.png,"A, b"\n2.png,B\n'),
  'not UTF-8': (
    'file,label\n1.png,\xc4\n2.png,B\n'.encode('latin-1'), 'save it as "CSV UTF-8"',
    'file,label\n1.png,\xc4\n2.png,B\n'),
  'a workbook': (b'PK\3\4xxxx', 'save its sheet as "CSV UTF-8"', GOOD),
  'a digest that has changed': ('file,label,sha256_16\n1.png,A,0123456789abcdef\n2.png,B,\n', 'label it again', GOOD),
  'a digest that is none': ('file,label,sha256_16\n1.png,A,x\n2.png,B,\n', 'or remove the column sha256_16', GOOD),
  'a digest that became a number': (
    'file,label,sha256_16\n1.png,A,5.95E+15\n2.png,B,\n', 'or remove that column', GOOD),
  'a box': (
    'file,label,left\n1.png,A,3\n2.png,B,\n', 'save the labelled cells as images: `adapt`',
    'file,label\n3.png,A\n2.png,B\n'),
  'control characters': ('file,label\n1.png,A\x07\n2.png,B\n', 'remove them', GOOD),
  'missing': (None, 'set --config.data.labels_csv to a CSV with the columns file and label', GOOD),
}  # fmt: skip


def write(path: pathlib.Path, content: str | bytes | None) -> None:
  if content is not None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize('kind', LISTS)
def test_a_list_of_labels_is_read_after_what_the_line_says(kind, listed, tmp_path):
  content, words, better = LISTS[kind]
  path = tmp_path / 'labels.csv'
  write(path, content)
  assert words in line(read, listed, '', path)
  write(path, better)
  assert len(read(listed, '', path)) == 2


@pytest.mark.parametrize(
  ('content', 'words'),
  [
    ('file,group\nA/1.png,x\nB/2.png,y\nB/2.png,z\n', 'keep one of the lines'),
    ('file,group\nA/1.png,\nB/2.png,y\n', 'give both'),
    ('file,group\nA/1.png,x\nB/2.png,y\nB/9.png,y\n', 'correct or delete the line'),
    ('file,group\nA/1.png,x\n', 'every image needs a group'),
    ('file,patient\nA/1.png,x\n', 'the first line must name the columns file and group'),
    (None, 'set --config.data.groups_csv to a CSV with the columns file and group'),
  ],
)
def test_a_list_of_groups_is_read_after_what_the_line_says(content, words, tmp_path):
  top, path = fill(tmp_path / 'data', 'A/1.png B/2.png'), tmp_path / 'groups.csv'
  write(path, content)
  assert words in line(read, top, path)
  write(path, 'file,group\nA/1.png,x\nB/2.png,y\n')
  assert read(top, path).group.tolist() == ['x', 'y']


def test_labels_in_two_lists_that_disagree_and_a_list_without_labels(listed, tmp_path):
  one, two = tmp_path / '1.csv', tmp_path / '2.csv'
  write(one, GOOD)
  write(two, 'file,label\n1.png,B\n')
  said = line(lambda: label_csv.read(f'{one},{two}', str(listed)))
  assert 'which is A in' in said
  assert 'keep one of the lines' in said
  write(two, 'file,label\n3.png,B\n')
  assert len(label_csv.read(f'{one},{two}', str(listed))) == 3


def table(tmp_path, per_class: int, files: str = '') -> types.Table:
  names = [f'{name}/{i}.png' for name in 'AB' for i in range(per_class)]
  return read(fill(tmp_path / 'data', files or ' '.join(names)))


@pytest.mark.parametrize('key', ['data.validation_fraction', 'data.test_fraction'])
def test_the_fraction_that_a_line_names_divides_the_data(key, tmp_path):
  data = table(tmp_path, 3)

  def divide(fraction):
    mine = {key: fraction}
    return splits.rows(data, mine.get('data.validation_fraction', 0), mine.get('data.test_fraction', 0), 0)

  with pytest.raises(types.UserError) as caught:
    divide(0.1)
  assert key in str(caught.value)
  assert len(divide(float(re.search(r'set it to ([\d.]+) or more', str(caught.value))[1]))) == 2
  # Photographs added in its place.
  data = table(tmp_path / 'more', 10)
  assert len(divide(0.1)) == 2


def test_fewer_folds_or_more_photographs_can_be_dealt(tmp_path):
  data = table(tmp_path, 3)

  def deal(data, num):
    return folds.divide(data, {'train': np.arange(len(data))}, folds.Spec(num, 1), 0.5, 0)

  with pytest.raises(types.UserError, match=r'fewer than train\.folds=4; lower it, or add photographs'):
    deal(data, 4)
  assert 'fold' in deal(data, 3)
  assert 'fold' in deal(table(tmp_path / 'more', 6), 4)


def test_a_leak_ends_where_the_images_are_removed_or_their_groups_corrected(tmp_path):
  top = fill(tmp_path / 'data', 'TRAIN/A/1.png TRAIN/B/2.png TEST/A/3.png TEST/B/4.png')
  copy = top / 'TEST' / 'A' / 'copy.png'
  shutil.copy(top / 'TRAIN' / 'A' / '1.png', copy)

  def check():
    data = read(top)
    leaks.check(data, leaks.find(data, splits.rows(data, 0, 0, 0)))

  with pytest.raises(types.UserError, match=r'Remove them from one of the splits.*allow_leak=True'):
    check()
  copy.unlink()
  check()


def test_an_archive_is_unpacked_and_a_workbook_saved_as_a_list(tmp_path):
  top = fill(tmp_path / 'data', 'A/1.png')
  archive = shutil.make_archive(str(tmp_path / 'cells'), 'zip', top)
  assert 'unpack it and name the folder' in line(lambda: input_paths.read([archive]))
  shutil.unpack_archive(archive, tmp_path / 'unpacked')
  assert 'is a device or a pipe, not an image; name a file or a folder' in line(
    lambda: input_paths.read(['/dev/null'])
  )
  assert len(input_paths.read([str(tmp_path / 'unpacked')]).inputs) == 1
  book = tmp_path / 'list.xlsx'
  book.write_bytes(b'PK\3\4')
  assert 'save its sheet as "CSV UTF-8" and name that file' in line(lambda: input_paths.read([str(book)]))
  with open(tmp_path / 'list.csv', 'w', newline='') as file:
    csv.writer(file).writerows([('file',), ('data/A/1.png',)])
  assert len(input_paths.read([str(tmp_path / 'list.csv')]).inputs) == 1
  other = tmp_path / 'other.csv'
  other.write_text('image\ndata/A/1.png\n')
  assert 'the first line must name the column file' in line(lambda: input_paths.read([str(other)]))


def test_a_pattern_that_matches_nothing_is_told_what_the_stars_stand_for(tmp_path):
  top = fill(tmp_path / 'data', 'A/1.png')
  said = line(lambda: input_paths.read([f'{top}/*.jpg']))
  assert '* stands for any characters, ** for any folders' in said
  assert len(input_paths.read([f'{top}/**/*.png']).inputs) == 1
  assert len(input_paths.read([f'{top}/*/*.png']).inputs) == 1


def test_a_folder_of_files_that_are_not_read_says_what_the_first_of_them_is(tmp_path):
  (tmp_path / 'new').mkdir()
  (tmp_path / 'new' / '1.heic').write_bytes(b'x')
  (tmp_path / 'new' / '2.zip').write_bytes(b'x')
  said = line(lambda: input_paths.read([str(tmp_path / 'new')]))
  assert (
    'none of the 2 files there can be read as an image; the first: 1.heic: a file of Apple camera' in said
  )
  fill(tmp_path / 'new', '1.png')
  found = input_paths.read([str(tmp_path / 'new')])
  assert len(found.inputs) == 1
  assert str(found.problems[1]) == '2.zip: is an archive; unpack it'


def test_a_file_in_the_place_of_the_folder_says_which_kind_it_is_and_what_to_name(tmp_path):
  top = fill(tmp_path / 'data', '1.png 2.png')
  archive = shutil.make_archive(str(tmp_path / 'cells'), 'zip', top)
  assert 'is an archive; unpack it' in line(read, archive)
  listed = tmp_path / 'labels.csv'
  write(listed, GOOD)
  keys = re.findall(r'--config\.data\.(\w+)', line(read, listed))
  assert keys == ['dir', 'labels_csv']
  assert len(read(top, '', listed)) == 2
  assert 'is a file; set --config.data.dir to a folder' in line(read, top / '1.png')
