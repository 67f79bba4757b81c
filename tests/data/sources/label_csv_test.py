"""Labels from a list, such as the review page's, make a data set of files that lie anywhere."""

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import folders, label_csv


@pytest.fixture
def folder(tmp_path):
  for name in ('slide 1/a.png', 'b.png', 'TEST/c.png', 'TEST/unlabelled.png'):
    (tmp_path / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / 'images' / name).write_bytes(name.encode())
  return tmp_path / 'images'


def listed(folder, text):
  path = folder.parent / 'labels.csv'
  path.write_text(text, encoding='utf-8')
  return str(path)


def test_a_list_of_labels_stands_in_the_place_of_class_folders(folder):
  path = listed(folder, '\ufefffile,label\nslide 1\\a.png,B\nb.png,A\nTEST/c.png,A\n')
  table, problems = folders.table(str(folder), '', path)
  assert table.file.tolist() == ['slide 1/a.png', 'b.png', 'TEST/c.png']
  assert [table.class_names[k] for k in table.label] == ['B', 'A', 'A']
  assert table.split.tolist() == ['TRAIN', 'TRAIN', 'TEST']
  assert problems == []
  # Negative control: without the list these folders are no classes.
  with pytest.raises(types.UserError, match='is beside split folders'):
    folders.table(str(folder), '', '')


def test_what_the_review_page_exports_is_such_a_list(folder):
  digest = image_files.sha256_16((folder / 'b.png').read_bytes())
  head = 'file,sha256_16,machine_label,human_label,confidence,model,time'
  path = listed(folder, f'{head}\nb.png,{digest},unclassified,A,0.4,run x,2026-01-01T00:00:00Z\n')
  table, _ = folders.table(str(folder), '', path)
  assert (table.file.tolist(), table.class_names) == (['b.png'], ('A',))
  # Columns of boxes that are empty, as for a whole photograph beside others that hold several cells.
  head = head.replace('file,', 'file,cell,left,top,right,bottom,')
  boxed = listed(folder, f'{head}\nb.png,1,,,,,{digest},unclassified,A,0.4,run x,2026-01-01T00:00:00Z\n')
  assert folders.table(str(folder), '', boxed)[0].file.tolist() == ['b.png']
  (folder / 'b.png').write_bytes(b'another image')
  with pytest.raises(types.UserError, match=r'b\.png has changed since it was labelled'):
    folders.table(str(folder), '', path)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('name,label\n', 'must name the column file'),
    ('file,name\nb.png,A\n', 'must name the columns file and label or human_label'),
    ('file,label\n', 'has no line with a label'),
    ('file,label\nb.png,\n', 'line 2 lacks a file or a label (NA'),
    ('file,label\nb.png,A\n./b.png,B\n', 'line 3 names b.png a second time'),
    ('file,label\n../x.png,A\n', 'line 2 names ../x.png, which is not inside'),
    ('file,label\nb.png,../../A\n', 'a label has no slash'),
    ('file,label\nnone.png,A\n', 'none.png is not a file'),
    ('file,cell,left,top,right,bottom,label\nb.png,1,0,0,9,9,A\n', 'line 2 labels a part of b.png'),
  ],
)
def test_a_wrong_line_is_named(folder, text, message):
  with pytest.raises(types.UserError) as error:
    folders.table(str(folder), '', listed(folder, text))
  assert message in str(error.value)
  assert 'labels.csv' in str(error.value) or 'none.png' in str(error.value)
  with pytest.raises(types.UserError, match=r'set --config\.data\.labels_csv'):
    label_csv.read(str(folder / 'nowhere.csv'), str(folder))


def test_a_label_is_in_the_first_of_both_columns_that_is_not_empty(folder):
  text = 'file,label,human_label\nb.png,,A\n'
  assert folders.table(str(folder), '', listed(folder, text))[0].class_names == ('A',)
  assert label_csv.of_row('', {'label': 'B', 'human_label': 'A'}) == 'B'


@pytest.mark.parametrize('marks', ["''", '\u201c\u201d', '\u201e\u201c', '\u2018\u2019'])
def test_quotation_marks_that_a_program_left_are_no_part_of_names(folder, marks):
  first, last = marks
  text = f'file,label\n{first}b.png{last},{first}A{last}\nslide 1/a.png,A\n'
  table, _ = folders.table(str(folder), '', listed(folder, text))
  assert (table.class_names, sorted(table.file.tolist())) == (('A',), ['b.png', 'slide 1/a.png'])


@pytest.mark.parametrize('name', ['b', 'b.jpg', 'B.tif', 'slide 1/a.tif'])
def test_a_file_that_is_not_there_is_told_with_the_one_that_is_meant(folder, name):
  with pytest.raises(types.UserError, match=r'not a file in the folder.* \((b|slide 1/a)\.png is there\)$'):
    folders.table(str(folder), '', listed(folder, f'file,label\n{name},A\n'))
  # Negative control: nothing of that name.
  with pytest.raises(types.UserError, match=r'correct or remove the line$'):
    folders.table(str(folder), '', listed(folder, 'file,label\nzz.png,A\n'))


REAL = '05950602088419e7'


@pytest.mark.parametrize('given', ['', REAL, f'sha256:{REAL}', f' SHA256:{REAL.upper()} '])
def test_a_digest_is_read_with_and_without_its_mark(given):
  label_csv.check_digest(label_csv.Label('b.png', 'A', given.strip(), 'x.csv: line 2'), REAL)


@pytest.mark.parametrize(
  ('given', 'real'),
  [
    ('5.95E+19', REAL),  # Excel
    ('5,95E+19', REAL),  # Excel, where the decimal sign is a comma
    ('5.950602088419e+19', REAL),  # pandas
    ('5.950602e+19', REAL),  # R
    ('59506020884190000000', REAL),  # LibreOffice
    ('1.23456789012346E+15', '1234567890123456'),
    ('1234567890123450', '1234567890123456'),
    ('inf', '12345678e9012345'),
    ('0', '00000000e1234567'),
    ('########', REAL),
  ],
)
def test_a_digest_that_became_a_number_is_not_called_a_change_of_the_image(given, real):
  one = label_csv.Label('b.png', 'A', given, 'x.csv: line 2')
  with pytest.raises(
    types.UserError, match=r'^x\.csv: line 2: a spreadsheet changed the digest of b\.png'
  ) as error:
    label_csv.check_digest(one, real)
  assert 'changed since' not in str(error.value)
  # Negative control: another image is one that has changed.
  with pytest.raises(types.UserError, match='has changed since it was labelled'):
    label_csv.check_digest(label_csv.Label('b.png', 'A', f'sha256:{REAL}', 'x.csv: line 2'), 'f' * 16)


def test_leading_zeros_that_a_spreadsheet_took_are_no_change():
  label_csv.check_digest(label_csv.Label('b.png', 'A', '12345678901234', ''), '0012345678901234')


def test_files_are_found_as_a_person_reads_their_names(folder):
  (folder / 'Zellen u\u0308.png').write_bytes(b'decomposed')
  path = listed(folder, 'file;label\nSLIDE 1\\A.PNG;B\n b.png ;A\nZellen \u00fc.png;A\n')
  table, _ = folders.table(str(folder), '', path)
  assert table.file.tolist() == ['slide 1/a.png', 'b.png', 'Zellen u\u0308.png']
  # Of two files that differ in case alone neither is guessed.
  (folder / 'B.png').write_bytes(b'another')
  path = listed(folder, 'file,label\nb.PNG,A\n')
  if len(list(folder.glob('[bB].png'))) == 2:
    with pytest.raises(types.UserError, match=r'line 2: b\.PNG is not a file'):
      folders.table(str(folder), '', path)


def test_several_lists_are_one_and_a_list_may_lie_beside_its_images(folder):
  first = listed(folder, 'file,label\nb.png,A\n')
  inside = folder / 'slide 1' / 'corrections.csv'
  inside.write_text('file,human_label\na.png,B\n')
  table, _ = folders.table(str(folder), '', f'{first}, {inside}')
  assert table.file.tolist() == ['b.png', 'slide 1/a.png']
  assert [table.class_names[k] for k in table.label] == ['A', 'B']
  # The same image with one label in both is one image, with two it is refused.
  inside.write_text('file,human_label\nb.png,A\na.png,B\n')
  assert len(folders.table(str(folder), '', f'{first},{inside}')[0]) == 2
  inside.write_text('file,human_label\nb.png,B\n')
  with pytest.raises(
    types.UserError, match=r'corrections\.csv: line 2 names b\.png a second time, which is A in'
  ):
    folders.table(str(folder), '', f'{first},{inside}')


def test_a_path_with_a_comma_is_one_list(folder):
  path = folder.parent / 'Monday, 9.csv'
  path.write_text('file,label\nb.png,A\n')
  assert label_csv.paths(str(path)) == [str(path)]
  assert label_csv.paths('a.csv, b.csv') == ['a.csv', 'b.csv']


def test_the_column_split_says_which_images_are_not_trained_on(folder):
  path = listed(folder, 'file,label,Split\nslide 1/a.png,A,train\nb.png,B,test set\nTEST/c.png,A,\n')
  table, _ = folders.table(str(folder), '', path)
  assert table.split.tolist() == ['TRAIN', 'TEST', 'TEST']
  wrong = listed(folder, 'file,label,split\nb.png,B,7\n')
  with pytest.raises(types.UserError, match="line 2 has the split '7'; write ORIGINALS, TEST"):
    folders.table(str(folder), '', wrong)


def test_a_column_of_patients_that_is_not_read_is_told(folder):
  path = listed(folder, 'file,label,patient_id\nslide 1/a.png,A,P1\nb.png,B,P1\n')
  assert 'the column patient_id of the list of labels is not read' in '\n'.join(
    folders.read(str(folder), '', path).remarks
  )
  # As the advice says: the same list names the groups.
  both = listed(folder, 'file,label,group\nslide 1/a.png,A,P1\nb.png,B,P1\n')
  found = folders.read(str(folder), both, both)
  assert found.table.group.tolist() == ['P1', 'P1']
  assert 'is not read' not in '\n'.join(found.remarks)


@pytest.mark.parametrize('other', ['p1 ', 'P1.', 'P 1'])
def test_a_patient_of_two_spellings_is_refused(folder, other):
  labels = listed(folder, 'file,label\nslide 1/a.png,A\nb.png,B\n')
  groups = folder.parent / 'groups.csv'
  groups.write_text(f'file,group\nslide 1/a.png,P1\nb.png,"{other}"\n', encoding='utf-8')
  if other == 'P 1':  # the control: a blank makes another name
    assert len(set(folders.table(str(folder), str(groups), labels)[0].group.tolist())) == 2
    return
  with pytest.raises(types.UserError, match='are two spellings of one group; give them one name') as error:
    folders.table(str(folder), str(groups), labels)
  assert 'P1 (slide 1/a.png)' in str(error.value)


def test_a_group_of_a_base_name_is_told_with_the_file_that_is_meant(folder):
  labels = listed(folder, 'file,label\nslide 1/a.png,A\nb.png,B\n')
  groups = folder.parent / 'groups.csv'
  groups.write_text('file,group\na.png,P1\nb.png,P2\n', encoding='utf-8')
  with pytest.raises(
    types.UserError, match=r'names a\.png, which is not an image .* \(slide 1/a\.png is there\)'
  ):
    folders.table(str(folder), str(groups), labels)


def test_groups_of_the_whole_folder_fit_a_list_that_labels_some_of_its_images(folder):
  labels = listed(folder, 'file,label\nslide 1/a.png,A\nb.png,B\n')
  groups = folder.parent / 'groups.csv'
  whole = 'file,group\nslide 1/a.png,P1\nb.png,P2\nTEST/c.png,P1\nTEST/unlabelled.png,P3\n'
  elsewhere = whole.replace('\n', '\nD:/cells/').removesuffix('D:/cells/')
  for text in (whole, whole.replace('\nTEST', f'\n{folder}/TEST'), elsewhere):
    groups.write_text(text, encoding='utf-8')
    assert folders.table(str(folder), str(groups), labels)[0].group.tolist() == ['P1', 'P2']
  # Negative controls: what is no image of the folder, and a labelled image without a group.
  (folder / 'notes.txt').write_text('x')
  (folder.parent / 'outside.png').write_text('x')
  for name in ('gone.png', 'notes.txt', 'TEST', '../outside.png', f'{folder.parent}/outside.png'):
    groups.write_text(f'{whole}{name},P4\n', encoding='utf-8')
    with pytest.raises(types.UserError, match=r'line 6 names .*, which is not an image of the folder'):
      folders.table(str(folder), str(groups), labels)
  groups.write_text(whole.replace('b.png', 'TEST/c.png'), encoding='utf-8')
  with pytest.raises(types.UserError, match=r'has no line for b\.png'):
    folders.table(str(folder), str(groups), labels)


def test_the_group_of_an_image_without_a_label_is_not_that_of_a_labelled_one_of_a_like_name(folder):
  inner = folder / folder.name / 'b.png'
  inner.parent.mkdir()
  inner.write_bytes(b'another')
  labels = listed(folder, 'file,label\nslide 1/a.png,A\nb.png,B\n')
  groups = folder.parent / 'groups.csv'
  for name in ('images/b.png', str(inner)):
    groups.write_text(f'file,group\n{name},P9\nslide 1/a.png,P1\nb.png,P2\n', encoding='utf-8')
    assert folders.table(str(folder), str(groups), labels)[0].group.tolist() == ['P1', 'P2']
  # Negative control: without that image the name is that of the labelled one.
  inner.unlink()
  groups.write_text('file,group\nimages/b.png,P9\nslide 1/a.png,P1\nb.png,P2\n', encoding='utf-8')
  with pytest.raises(types.UserError, match=r'line 4 names b\.png a second time'):
    folders.table(str(folder), str(groups), labels)
