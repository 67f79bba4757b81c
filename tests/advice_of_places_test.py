"""Lines about folders, lists and thumbnails: what each advises is done here, and it leads on."""

import errno
import os
import pathlib

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.images import near_copies
from bloodcell_jax.data.sources import folders, input_paths
from bloodcell_jax.storage import box, thumbnails_file, workdir


def fill(top, files):
  for name in files.split():
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).write_bytes(name.encode())


def test_images_by_split_are_put_in_folders_of_their_classes(tmp_path):
  fill(tmp_path, 'images/train/1.png images/train/2.png images/val/3.png labels/train/1.txt')
  words = r'images: its split folders \(train, val\) hold images without class folders; put them in folders of their '
  with pytest.raises(
    types.UserError, match=words + 'classes, such as train/NEUTROPHIL/, and name the folder above the splits'
  ):
    folders.read(str(tmp_path), '', '')
  for split, number, name in (('train', 1, 'A'), ('train', 2, 'B'), ('val', 3, 'A')):
    place = tmp_path / 'images' / split / name
    place.mkdir()
    (place.parent / f'{number}.png').rename(place / f'{number}.png')
  assert folders.read(str(tmp_path / 'images'), '', '').table.split.tolist() == [
    'TRAIN',
    'TRAIN',
    'VALIDATION',
  ]


def test_patients_above_the_classes_are_moved_into_them(tmp_path):
  fill(tmp_path, 'P1/A/1.png P1/B/2.png P2/A/3.png P2/B/4.png')
  with pytest.raises(
    types.UserError, match='if they are patients or slides, move them into the classes: A/P1/'
  ):
    folders.read(str(tmp_path), '', '')
  for patient in ('P1', 'P2'):
    for name in ('A', 'B'):
      (tmp_path / name).mkdir(exist_ok=True)
      (tmp_path / patient / name).rename(tmp_path / name / patient)
    (tmp_path / patient).rmdir()
  assert folders.read(str(tmp_path), '', '').table.class_names == ('A', 'B')


def test_of_a_class_folder_the_one_above_is_passed(tmp_path):
  fill(
    tmp_path,
    ' '.join(f'{name}/patient_{i}/{name}{i}.png' for name in ('MONOCYTE', 'EOSINOPHIL') for i in range(3)),
  )
  with pytest.raises(types.UserError, match=r'is named like a class, as EOSINOPHIL beside it') as caught:
    folders.read(str(tmp_path / 'MONOCYTE'), '', '')
  assert str(caught.value).endswith(f'are not; pass the folder of the classes, --config.data.dir={tmp_path}')
  assert folders.read(str(tmp_path), '', '').table.class_names == ('EOSINOPHIL', 'MONOCYTE')
  # Negative control: kinds of a cell may be classes.
  fill(tmp_path, 'NEUTROPHIL/normal/1.png NEUTROPHIL/toxic/2.png')
  assert folders.read(str(tmp_path / 'NEUTROPHIL'), '', '').table.class_names == ('normal', 'toxic')


def test_of_a_folder_of_one_class_the_one_above_is_named(tmp_path):
  fill(tmp_path, 'cells/A/1.png cells/B/2.png')
  with pytest.raises(types.UserError, match='if this folder is one class, name the folder above it'):
    folders.read(str(tmp_path / 'cells' / 'A'), '', '')
  assert len(folders.read(str(tmp_path / 'cells'), '', '').table) == 2


@pytest.mark.parametrize(
  ('written', 'words'),
  [
    ('"{}/slides"', '({}/slides is there; write it without quotation marks and blanks around it)'),
    ("'{}/slides' ", '({}/slides is there; write it without quotation marks and blanks around it)'),
    ('{}/slide', '({}/slides is there)'),
    ('{}/Slides', '({}/slides is there)'),
    ('{}/sildes/a', '({}/slides/a is there)'),
    ('$CELLS/slides', '($CELLS is not replaced here; write the whole path)'),
    ('%USERPROFILE%\\slides', '(%USERPROFILE% is not replaced here; write the whole path)'),
    ('D:\\slides', '(this is a Windows path; write where that is on this computer)'),
    ('{}/nothing/like it', 'no such file or folder'),
  ],
)
def test_a_path_that_leads_nowhere_is_told_with_what_was_meant(tmp_path, written, words):
  fill(tmp_path, 'slides/a/1.png')
  with pytest.raises(types.UserError) as caught:
    input_paths.read([written.format(tmp_path)])
  assert str(caught.value).endswith(words.format(tmp_path))
  assert input_paths.read([str(tmp_path / 'slides')]).inputs


def test_a_text_in_the_place_of_an_image_becomes_a_list_or_an_image_is_given(tmp_path):
  fill(tmp_path, '1.png cells.lst')
  path = tmp_path / 'cells.lst'
  path.write_text('1.png\n')
  with pytest.raises(
    types.UserError, match='give an image, or a list whose first line names the column file'
  ):
    input_paths.read([str(path)])
  path.write_text('file\n1.png\n')
  for given in (path, tmp_path / '1.png'):
    assert [one.shown for one in input_paths.read([str(given)]).inputs] == ['1.png']


@pytest.mark.parametrize('remedy', ['restore', 'remove'])
def test_damaged_thumbnails_are_restored_or_removed(tmp_path, remedy):
  run = workdir.Workdir(tmp_path)
  image_NHW = np.zeros((1, near_copies.SIDE, near_copies.SIDE), np.uint8)
  thumbnails_file.write(run, thumbnails_file.Thumbnails(image_NHW, np.array([True]), ('before',)))
  whole = run.thumbnails.read_bytes()
  run.thumbnails.write_bytes(whole[:-9])
  words = 'restore it from a copy, or remove it, and copies of the images that the run has seen will not be recognized'
  with pytest.raises(types.UserError, match=f'thumbnails.npz: damaged .*; move it away, then {words}'):
    thumbnails_file.read(run)
  run.thumbnails.unlink()
  if remedy == 'restore':
    run.thumbnails.write_bytes(whole)
    found = thumbnails_file.read(run)
    assert (found.image_NHW.shape, found.is_trained_N.tolist(), found.unknown) == (
      image_NHW.shape,
      [True],
      ('before',),
    )
  else:
    assert thumbnails_file.read(run) is None


def test_the_box_is_copied_in_a_folder_that_can_be_written(tmp_path, monkeypatch):
  closed, whole = tmp_path / 'closed', box.atomic.folder

  def folder(path):
    if pathlib.Path.cwd() == closed:
      raise OSError(errno.EROFS, os.strerror(errno.EROFS), 'runs')
    return whole(path)

  closed.mkdir()
  monkeypatch.setattr(box.atomic, 'folder', folder)
  monkeypatch.chdir(closed)
  with pytest.raises(types.RunError, match='there: give the command in a writable folder'):
    box.copy()
  monkeypatch.chdir(tmp_path)
  assert (box.copy() / 'config.json').is_file()
