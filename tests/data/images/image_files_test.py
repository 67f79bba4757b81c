"""Finding and hashing image files."""

import os

import pytest

from bloodcell_jax.data.images import image_files


def _touch(folder, *names):
  for name in names:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())


def test_files_come_in_natural_order(tmp_path):
  names = ['_0_10.jpeg', '_0_9.jpeg', '_12_1.jpeg', '_2_1.jpeg']
  _touch(tmp_path, *names)
  actual, problems = image_files.listing(str(tmp_path), '')
  assert actual == ['_0_9.jpeg', '_0_10.jpeg', '_2_1.jpeg', '_12_1.jpeg']
  assert not problems
  assert actual != sorted(names)  # the control: plain order puts 10 before 9


def test_names_that_differ_only_in_zeros_have_one_order():
  assert sorted(['a01', 'a1', 'a001'], key=image_files.natural_key) == sorted(
    ['a1', 'a001', 'a01'], key=image_files.natural_key
  )


def test_digits_of_other_scripts_are_letters():
  assert sorted(['²', '٣', '3'], key=image_files.natural_key)[0] == '3'


@pytest.mark.parametrize('extension', image_files.EXTENSIONS)
def test_every_extension_is_an_image_in_any_case(tmp_path, extension):
  _touch(tmp_path, f'a{extension}', f'b{extension.upper()}')
  actual, problems = image_files.listing(str(tmp_path), '')
  assert len(actual) == 2
  assert not problems


def test_other_files_are_problems_that_name_file_and_reason(tmp_path):
  _touch(tmp_path, 'a.png', 'notes.txt', 'noextension')
  actual, problems = image_files.listing(str(tmp_path), 'TRAIN/X')
  assert actual == ['a.png']
  assert [p.file for p in problems] == ['TRAIN/X/noextension', 'TRAIN/X/notes.txt']
  assert '.txt' in str(problems[1])


def test_hidden_files_and_litter_are_passed_over(tmp_path):
  _touch(tmp_path, '.hidden.png', '.git/a.png', 'Thumbs.db', '__MACOSX/a.png', 'a.png')
  assert image_files.listing(str(tmp_path), '') == (['a.png'], [])
  assert image_files.subfolders(str(tmp_path)) == []


def test_folders_inside_are_read_when_asked(tmp_path):
  _touch(tmp_path, 'deep/er/a.png', 'b.png')
  assert image_files.listing(str(tmp_path), '')[0] == ['b.png', 'deep/er/a.png']
  assert image_files.listing(str(tmp_path), '', recursive=False)[0] == ['b.png']


def test_a_loop_of_links_ends_and_is_said(tmp_path):
  _touch(tmp_path, 'in/a.png')
  (tmp_path / 'in' / 'loop').symlink_to(tmp_path, target_is_directory=True)
  actual, problems = image_files.listing(str(tmp_path), '')
  assert actual == ['in/a.png']
  assert [p.file for p in problems] == ['in/loop']


def test_a_link_to_a_folder_above_does_not_bring_other_classes_into_one(tmp_path):
  _touch(tmp_path, 'A/1.png', 'B/2.png')
  (tmp_path / 'A' / 'all').symlink_to(tmp_path, target_is_directory=True)
  actual, problems = image_files.listing(str(tmp_path / 'A'), 'A')
  assert actual == ['1.png']
  assert [str(p) for p in problems] == [
    'A/all: a link to a folder above it, or to one that has been read already'
  ]


@pytest.mark.parametrize('name', ['Bildschirmfoto 9.00\u202fAM.png', 'a\u00a0b.png', 'Zelle\u3000(1).png'])
def test_blanks_of_every_width_are_fine(tmp_path, name):
  _touch(tmp_path, name)
  assert image_files.listing(str(tmp_path), '') == ([name], [])


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path):
  _touch(tmp_path, 'elsewhere/a.png')
  (tmp_path / 'class').mkdir()
  (tmp_path / 'class' / 'linked').symlink_to(tmp_path / 'elsewhere', target_is_directory=True)
  assert image_files.listing(str(tmp_path / 'class'), '')[0] == ['linked/a.png']


def test_what_cannot_be_read_is_a_problem_not_a_hang(tmp_path):
  (tmp_path / 'gone.png').symlink_to(tmp_path / 'nothing')
  os.mkfifo(tmp_path / 'pipe.png')
  actual, problems = image_files.listing(str(tmp_path), '')
  assert not actual
  assert [p.reason for p in problems] == ['a broken link', 'not a regular file']


def test_a_name_that_is_not_text_is_a_problem_that_can_be_printed(tmp_path):
  with open(os.fsencode(tmp_path) + b'/\xff.png', 'wb') as file:
    file.write(b'x')
  actual, problems = image_files.listing(str(tmp_path), 'X')
  assert not actual
  assert str(problems[0]).encode()


def test_digests_are_of_the_bytes_in_order_and_errors_stay_in_place(tmp_path):
  _touch(tmp_path, 'a.png', 'b.png')
  (tmp_path / 'copy.png').write_bytes(b'a.png')
  a, missing, b, copy = image_files.digests(
    [str(tmp_path / n) for n in ('a.png', 'missing.png', 'b.png', 'copy.png')]
  )
  assert a == copy == image_files.sha256_16(b'a.png')
  assert a != b
  assert isinstance(missing, OSError)
