"""Several laboratories' folders as one data set."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.division import splits
from bloodcell_jax.data.sources import laboratories

NUM = 5


def write(folder, classes, split_names=('TRAIN', 'TEST'), seed=0):
  draw = np.random.default_rng(seed)
  for split in split_names:
    for name in classes:
      (folder / split / name).mkdir(parents=True)
      for i in range(NUM):
        image = draw.integers(0, 255, (12, 12, 3), np.uint8)
        Image.fromarray(image).save(folder / split / name / f'{i}{seed}.png')


@pytest.fixture
def two(tmp_path):
  """Laboratory a has a class more; b has a validation split and other spellings."""
  write(tmp_path / 'a', ('BASOPHIL', 'MONOCYTE', 'NEUTROPHIL'), seed=1)
  write(tmp_path / 'b', ('monocyte', 'neutrophil'), ('TRAIN', 'val', 'TEST'), seed=2)
  return tmp_path


def test_laboratories_are_joined_and_every_group_says_whose_it_is(two):
  found = laboratories.read(str(two))
  table = found.table
  assert table.class_names == ('MONOCYTE', 'NEUTROPHIL')
  assert len(table) == NUM * (4 + 6)
  assert {group.split('/')[0] for group in table.group} == {'a', 'b'}
  assert (
    np.array([file[0] for file in table.file])
    == np.array(['a', 'b'])[laboratories.numbers(table.group, laboratories.NAME)]
  ).all()
  for i in range(len(table)):
    assert table.class_names[table.label[i]].lower() in table.file[i].lower()
  assert any('BASOPHIL' in line for line in found.remarks)


def test_validation_is_held_out_of_all_where_one_has_none(two):
  table = laboratories.read(str(two)).table
  assert set(table.split) == {'TRAIN', 'TEST'}
  rows = splits.rows(table, 0.4, 0.0, 0)
  assert not set(table.group[rows['train']]) & set(table.group[rows['validation']])
  write(two / 'a', ('MONOCYTE', 'NEUTROPHIL'), ('VAL',), seed=3)
  assert set(laboratories.read(str(two)).table.split) == {'TRAIN', 'VALIDATION', 'TEST'}


def test_test_images_of_every_laboratory_stay_out_of_training(two):
  table = laboratories.read(str(two)).table
  rows = splits.rows(table, 0.2, 0.0, 0)
  trained = {table.file[i] for i in (*rows['train'], *rows['validation'])}
  assert len(rows['test']) == 4 * NUM
  assert not any('/TEST/' in file for file in trained)
  assert any('/TRAIN/' in file for file in trained)


def test_what_cannot_be_joined_is_refused(tmp_path):
  with pytest.raises(types.UserError, match='no such folder'):
    laboratories.read(str(tmp_path / 'missing'))
  (tmp_path / 'empty').mkdir()
  with pytest.raises(types.UserError, match='needs a folder for each laboratory'):
    laboratories.read(str(tmp_path / 'empty'))
  write(tmp_path / 'x' / 'a', ('MONOCYTE', 'NEUTROPHIL'))
  write(tmp_path / 'x' / 'b', ('LYMPHOCYTE', 'MONOCYTE'), seed=1)
  with pytest.raises(types.UserError, match='share 1 classes'):
    laboratories.read(str(tmp_path / 'x'))


def test_classes_that_get_equal_names_as_the_line_says_are_shared(tmp_path):
  write(tmp_path / 'a', ('MONO', 'NEUTROPHIL'), seed=1)
  write(tmp_path / 'b', ('MONOCYTE', 'NEUTROPHIL'), seed=2)
  with pytest.raises(
    types.UserError, match=r'the laboratories share 1 classes.*; give equal classes equal names'
  ):
    laboratories.read(str(tmp_path))
  for split in ('TRAIN', 'TEST'):
    (tmp_path / 'a' / split / 'MONO').rename(tmp_path / 'a' / split / 'MONOCYTE')
  assert laboratories.read(str(tmp_path)).table.class_names == ('MONOCYTE', 'NEUTROPHIL')
