"""What a folder is taken for: understood and told, or refused with what to pass instead, never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from written import write

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders, names, remarks

CELLS = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE')


def told(folder) -> str:
  return '\n'.join(folders.read(str(folder), '', '').remarks)


@pytest.mark.parametrize(
  ('files', 'place'),
  [
    ([f'blood-cells/{s}/{c}/1.png' for s in ('TRAIN', 'TEST') for c in CELLS], 'blood-cells'),
    ([f'blood-cells/{c}/1.png' for c in CELLS], 'blood-cells'),
    ([f'a/b/images/{s}/{c}/1.png' for s in ('Training', 'val') for c in CELLS], 'a/b/images'),
    ([f'data/{c}/{i}.png' for c in ('x', 'y') for i in (1, 2)], 'data'),
    ([f'TRAIN/TRAIN/{c}/1.png' for c in CELLS], 'TRAIN/TRAIN'),
  ],
)
def test_a_data_set_one_or_more_folders_deeper_is_refused_with_its_path(tmp_path, files, place):
  with pytest.raises(types.UserError) as error:
    folders.read(write(tmp_path, *files), '', '')
  assert str(error.value).endswith(f'--config.data.dir={tmp_path / place}')
  assert '\n' not in str(error.value)
  found = folders.read(str(tmp_path / place), '', '')
  assert len(found.table) == len(files), 'what the line says to pass is read'


@pytest.mark.parametrize(
  ('files', 'says'),
  [
    ([f'day{d}/{c}/{d}.png' for d in (1, 2) for c in CELLS], 'look like data sets of their own'),
    ([f'{h}/{c}/{h}.png' for h in ('Berlin', 'Paris') for c in CELLS], 'look like data sets of their own'),
    ([f'{c}/{s}/1.png' for s in ('train', 'test') for c in CELLS], 'put splits above classes: '),
    ([f'{s}/images/{c}/1.png' for s in ('train', 'val') for c in CELLS], 'move them up: train/EOSINOPHIL/'),
    (
      ['A/1.png', 'B/2.png', 'backup/A/1.png', 'backup/B/2.png'],
      r'holds folders named like classes beside it \(A, B',
    ),
    (['A/1.png', 'B/2.png', 'A - Copy/3.png'], 'A - Copy is named like a copy of the class A'),
    (['A/1.png', 'B/2.png', 'a (2)/3.png'], r'a \(2\) is named like a copy of the class A'),
    (['A/1.png', 'B/2.png', 'Kopie von B/3.png'], 'Kopie von B is named like a copy of the class B'),
    (['old/TRAIN/A/1.png', 'A/1.png', 'B/2.png'], 'holds the split folders TRAIN'),
  ],
)
def test_folders_that_are_not_classes_are_refused(tmp_path, files, says):
  with pytest.raises(types.UserError, match=says):
    folders.read(write(tmp_path, *files), '', '')


@pytest.mark.parametrize(
  'files',
  [
    [f'{c}/patient_{p}/{c}{p}.png' for p in range(3) for c in CELLS],
    [f'{c}/{p}/{c}{p}.png' for p in ('Ann', 'Bob') for c in CELLS],
    [f'TRAIN/{c}/slide {p}/{c}{p}.png' for p in range(3) for c in CELLS],
    [f'X/{c}/{p}/{c}{p}.png'[2:] for p in (2023, 2024) for c in ('A', 'B')],
  ],
)
def test_folders_of_patients_inside_classes_are_read_and_told(tmp_path, files):
  found = folders.read(write(tmp_path, *files), '', '')
  assert len(found.table.class_names) == len({file.split('/')[-3] for file in files})
  assert 'sub-folders of' in '\n'.join(found.remarks)
  assert 'they are not groups' in '\n'.join(found.remarks)
  inner = remarks.subfolders(found.table)
  assert set(inner.tolist()) == {file.split('/')[-2] for file in files}
  lines = ['file,group', *(f'{file},{group}' for file, group in zip(found.table.file, inner, strict=True))]
  (tmp_path.parent / f'{tmp_path.name}.csv').write_text('\n'.join(lines))
  again = folders.read(str(tmp_path), str(tmp_path.parent / f'{tmp_path.name}.csv'), '')
  assert 'each is one group' in '\n'.join(again.remarks)


def test_plain_classes_have_no_word_of_sub_folders(tmp_path):
  assert 'sub-folders' not in told(write(tmp_path, 'A/1.png', 'B/2.png'))


@pytest.mark.parametrize(
  ('name', 'split'),
  [
    ('Training', 'TRAIN'), ('TRAIN_SET', 'TRAIN'), ('train-images', 'TRAIN'), ('trainset', 'TRAIN'),
    ('dev', 'VALIDATION'), ('Valid', 'VALIDATION'), ('VAL ', 'VALIDATION'), ('Testing_Data', 'TEST'),
    ('test-set', 'TEST'),
    ('hold-out', 'TEST'), ('Test Simple', 'TEST_SIMPLE'), ('ＴＥＳＴ', 'TEST'),
    ('01_train', 'TRAIN'), ('2. Test set', 'TEST'), ('train_2', ''), ('1', ''),
    ('NEUTROPHIL', ''), ('data', ''), ('set', ''), ('latest', ''),
  ],
)  # fmt: skip
def test_split_words_are_understood_as_people_write_them(name, split):
  assert names.split(name) == split


@pytest.mark.parametrize(
  ('one', 'other'),
  [
    ('EOSINOPHIL', 'EOSINOPHIL '),
    ('Eosinophil', 'EOSINOPHIL'),
    ('band cell', 'band_cell'),
    ('band-cell', 'Band  Cell'),
    ('Mégacaryocyte', 'Me\u0301gacaryocyte'),
    ('Straße', 'STRASSE'),
    ('Band Cell', 'BandCell'),
    ('Mégacaryocyte', 'Megacaryocyte'),
    ('Ｍono', 'Mono'),
    ('T\u2011cell', 'T-cell'),
    ('Neutro.', 'Neutro'),
    ('band cell', 'band\u00a0cell'),
    ('MONO', 'M\u041eNO'),
    ('\u0391BC', 'ABC'),
  ],
)
@pytest.mark.parametrize('layout', ['TRAIN/{}/1.png TEST/{}/2.png', '{}/1.png {}/2.png'])
def test_two_spellings_of_one_class_are_refused_by_both_names(tmp_path, one, other, layout):
  first, second = layout.split()
  folder = write(tmp_path, first.format(one), second.format(other), first.format('Z'), second.format('Z'))
  with pytest.raises(types.UserError, match='are two spellings of one class') as error:
    folders.read(folder, '', '')
  assert names.spelled(one) in str(error.value)
  assert names.spelled(other) in str(error.value)


@pytest.mark.parametrize(
  ('one', 'other'),
  [
    ('Neutrophil', 'Neutrophils'),
    ('EOSINOPHIL', 'eosinophils'),
    ('band cell', 'Band_Cells'),
    ('blast', 'Blasts'),
  ],
)
@pytest.mark.parametrize('layout', ['TRAIN/{}/1.png TEST/{}/2.png', '{}/1.png {}/2.png'])
def test_a_class_in_the_singular_and_the_plural_is_refused_by_both_names(tmp_path, one, other, layout):
  first, second = layout.split()
  folder = write(tmp_path, first.format(one), second.format(other), first.format('Z'), second.format('Z'))
  with pytest.raises(types.UserError, match='are one class in the singular and the plural; give') as error:
    folders.read(folder, '', '')
  assert one in str(error.value)
  assert other in str(error.value)
  (tmp_path / second.format(other)).parent.rename((tmp_path / second.format(one)).parent.with_name('W'))
  assert folders.read(folder, '', '').table.class_names


def test_names_that_are_no_number_of_one_another_are_classes_of_their_own(tmp_path):
  files = (
    'Segmented neutrophil/1.png',
    'Neutrophils/2.png',
    'Band neutrophils/3.png',
    'smear/4.png',
    'smears/5.png',
  )
  assert len(folders.read(write(tmp_path, *files), '', '').table.class_names) == 5


def test_names_that_a_reader_tells_apart_are_two_classes(tmp_path):
  found = folders.read(write(tmp_path, 'band 1/1.png', 'band 2/2.png', 'bands/3.png'), '', '')
  assert len(found.table.class_names) == 3


def test_an_empty_split_and_one_image_in_two_classes_are_told(tmp_path):
  write(tmp_path, 'train/A/1.png', 'train/B/2.png')
  (tmp_path / 'test').mkdir()
  (tmp_path / 'train/B/1.png').write_bytes((tmp_path / 'train/A/1.png').read_bytes())
  said = told(tmp_path)
  assert 'TEST: no image in its folder test' in said
  assert (
    '1 image is in two classes, such as train/A/1.png and train/B/1.png: one of the labels is wrong' in said
  )
  (tmp_path / 'train/B/1.png').unlink()
  write(tmp_path, 'test/A/3.png', 'test/B/4.png')
  assert 'no image in' not in told(tmp_path)
  assert 'two classes' not in told(tmp_path)


@pytest.mark.parametrize('name', ['unclassified', 'Unclassified', 'UNCLASSIFIED (unlike)', ' unclassified'])
def test_the_words_for_what_is_left_for_review_name_no_class(tmp_path, name):
  with pytest.raises(types.UserError, match='a class cannot be called'):
    folders.read(write(tmp_path, f'{name}/1.png', 'A/2.png'), '', '')
  (tmp_path / 'l.csv').write_text(f'file,label\nA/2.png,{name}\n')
  with pytest.raises(types.UserError, match=r'l\.csv: a class cannot be called'):
    folders.read(str(tmp_path), '', str(tmp_path / 'l.csv'))


@pytest.mark.parametrize(
  ('files', 'says'),
  [
    (
      ('TRAIN/A/1.png', 'TRAIN/B/2.png', 'TEST/A/3.png', 'TEST/C/4.png'),
      'TEST has the class C (TEST/C/4.png)',
    ),
    (('train/A/1.png', 'train/B/2.png', 'val/C/3.png'), 'VALIDATION has the class C (val/C/3.png)'),
    (('A/1.png', 'A/2.png'), 'has one class to train on, A (2 images)'),
    (('TRAIN/A/1.png', 'TEST/A/2.png'), 'has one class to train on, A (1 images)'),
    (('TRAIN/A/1.png', 'TRAIN/B/2.png', 'TEST/A/3.png'), ''),
    (('TEST/A/1.png', 'TEST/B/1.png'), ''),
  ],
)
def test_what_no_network_can_learn_is_one_line(tmp_path, files, says):
  text = remarks.untaught(folders.read(write(tmp_path, *files), '', '').table)
  assert says in text
  assert bool(says) == bool(text)
  assert '\n' not in text


def test_a_class_that_a_split_lacks_is_told_with_what_follows(tmp_path):
  write(tmp_path, 'TRAIN/A/1.png', 'TRAIN/B/2.png', 'VAL/A/3.png', 'VAL/B/5.png', 'TEST/B/4.png')
  assert 'TEST has no image of A: no recall can be given there' in told(tmp_path)
  assert 'VALIDATION has no image' not in told(tmp_path)
  (tmp_path / 'VAL/A/3.png').unlink()
  (tmp_path / 'VAL/A').rmdir()
  assert 'VALIDATION has no image of A: the epoch and the threshold are chosen without that' in told(tmp_path)


@pytest.mark.parametrize(
  'run',
  [
    ('config.json', 'environment.json', 'figures/history.png'),
    ('config.json', 'checkpoints/1/x', 'figures/a.png'),
    ('config.json',),
    ('predict.json', 'predictions.csv', 'review.png'),
    ('audit.json', 'groups.csv', 'figures/near.png'),
    ('model.json', 'model_card.md', 'x.png'),
  ],
)
@pytest.mark.parametrize('place', ['runs/default', 'runs', 'A/of last week', 'TRAIN/x'])
def test_a_folder_of_runs_inside_the_data_is_no_class_and_counted(tmp_path, run, place):
  prefix = 'TRAIN/' if place.startswith('TRAIN') else ''
  write(tmp_path, f'{prefix}A/1.png', f'{prefix}B/2.png', *(f'{place}/{file}' for file in run))
  found = folders.read(str(tmp_path), '', '')
  assert found.table.class_names == ('A', 'B')
  assert len(found.table) == 2
  assert found.problems == []
  assert '1 folder' in '\n'.join(found.remarks)
  assert 'run or result of this program' in '\n'.join(found.remarks)


def test_an_ordinary_folder_with_a_config_is_a_class(tmp_path):
  found = folders.read(write(tmp_path, 'A/1.png', 'A/config.json', 'B/2.png'), '', '')
  assert found.table.class_names == ('A', 'B')


def test_files_of_a_list_are_found_under_names_that_read_the_same(tmp_path):
  folder = write(tmp_path / 'd', 'A/Zelle u\u0308.png', 'B/2.PNG')
  groups, labels = tmp_path / 'groups.csv', tmp_path / 'labels.csv'
  groups.write_text('file,group\nA/Zelle ü.png,g\nb/2.png,g\n', encoding='utf-8')
  assert set(folders.read(folder, str(groups), '').table.group.tolist()) == {'g'}
  labels.write_text('file,label\nA/Zelle ü.png,x\nb/2.png,y\n', encoding='utf-8')
  assert sorted(folders.read(folder, '', str(labels)).table.file.tolist()) == [
    'A/Zelle u\u0308.png',
    'B/2.PNG',
  ]
  labels.write_text('file,label\nA/Zelle o.png,x\n', encoding='utf-8')
  with pytest.raises(types.UserError, match='is not a file in the folder'):
    folders.read(folder, '', str(labels))


def test_equal_images_are_told_and_not_only_counted_as_few_groups(tmp_path):
  from bloodcell_jax.data.division import splits

  for i in range(20):
    write(tmp_path, f'B/{i}.png')
    (tmp_path / 'A').mkdir(exist_ok=True)
    (tmp_path / 'A' / f'{i}.png').write_bytes(b'the same')
  found = folders.read(str(tmp_path), '', '')
  assert '19 images are copies of others (equal files)' in '\n'.join(found.remarks)
  with pytest.raises(types.UserError, match='of its 20 images all are the same file'):
    splits.hold_out(found.table, np.arange(40), 0.2, 0, 'data.validation_fraction')
