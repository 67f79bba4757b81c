"""The split of each image of a list of labels: whichever column says it, no held-out image is trained on unsaid."""

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders

FILES = ('a.png', 'b.png', 'c.png', 'd.png')


@pytest.fixture
def folder(tmp_path):
  for name in (*FILES, 'TEST/e.png'):
    path = tmp_path / 'images' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())
  return tmp_path / 'images'


def listed(folder, columns, cells, name='labels.csv', files=FILES):
  """The path of a list whose rows have these cells behind the file and the label."""
  path = folder.parent / name
  rows = [f'{file},{"AB"[i % 2]},{cell}' for i, (file, cell) in enumerate(zip(files, cells, strict=True))]
  path.write_text('\n'.join([f'file,label,{columns}', *rows]) + '\n', encoding='utf-8')
  return str(path)


def splits(folder, *lists):
  return folders.table(str(folder), '', ','.join(lists))[0].split.tolist()


def remarks(folder, *lists):
  return '\n'.join(folders.read(str(folder), '', ','.join(lists)).remarks)


def refusal(folder, *lists):
  with pytest.raises(types.UserError) as error:
    splits(folder, *lists)
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize(
  ('cells', 'line'),
  [
    (('train', '', 'test', ''), 3),
    (('train', 'test', 'NA', 'test'), 4),
    (('train', 'test', '-', 'None'), 4),
    (('', '', '', 'val'), 2),
  ],
)
def test_a_line_without_a_split_beside_others_is_refused(folder, cells, line):
  said = refusal(folder, listed(folder, 'split', cells))
  assert f'labels.csv: line {line} has no split in the column split' in said
  assert 'fill the cell' in said
  assert 'leave the column out' in said


def test_a_column_without_any_split_is_none_and_a_folder_may_say_it(folder):
  assert splits(folder, listed(folder, 'split', ('', '', 'NA', ''))) == ['TRAIN'] * 4
  files = ('a.png', 'b.png', 'c.png', 'TEST/e.png')
  assert splits(folder, listed(folder, 'split', ('train', 'val', 'train', ''), files=files))[-1] == 'TEST'


@pytest.mark.parametrize(
  'column',
  [
    'set',
    'Partition',
    'Data Split',
    'subset',
    'is_test',
    'fold',
    'usage',
    'Dataset',
    'what my student calls it',
  ],
)
def test_a_column_of_split_words_is_read_and_told_whatever_its_name(folder, column):
  path = listed(folder, column, ('Training', 'test', 'val', 'train'))
  assert splits(folder, path) == ['TRAIN', 'TEST', 'VALIDATION', 'TRAIN']
  shown = column.lower().replace(' ', '_')
  assert f'the splits are those in the column {shown} of the list of labels' in remarks(folder, path)
  assert 'not read' not in remarks(folder, path)


@pytest.mark.parametrize(
  ('column', 'cells'),
  [
    ('set', ('1', '2', '1', '2')),
    ('fold', ('0', '1', '2', '3')),
    ('quality', ('valid', 'valid', 'valid', 'valid')),
    ('is_valid', ('1', '1', '0', '1')),
    ('phase', ('test', 'baseline', 'test', 'baseline')),
  ],
)
def test_a_column_of_another_meaning_is_no_split_and_named(folder, column, cells):
  path = listed(folder, column, cells)
  assert splits(folder, path) == ['TRAIN'] * 4
  assert f'not read of the list of labels: the column {column}' in remarks(folder, path)


def test_a_word_that_is_no_split_is_not_lost_beside_split_words(folder):
  said = refusal(folder, listed(folder, 'usage', ('Training', 'PublicTest', 'Training', 'PrivateTest')))
  assert "line 3 has the split 'PublicTest' in the column usage; write" in said
  assert 'line 3 has no split in the column set' in refusal(
    folder, listed(folder, 'set', ('train', '', 'test', ''))
  )


@pytest.mark.parametrize(
  ('columns', 'cells', 'expected'),
  [
    ('is_test', ('0', '1', '0', '1'), ['TRAIN', 'TEST', 'TRAIN', 'TEST']),
    ('In Test Set', ('no', 'yes', 'No', 'YES'), ['TRAIN', 'TEST', 'TRAIN', 'TEST']),
    ('is_train,is_test', ('1,0', '0,1', 'True,False', '1,0'), ['TRAIN', 'TEST', 'TRAIN', 'TRAIN']),
    ('is_val,is_test', ('0,0', '0,1', '1,0', '0,0'), ['TRAIN', 'TEST', 'VALIDATION', 'TRAIN']),
  ],
)
def test_columns_of_yes_and_no_say_the_split(folder, columns, cells, expected):
  assert splits(folder, listed(folder, columns, cells)) == expected


@pytest.mark.parametrize(
  ('columns', 'cells', 'message'),
  [
    ('is_train', ('1', '0', '1', '1'), 'line 3 is in no split by the column is_train; write a column split'),
    (
      'is_val,is_test',
      ('0,0', '1,1', '0,0', '0,0'),
      'line 3 is in TEST and VALIDATION by the columns is_val and',
    ),
    ('is_test', ('x', '', '', 'x'), 'line 3 has no split in the column is_test'),
    (
      'split,subset',
      ('train,train', 'test,train', 'train,train', 'test,test'),
      'line 3 is in TEST by the column split and in TRAIN by the column subset',
    ),
  ],
)
def test_columns_that_leave_the_split_open_are_refused(folder, columns, cells, message):
  assert message in refusal(folder, listed(folder, columns, cells))


def test_two_lists_of_one_image_keep_the_split_that_one_of_them_names(folder):
  split = listed(folder, 'split', ('train', 'test', 'train', 'test'))
  without = listed(folder, 'note', ('', '', '', ''), 'corrections.csv')
  expected = ['TRAIN', 'TEST', 'TRAIN', 'TEST']
  assert splits(folder, split, without) == splits(folder, without, split) == expected
  other = listed(folder, 'split', ('train', 'train', 'train', 'test'), 'other.csv')
  assert 'a second time, which is B in TEST in ' in refusal(folder, split, other)


def test_what_a_list_without_splits_adds_to_one_with_them_is_told(folder):
  split = listed(folder, 'split', ('train', 'test', 'test'), files=FILES[:3])
  added = listed(folder, 'note', ('',), 'more.csv', files=FILES[3:])
  assert splits(folder, split, added) == ['TRAIN', 'TEST', 'TEST', 'TRAIN']
  assert f'1 image of {added}, which names no split: in TRAIN' in remarks(folder, split, added)
  # Negative control: lists without any split.
  assert 'names no split' not in remarks(folder, added, listed(folder, 'note', ('', '', ''), files=FILES[:3]))


def test_every_column_that_is_not_read_is_named_and_empty_ones_are_not(folder):
  cells = ('x,7,', 'y,8,', 'x,7,', 'y,,')
  said = remarks(folder, listed(folder, 'microscope,grade,spare', cells))
  assert 'not read of the list of labels: the columns microscope, grade' in said
  assert 'spare' not in said
  assert 'groups_csv' not in said


@pytest.mark.parametrize(
  'column', ['patient_no', 'Specimen', 'case', 'donor', 'smear', 'Slide ID', 'PatientID']
)
def test_a_column_like_a_patient_is_named_with_the_advice_to_make_groups(folder, column):
  path = listed(folder, f'{column},note', ('1,x', '1,x', '2,x', '2,x'))
  said = remarks(folder, path)
  assert f'the column {column.lower().replace(" ", "_")} of the list of labels is not read' in said
  assert '--config.data.groups_csv' in said
  assert 'not read of the list of labels: the column note' in said


def test_what_the_review_page_writes_is_not_told(folder):
  columns = 'machine_label,confidence,model,time'
  assert 'not read' not in remarks(folder, listed(folder, columns, ['A,0.5,run,2026'] * 4))
  # Negative control: in another list such a column has another meaning.
  assert 'the columns model, time' in remarks(folder, listed(folder, 'model,time', ['BX51,9:00'] * 4))


@pytest.mark.parametrize(
  ('columns', 'cells', 'advice', 'mended', 'done'),
  [
    ('split', ('train', '', 'test', ''), 'fill the cell', 'split', ('train', 'train', 'test', 'test')),
    ('split', ('train', '', 'test', ''), 'leave the column out', 'note', ('', '', '', '')),
    ('is_train', ('1', '0', '0', '1'), 'write a column split instead', 'split', ('train', 'test', 'val', 'train')),
    ('split,set', ('train,train', 'test,train', 'test,test', 'val,val'), 'correct it, or remove one of the columns',
     'split', ('train', 'test', 'test', 'val')),
  ],
)  # fmt: skip
def test_what_a_refusal_says_is_done(folder, columns, cells, advice, mended, done):
  assert advice in refusal(folder, listed(folder, columns, cells))
  said = {'train': 'TRAIN', 'test': 'TEST', 'val': 'VALIDATION', '': 'TRAIN'}
  assert splits(folder, listed(folder, mended, done)) == [said[cell] for cell in done]
