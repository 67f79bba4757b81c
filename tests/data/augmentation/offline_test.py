"""The off-line training set: balanced, with its photographs, continued where it was left."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import offline, saving
from bloodcell_jax.data.sources import folders, kaggle


def photographs() -> types.Table:
  """Three, one and two smears of three classes, two of them of one field."""
  rng, label = np.random.default_rng(0), np.array([0, 0, 0, 1, 2, 2], np.int32)
  content = []
  for _ in label:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 200, (48, 64, 3), np.uint8)).save(buffer, 'png')
    content.append(buffer.getvalue())
  source = np.array([f'{i:05d}' for i in range(6)])
  group = np.array(['00000', '00000', '00002', '00003', '00004', '00005'])
  return types.Table(
    tuple(content), source, label, source, group, np.full(6, 'TRAIN'),
    np.array([hashlib.sha256(c).hexdigest()[:16] for c in content]), ('A', 'B', 'C'), 'smears', True,
  )  # fmt: skip


class Left(Exception):
  """Stands for a stop or a kill between two images."""


def write(folder: pathlib.Path, num_images=40, seed=0, leave_after=None, originals=None):
  calls = iter(range(10**6))

  def poll():
    if next(calls) == leave_after:
      raise Left

  offline.write(folder, originals or photographs(), num_images, seed, 10**6, poll, lambda done, total: None)


def files(folder: pathlib.Path) -> dict[str, bytes]:
  return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_classes_and_photographs_come_out_even(tmp_path):
  write(tmp_path / 'set')
  table, problems = folders.table(str(tmp_path / 'set'), str(tmp_path / 'set' / 'groups.csv'), '')
  assert not problems
  assert np.bincount(table.label).tolist() == [14, 13, 13]
  of = {s: int((table.source == s).sum()) for s in set(table.source)}
  assert of == {'00000': 5, '00001': 5, '00002': 4, '00003': 13, '00004': 7, '00005': 6}
  assert len(set(table.digest)) == 40, 'every image is another one'


def test_no_image_is_parted_from_its_photograph_and_field(tmp_path):
  write(tmp_path / 'set')
  table, _ = folders.table(str(tmp_path / 'set'), str(tmp_path / 'set' / 'groups.csv'), '')
  known = photographs()
  group_of = dict(zip(known.source, known.group, strict=True))
  for file, source, group in zip(table.file, table.source, table.group, strict=True):
    assert pathlib.PurePath(str(file)).name.startswith(str(source))
    assert group == group_of[source]
  assert len(set(table.group)) == 5 < len(set(table.source)) == 6
  # Without the table every image would be a group of its own: the leak that this file is there to prevent.
  assert len(set(folders.table(str(tmp_path / 'set'), '', '')[0].group)) == 40


@pytest.mark.parametrize(
  'leave_after', [1, 32, 39, *(pytest.param(number, marks=pytest.mark.long) for number in (0, 31))]
)
def test_a_set_left_anywhere_is_continued_to_the_same_bytes(tmp_path, leave_after):
  write(tmp_path / 'whole')
  with pytest.raises(Left):
    write(tmp_path / 'left', leave_after=leave_after)
  assert (tmp_path / 'left' / 'groups.csv').exists(), 'no image without its photograph'
  assert len(list((tmp_path / 'left').rglob('*.jpeg'))) == leave_after
  beside = tmp_path / 'left' / 'TRAIN' / 'A' / '.00000_0009.jpeg.abc'
  beside.parent.mkdir(parents=True, exist_ok=True)
  beside.write_bytes(b'half')
  write(tmp_path / 'left')
  assert files(tmp_path / 'left') == files(tmp_path / 'whole')
  write(tmp_path / 'other', seed=1)
  assert files(tmp_path / 'other') != files(tmp_path / 'whole')


def test_another_set_or_other_files_are_never_written_over(tmp_path):
  write(tmp_path / 'set')
  before = files(tmp_path / 'set')
  for change in ({'seed': 1}, {'num_images': 41}, {'originals': photographs().take([0, 1, 2, 3, 4])}):
    with pytest.raises(types.UserError, match='other settings'):
      write(tmp_path / 'set', **change)
  assert files(tmp_path / 'set') == before
  (tmp_path / 'set' / offline.SETTINGS).write_text('{')
  with pytest.raises(types.UserError, match=r'settings\.json: damaged'):
    write(tmp_path / 'set')
  (tmp_path / 'own').mkdir()
  (tmp_path / 'own' / 'thesis.txt').write_text('mine')
  with pytest.raises(types.UserError, match='not empty'):
    write(tmp_path / 'own')
  assert files(tmp_path / 'own') == {'thesis.txt': b'mine'}


@pytest.mark.parametrize('change', ['labels', 'bytes', 'names', 'order', 'class names'])
def test_after_a_correction_of_the_photographs_no_image_of_before_is_kept(tmp_path, change):
  known = photographs()
  swapped = [0, 3, 2, 1, 4, 5]  # one of A and the one of B
  corrected = {
    'labels': lambda: dataclasses.replace(known, label=known.label[swapped]),
    'bytes': lambda: dataclasses.replace(
      known, content=tuple(known.content[i] for i in swapped), digest=known.digest[swapped]
    ),
    'names': lambda: dataclasses.replace(known, file=known.file[swapped], source=known.source[swapped]),
    'order': lambda: known.take([1, 0, 2, 3, 4, 5]),
    'class names': lambda: dataclasses.replace(known, class_names=('A', 'C', 'B')),
  }[change]()
  assert sorted(corrected.digest) == sorted(known.digest)
  write(tmp_path / 'set', 6)
  before = files(tmp_path / 'set')
  with pytest.raises(types.UserError, match=r'other photographs \(.*labels or bytes\); choose another'):
    write(tmp_path / 'set', 6, originals=corrected)
  assert files(tmp_path / 'set') == before
  # What the line advises; and negative controls: groups are no part of an image, and the same photographs go on.
  write(tmp_path / 'new', 6, originals=corrected)
  grouped = dataclasses.replace(known, group=known.source)
  write(tmp_path / 'set', 6, originals=grouped)
  after = files(tmp_path / 'set')
  assert {name for name in after if after[name] != before[name]} == {offline.GROUPS}
  write(tmp_path / 'set', 6)
  assert files(tmp_path / 'set') == before


def test_copies_have_the_size_and_brightness_of_the_published_ones(tmp_path):
  write(tmp_path / 'set')
  for path in list((tmp_path / 'set').rglob('*.jpeg'))[:5]:
    image = np.asarray(Image.open(path))
    assert image.shape == (240, 320, 3)
    assert image.max() > 225, 'stretched to 255 before JPEG, from at most 199'


def test_what_cannot_be_balanced_is_said(tmp_path):
  with pytest.raises(types.UserError, match='fewer than the 6 photographs'):
    write(tmp_path / 'set', num_images=5)
  with pytest.raises(types.UserError, match='no photograph of B'):
    write(tmp_path / 'set', originals=photographs().take([0, 4]))
  assert not (tmp_path / 'set').exists()


def test_an_image_is_saved_once_and_never_over_another(tmp_path):
  image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
  path = tmp_path / saving.name('aug', 3, 7, 'png')
  saving.write(path, image, 'png')
  saving.write(path, image, 'png')
  np.testing.assert_array_equal(Image.open(path), image)
  with pytest.raises(types.UserError, match='exists with other content'):
    saving.write(path, image + 1, 'png')
  np.testing.assert_array_equal(Image.open(path), image)
  with pytest.raises(types.UserError, match='save_format'):
    saving.name('aug', 3, 7, 'gif')


def test_the_real_training_photographs_are_277_and_none_is_of_test(real_images):
  actual = kaggle.photographs(str(real_images))
  assert len(actual) == 277
  assert np.bincount(actual.label).tolist() == [75, 27, 16, 159]
  table, _ = kaggle.table(str(real_images))
  test = set(table.source[np.isin(table.split, ['TEST', 'ORIGINALS'])])
  assert not test & set(actual.source)
  assert set(table.source[table.split == 'TRAIN']) == set(actual.source)


def test_photographs_of_one_name_in_two_folders_stay_apart(tmp_path):
  known = photographs()
  # The third is what the second would be called.
  known.source[:] = ['p1/1', 'p2/1', '1_1', 'p1/2', 'p3/1', '2']
  write(tmp_path / 'set', originals=known)
  table, problems = folders.table(str(tmp_path / 'set'), str(tmp_path / 'set' / 'groups.csv'), '')
  assert not problems
  assert np.bincount(table.label).tolist() == [14, 13, 13]
  assert set(table.source) == set(known.source)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
  def once(orientation: int) -> np.ndarray:
    known, buffer, exif = photographs(), io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.open(io.BytesIO(known.content[0])).save(buffer, 'png', exif=exif)
    content = (buffer.getvalue(), *known.content[1:])
    folder = tmp_path / str(orientation)
    write(folder, originals=dataclasses.replace(known, content=content))
    return np.asarray(Image.open(next(folder.glob('TRAIN/A/00000_0000.jpeg'))), float)

  plain, turned, again = once(1), once(3), once(1)
  np.testing.assert_array_equal(plain, again)
  assert np.abs(plain - turned).mean() > 10
