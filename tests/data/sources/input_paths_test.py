"""What is named on the command line becomes files, each once; what is none is one line."""

import os

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders, input_paths


@pytest.fixture
def folder(tmp_path):
  for name in ('a/10.png', 'a/9.png', 'a/deep er/ü.JPG', 'b/x.tif', 'notes.txt'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(name.encode())
  return tmp_path


def shown(actual):
  return [one.shown for one in actual[0]]


def test_files_folders_patterns_and_lists_name_images(folder):
  assert shown(input_paths.find([f'{folder}/a'])) == ['9.png', '10.png', 'deep er/ü.JPG']
  assert shown(input_paths.find([f'{folder}/a/9.png'])) == ['9.png']
  assert shown(input_paths.find([f'{folder}/*/*.png'])) == ['9.png', '10.png']
  (folder / 'list.csv').write_text('\ufefffile,other\nb/x.tif,1\na\\10.png,2\n', encoding='utf-8')
  assert shown(input_paths.find([f'{folder}/list.csv'])) == ['b/x.tif', 'a/10.png']


def test_a_name_is_tried_as_it_is_before_it_is_a_pattern(tmp_path):
  for name in ('slides [1]/a.png', 'slides [1]/deep*/b.png', 'slides 1/no.png', '[ab]*.png', 'a.png'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(name.encode())
  assert shown(input_paths.find([f'{tmp_path}/slides [1]'])) == ['a.png', 'deep*/b.png']
  assert shown(input_paths.find([f'{tmp_path}/slides [1]/*.png'])) == ['a.png']
  assert shown(input_paths.find([f'{tmp_path}/slides [1]/**/*.png'])) == ['a.png', 'b.png']
  assert shown(input_paths.find([f'{tmp_path}/slides [1]/deep*/?.png'])) == ['b.png']
  assert shown(input_paths.find([f'{tmp_path}/[ab]*.png'])) == ['[ab]*.png']
  # Negative control: what is not there under its name stays a pattern.
  assert shown(input_paths.find([f'{tmp_path}/slides [0-9]/*.png'])) == ['no.png']
  (tmp_path / '[ab]*.png').unlink()
  assert shown(input_paths.find([f'{tmp_path}/[ab]*.png'])) == ['a.png']


@pytest.mark.parametrize('name', ['cells.zip', 'cells.tar.gz', 'CELLS.7Z', 'cells.rar'])
def test_an_archive_is_to_be_unpacked(tmp_path, name):
  (tmp_path / name).write_bytes(b'PK')
  with pytest.raises(types.UserError, match=r': is an archive; unpack it and name the folder$'):
    input_paths.find([str(tmp_path / name)])


@pytest.mark.parametrize('name', ['cells', 'cells.dat', 'cells.csv.bak', 'cells.tab', 'cells.lst'])
def test_a_list_is_known_by_its_first_line_whatever_its_extension(folder, name):
  path = folder / name
  for text in ('file,label\na/9.png,A\n', 'sep=;\nlabel;File\nA;a/9.png\n', 'file\na/9.png\n'):
    path.write_text(text)
    assert input_paths.is_list(str(path))
    assert [one.shown for one in input_paths.read([str(path)]).inputs] == ['a/9.png']
  with pytest.raises(
    types.UserError, match=r'is a list; set --config\.data\.dir to the folder of its images'
  ):
    folders.read(str(path), '', '')
  # Negative controls: another text, and an image without its extension.
  path.write_text('a/9.png\n')
  with pytest.raises(
    types.UserError, match='is text, not an image; give an image, or a list whose first line names'
  ):
    input_paths.read([str(path)])
  path.write_bytes(b'\x89PNG\r\n\x1a\n file,label')
  assert not input_paths.is_list(str(path))
  assert [one.path for one in input_paths.read([str(path)]).inputs] == [str(path)]


def test_the_folder_of_a_prediction_is_no_folder_of_images(folder):
  for name in ('predict.json', 'predictions.csv', 'review.html'):
    (folder / 'old' / name).parent.mkdir(exist_ok=True)
    (folder / 'old' / name).write_text('x')
  with pytest.raises(types.UserError, match='holds runs or results of this program and no image'):
    input_paths.read([str(folder / 'old')])
  # Negative control: one without images that is no result.
  (folder / 'old' / 'predict.json').unlink()
  with pytest.raises(types.UserError, match='there can be read as an image'):
    input_paths.read([str(folder / 'old')])


def test_a_workbook_is_to_be_saved_as_a_list(tmp_path):
  (tmp_path / 'list.xlsx').write_bytes(b'PK')
  with pytest.raises(types.UserError, match='is a workbook; save its sheet as "CSV UTF-8"'):
    input_paths.find([str(tmp_path / 'list.xlsx')])


def test_lists_with_tabs_and_other_letters_name_images_too(folder):
  (folder / 'list.txt').write_text('File\tn\nA/10.PNG\t1\nb/x.tif\t2\n', encoding='utf-16')
  assert shown(input_paths.find([f'{folder}/list.txt'])) == ['a/10.png', 'b/x.tif']


def test_a_file_named_twice_is_there_once_and_equal_names_are_told_apart(folder):
  actual, _ = input_paths.find([f'{folder}/a', f'{folder}/a/9.png', f'{folder}'])
  assert len(actual) == len({os.path.realpath(one.path) for one in actual}) == 4
  (folder / 'b/9.png').write_bytes(b'another')
  actual, _ = input_paths.find([f'{folder}/a', f'{folder}/b'])
  names = [one.shown for one in actual]
  assert len(set(names)) == len(names)
  assert f'{folder}/b/9.png' in names


def test_what_is_left_out_of_a_folder_is_said(folder):
  _, problems = input_paths.find([str(folder)])
  assert [problem.file for problem in problems] == ['notes.txt']


def test_a_loop_of_links_ends(folder):
  (folder / 'a/again').symlink_to(folder / 'a')
  assert len(input_paths.find([f'{folder}/a'])[0]) == 3


@pytest.mark.parametrize(
  ('path', 'message'),
  [
    ('none', 'no such file or folder'),
    ('a/*.bmp', 'matches no file'),
    ('empty', 'no image there'),
    ('wrong.csv', 'must name the column file'),
    ('lost.csv', 'line 2 names b/none.png, which is not a file'),
    ('binary.csv', 'is not a CSV in UTF-8'),
  ],
)
def test_what_names_nothing_is_one_line_that_says_which(folder, path, message):
  (folder / 'empty').mkdir()
  (folder / 'wrong.csv').write_text('name\nx\n')
  (folder / 'lost.csv').write_text('file\nb/none.png\n')
  (folder / 'binary.csv').write_bytes(b'\xff\xfe\x00file')
  with pytest.raises(types.UserError) as error:
    input_paths.find([f'{folder}/{path}'])
  assert message in str(error.value)
  assert path.split('*')[0] in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('path', 'says'), [('', "'': a path is empty"), ('/dev/null', '/dev/null: is a device')]
)
def test_what_is_neither_file_nor_folder_is_told(path, says):
  with pytest.raises(types.UserError, match=says):
    input_paths.read([path])
