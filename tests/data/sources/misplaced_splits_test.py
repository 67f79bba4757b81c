"""Test images inside class folders, or in folders named for class and split, are never trained on silently."""

from __future__ import annotations

import re

import pytest
from written import write

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders, names


def refused(folder) -> str:
  with pytest.raises(types.UserError) as error:
    folders.read(str(folder), '', '')
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize('above', ['', 'TRAIN/'])
@pytest.mark.parametrize(
  'word', ['test', 'Validation', 'hold-out', 'test_images', 'Testdaten', '测试', 'prueba']
)
def test_a_split_folder_inside_a_class_with_images_of_its_own_is_refused_and_read_above_it(
  tmp_path, above, word
):
  write(tmp_path, f'{above}A/1.png', f'{above}A/{word}/2.png', f'{above}B/3.png', f'{above}B/4.png')
  said = refused(tmp_path)
  assert f'a class folder with the split folder {word} inside; put splits above classes: {word}/A/' in said
  assert said.endswith(', and its other images into TRAIN/A/')
  # What the line says, done: the images of the split are no images of TRAIN.
  for old, new in ((f'{above}A/{word}', f'{word}/A'), (f'{above}A', 'TRAIN/A'), (f'{above}B', 'TRAIN/B')):
    (tmp_path / new).parent.mkdir(exist_ok=True)
    (tmp_path / old).rename(tmp_path / new)
  table = folders.read(str(tmp_path), '', '').table
  assert table.file[table.split != 'TRAIN'].tolist() == [f'{word}/A/2.png']


def test_a_split_folder_deeper_inside_a_class_is_refused_too(tmp_path):
  assert 'split folders test, train inside' in refused(
    write(tmp_path, 'A/p/train/1.png', 'A/p/test/2.png', 'A/p/3.png', 'B/4.png')
  )


@pytest.mark.parametrize('name', ['latest', 'test tubes', 'test 2', 'rejected', 'valve', 'patient 1'])
def test_another_single_folder_inside_a_class_is_read_and_counted(tmp_path, name):
  found = folders.read(write(tmp_path, 'A/1.png', f'A/{name}/2.png', f'A/{name}/3.png', 'B/4.png'), '', '')
  assert len(found.table) == 4
  (line,) = [line for line in found.remarks if 'sub-folder' in line]
  assert f'2 images lie in 1 sub-folder of 1 class, such as {name}; ' in line
  assert 'Move a folder away if its images are not to be used' in line
  # The controls: nothing to tell of a list, or of plain classes.
  (tmp_path / 'l.csv').write_text(f'file,label\nA/{name}/2.png,x\nB/4.png,y\n')
  assert 'sub-folder' not in '\n'.join(folders.read(str(tmp_path), '', str(tmp_path / 'l.csv')).remarks)
  plain = folders.read(write(tmp_path / 'plain', 'A/1.png', 'B/2.png'), '', '')
  assert 'sub-folder' not in '\n'.join(plain.remarks)


@pytest.mark.parametrize(
  ('one', 'other', 'class_name'),
  [
    ('test_EOSINOPHIL', 'train_EOSINOPHIL', 'EOSINOPHIL'),
    ('EOSINOPHIL_train', 'EOSINOPHIL_valid', 'EOSINOPHIL'),
    ('EOSINOPHIL', 'EOSINOPHIL.test', 'EOSINOPHIL'),
    ('Band cell', 'band_cell-val', 'Band cell'),
    ('testBasophil', 'trainBasophil', 'Basophil'),
    ('EOS-Prüfung', 'EOS-Training', 'EOS'),
  ],
)
def test_folders_named_for_a_class_and_a_split_are_refused_and_read_in_split_folders(
  tmp_path, one, other, class_name
):
  write(tmp_path, f'{one}/1.png', f'{other}/2.png', 'Z/3.png')
  said = refused(tmp_path)
  assert f'the folders {one} and {other} name a class and a split' in said
  places = re.search(r'put splits above classes, in folders of their own: (\S.*)/ and (\S.*)/$', said)
  for old, new in ((one, places[1]), (other, places[2].split('/')[0] + f'/{class_name}'), ('Z', 'TRAIN/Z')):
    (tmp_path / new).parent.mkdir(exist_ok=True)
    (tmp_path / old).rename(tmp_path / new)
  table = folders.read(str(tmp_path), '', '').table
  assert table.class_names == (class_name, 'Z')
  named = {names.split(place.split('/')[0]) for place in places.groups()}
  assert set(table.split) == {'TRAIN', *named}


def test_splits_in_the_names_of_all_classes_are_refused_though_each_has_one(tmp_path):
  assert 'test_C and train_A name a class and a split' in refused(
    write(tmp_path, 'train_A/1.png', 'train_B/2.png', 'test_C/3.png')
  )


@pytest.mark.parametrize(
  'classes',
  [
    ('test_A', 'test_B'), ('A', 'B test'), ('latest A', 'A'), ('A 1', 'A 2'), ('Test tube', 'wreck'),
    ('invalid A', 'A'), ('A', 'B', 'developing A'),
  ],
)  # fmt: skip
def test_names_that_do_not_differ_in_their_split_are_classes(tmp_path, classes):
  table = folders.read(write(tmp_path, *(f'{name}/{name}.png' for name in classes)), '', '').table
  assert sorted(table.class_names) == sorted(classes)


@pytest.mark.parametrize(
  ('name', 'split'),
  [
    ('lernen', 'TRAIN'), ('pruefen', 'TEST'), ('Trainingsdaten', 'TRAIN'), ('训练', 'TRAIN'), ('测试集', 'TEST'),
    ('Validación', 'VALIDATION'), ('entraînement', 'TRAIN'), ('Entrai\u0302nement', 'TRAIN'), ('treino', 'TRAIN'),
    ('dati_di_addestramento', 'TRAIN'), ('toets', 'TEST'), ('walidacja', 'VALIDATION'),
    ('Обучающая выборка', 'TRAIN'), ('学習用データ', 'TRAIN'), ('テスト', 'TEST'), ('검증 데이터', 'VALIDATION'),
    ('用', ''), ('中性', ''), ('Probe', ''), ('monde', ''),
  ],
)  # fmt: skip
def test_split_words_of_other_languages(name, split):
  assert names.split(name) == split
