"""Names in lists of other computers and programs mean files of the folder, or none."""

from __future__ import annotations

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders, input_paths, listed_names

FILES = ('sub dir/1 a.png', 'sub dir/2 a.png', 'sub dir/Zelle ü.png', '007.png')


@pytest.fixture
def slides(tmp_path):
  for name in FILES:
    path = tmp_path / 'slides' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())
  return tmp_path / 'slides'


def labels(slides, *rows: str) -> list[str]:
  path = slides.parent / 'labels.csv'
  path.write_text('file,label\n' + ''.join(f'{row}\n' for row in rows), encoding='utf-8')
  return folders.read(str(slides), '', str(path)).table.file.tolist()


STARTS = (
  'C:\\Users\\me\\slides\\', 'd:/cells/', '\\\\nas\\share\\slides\\', '/home/me/old place/', 'slides/', './', '.\\',
  'file:///C:/slides/', 'file:///mnt/x/slides/', "'", '"', 'Slides\\',
)  # fmt: skip


@pytest.mark.parametrize('start', STARTS)
def test_names_of_another_place_are_found_below_the_folder(slides, start):
  quote = '"' if start == '"' else ''
  rows = [f'{start}{name}{quote}' for name in ('sub dir/1 a.png', 'sub dir/2 a.png')]
  if quote:
    rows = [f'"{quote}{row}{quote}"' for row in rows]
  if '\\' in start:
    rows = [row.replace('/', '\\') for row in rows]
  assert labels(slides, f'{rows[0]},A', f'{rows[1]},B') == ['sub dir/1 a.png', 'sub dir/2 a.png']


def test_names_with_the_escapes_of_the_web_are_found(slides):
  assert labels(slides, 'sub%20dir/1%20a.png,A', 'sub%20dir/Zelle%20%C3%BC.png,B') == [
    'sub dir/1 a.png',
    'sub dir/Zelle ü.png',
  ]


def test_whole_paths_on_this_computer_are_those_of_the_folder_or_none(slides, tmp_path):
  inside = slides / 'sub dir' / '1 a.png'
  assert labels(slides, f'{inside},A', 'sub dir/2 a.png,B') == ['sub dir/1 a.png', 'sub dir/2 a.png']
  other = tmp_path / 'other' / 'sub dir' / '1 a.png'
  other.parent.mkdir(parents=True)
  other.write_bytes(b'another image of the same name')
  with pytest.raises(
    types.UserError, match='is not a file in the folder of the data; name files relative to it'
  ):
    labels(slides, f'{other},A', 'sub dir/2 a.png,B')


def test_whole_paths_of_two_places_are_not_mixed(slides):
  with pytest.raises(
    types.UserError, match=r'line 3 names E:/new/sub dir/2 a\.png, which is not a file in the folder'
  ):
    labels(slides, 'D:/old/sub dir/1 a.png,A', 'E:/new/sub dir/2 a.png,B')


def test_groups_and_paths_to_predict_may_come_from_another_place_too(slides):
  groups = slides.parent / 'groups.csv'
  for folder in ('A', 'B'):
    (slides / folder).mkdir()
    (slides / folder / '1.png').write_bytes(folder.encode())
  for path in (slides / 'sub dir').iterdir():
    path.unlink()
  (slides / 'sub dir').rmdir()
  (slides / '007.png').unlink()
  groups.write_text('file,group\nC:\\x\\slides\\A\\1.png,g\nC:\\x\\slides\\B\\1.png,h\n')
  assert folders.read(str(slides), str(groups), '').table.group.tolist() == ['g', 'h']
  listed = slides / 'list.csv'
  listed.write_text('file\nC:\\x\\slides\\A\\1.png\n')
  assert [one.shown for one in input_paths.read([str(listed)]).inputs] == ['A/1.png']


@pytest.mark.parametrize('cell', ['1-Mar', 'Mar-01', '2024-03-01 00:00:00', 'sub dir/01.03.2024', '3/1/2024'])
def test_a_date_in_the_place_of_a_name_is_told(slides, cell):
  with pytest.raises(types.UserError, match='which a spreadsheet wrote in place of the text'):
    labels(slides, f'{cell},A', 'sub dir/2 a.png,B')


@pytest.mark.parametrize(
  ('name', 'found'),
  [
    ('A/1.png', 'A/1.png'),
    ('x/A/1.png', ''),
    ('../A/1.png', ''),
    ('', ''),
    (' ', ''),
    ('/', ''),
    ('C:\\', ''),
  ],
)
def test_a_name_that_is_not_there_is_none(name, found):
  assert listed_names.Names(['A/1.png', 'A/2.png'], 'slides').find(name) == found
