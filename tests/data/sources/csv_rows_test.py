"""CSV files that users write, sound, damaged and hostile: rows, or one line that names the file."""

from __future__ import annotations

import mutation
import numpy as np
import pytest
import victims

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import csv_rows, folders, label_csv

SOUND = {
  'groups': b'file,group,source\nA/a.png,1,x\nA/b.png,2,y\n',
  'labels': b'file,label,sha256_16\nA/a.png,X,\nA/b.png,Y,\n',
  'inputs': b'file\nimages/A/a.png\nimages/A/b.png\n',
  'predictions': b'file,label,group,predicted,confidence,prob_A,prob_B\na,A,g,A,0.9,0.9,0.1\nb,B,h,A,0.6,0.6,0.4\n',
}


def test_rows_come_with_the_words_that_name_their_lines(tmp_path):
  path = tmp_path / 'x.csv'
  path.write_text('\ufefffile,group\na.png,1\n"b, c.png",\n')
  assert csv_rows.read(str(path), ('file', 'group'), '') == [
    (f'{path}: line 2', {'file': 'a.png', 'group': '1'}),
    (f'{path}: line 3', {'file': 'b, c.png', 'group': ''}),
  ]


@pytest.mark.parametrize('name', ['a,b.png', '1,a.png', 'a;b.png'])
def test_a_quoted_name_that_holds_a_separator_stays_whole_where_there_is_one_column(name, tmp_path):
  path = tmp_path / 'x.csv'
  path.write_text(f'file\n"{name}"\n"{name}2"\n')
  assert [row['file'] for _, row in csv_rows.read(str(path), ('file',), '')] == [name, f'{name}2']


TABLE = [('a.png', 'A'), ('b, c.png', 'B'), ('ü.png', 'Ç')]
# The table as programs save it.
SAVED = {
  'Excel, CSV UTF-8': '\ufefffile,label\r\na.png,A\r\n"b, c.png",B\r\nü.png,Ç\r\n'.encode(),
  'Excel, semicolons': '\ufefffile;label\r\na.png;A\r\nb, c.png;B\r\nü.png;Ç\r\n'.encode(),
  'Excel, Unicode text': 'file\tlabel\r\na.png\tA\r\nb, c.png\tB\r\nü.png\tÇ\r\n'.encode('utf-16'),
  'big-endian': '\ufefffile\tlabel\na.png\tA\nb, c.png\tB\nü.png\tÇ\n'.encode('utf-16-be'),
  'UTF-16 without a mark': 'file\tlabel\na.png\tA\nb, c.png\tB\nü.png\tÇ\n'.encode('utf-16-le'),
  'old Macintosh': 'file,label\ra.png,A\r"b, c.png",B\rü.png,Ç\r'.encode(),
  'a line for Excel': 'sep=;\r\nfile;label\r\na.png;A\r\nb, c.png;B\r\nü.png;Ç\r\n'.encode(),
  'one cell a line': '"file,label"\r\n"a.png,A"\r\n"""b, c.png"",B"\r\n"ü.png,Ç"\r\n'.encode(),
  'pandas with an index': ',file,label\n0,a.png,A\n1,"b, c.png",B\n2,ü.png,Ç\n'.encode(),
  'R, write.csv': '"","file","label"\n"1","a.png","A"\n"2","b, c.png","B"\n"3","ü.png","Ç"\n'.encode(),
  'R, write.csv2': '"";"file";"label"\n"1";"a.png";"A"\n"2";"b, c.png";"B"\n"3";"ü.png";"Ç"\n'.encode(),
  'R, write.table': '"file" "label"\n"1" "a.png" "A"\n"2" "b, c.png" "B"\n"3" "ü.png" "Ç"\n'.encode(),
  'empty cells all around': '\n File ,"LABEL",,\na.png,A,,\n,,,\n"b, c.png",B,,\nü.png,Ç\n,,,\n'.encode(),
  'decimal commas': 'file;label;confidence\na.png;A;0,9\nb, c.png;B;0,8\nü.png;Ç;0,7\n'.encode(),
  'a line for Excel, tabs': 'sep=\t\r\nfile\tlabel\r\na.png\tA\r\nb, c.png\tB\r\nü.png\tÇ\r\n'.encode(
    'utf-16'
  ),
  'cells kept as text': 'file,label\n="a.png",A\n"=""b, c.png""",B\n="ü.png",="Ç"\n'.encode(),
  'notes of several lines': 'file,label,note\na.png,A,"seen\ttwice\nby two"\n"b, c.png",B,\nü.png,Ç,x\n'.encode(),
  'an end of old programs': 'file,label\r\na.png,A\r\n"b, c.png",B\r\nü.png,Ç\r\n\x1a'.encode(),
  'bars': 'file|label\na.png|A\nb, c.png|B\nü.png|Ç\n'.encode(),
}


@pytest.mark.parametrize('program', SAVED)
def test_a_list_is_read_as_programs_save_it(tmp_path, program):
  path = tmp_path / 'x.csv'
  path.write_bytes(SAVED[program])
  rows = csv_rows.read(str(path), ('file', 'label'), '')
  assert [(row['file'], row['label']) for _, row in rows] == TABLE
  # With one wanted column every separator fits the first line somehow.
  assert [row['file'] for _, row in csv_rows.read(str(path), ('file',), '')] == [file for file, _ in TABLE]


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'filename;class\na.png;A\n', "must name the columns file and label; it has 'filename', 'class'"),
    (b'a.png,A\nb.png,B\n', "must name the columns file and label; it has 'a.png', 'A'"),
    (b'', 'must name the columns file and label'),
    (b'file,label,File\na.png,A,b.png\n', 'names the column file twice'),
    ('file,label\n\u00fc.png,A\n'.encode('cp1252'), 'byte 0xfc in line 2); save it as "CSV UTF-8"'),
    (b'PK\x03\x04....', 'is a workbook or an archive, not a CSV; save its sheet'),
    (b'\xd0\xcf\x11\xe0....', 'is an old Excel workbook, not a CSV; save its sheet'),
    (b'file,label\na, b.png,A\n', 'line 2 has 3 cells and the first line 2'),
    (b'file,label\n#NAME?,A\n', 'line 2 has #NAME? in the column file, which a spreadsheet wrote'),
    (b'file,label\na.png,2.02501E+16\n', 'line 2 has 2.02501E+16 in the column label'),
    (b'file;label\na.png;2,02501E+16\n', 'line 2 has 2,02501E+16 in the column label'),
  ],
)
def test_what_cannot_be_read_is_one_line_that_says_why(tmp_path, data, message):
  path = tmp_path / 'x.csv'
  path.write_bytes(data)
  with pytest.raises(types.UserError) as error:
    csv_rows.read(str(path), ('file', 'label'), '')
  assert str(error.value).startswith(f'{path}: ')
  assert message in str(error.value)
  assert '\n' not in str(error.value)


def test_what_programs_write_for_no_value_is_no_value(tmp_path):
  path = tmp_path / 'x.csv'
  path.write_text('file,group\na.png,NA\nb.png,#N/A\nc.png,NADIA\n')
  assert [row['group'] for _, row in csv_rows.read(str(path), ('file', 'group'), '')] == ['', '', 'NADIA']


MISSING = [
  'None',
  'none',
  'null',
  'NULL',
  '#NV',
  '#N/A',
  'NaN',
  'nan',
  'NA',
  'n/a',
  '-',
  '\u2013',
  '--',
  '?',
  '""',
  '#N/D',
]


@pytest.mark.parametrize('cell', MISSING)
def test_a_label_or_a_group_that_stands_for_no_value_is_refused_like_an_empty_one(tmp_path, cell):
  for name in ('none/1.png', 'B/2.png', 'B/3.png'):
    (tmp_path / 'd' / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / 'd' / name).write_bytes(name.encode())
  files = ('none/1.png', 'B/2.png', 'B/3.png')
  groups, labels = tmp_path / 'groups.csv', tmp_path / 'labels.csv'
  for path, column in ((groups, 'group'), (labels, 'label')):
    path.write_text(f'file,{column}\n{files[0]},X\n{files[1]},{cell}\n{files[2]},Y\n', encoding='utf-8')
  with pytest.raises(types.UserError, match=r'labels\.csv: line 3 lacks a file or a label') as error:
    folders.read(str(tmp_path / 'd'), '', str(labels))
  assert str(error.value).endswith('stand for a missing value); give both, or leave the line out')
  with pytest.raises(types.UserError, match=r'groups\.csv: line 3 lacks a file or a group'):
    folders.read(str(tmp_path / 'd'), str(groups), '')
  # Negative controls: a class folder of such a name, and the list without the line.
  assert folders.table(str(tmp_path / 'd'), '', '')[0].class_names == ('B', 'none')
  labels.write_text(f'file,label\n{files[0]},X\n{files[2]},Y\n', encoding='utf-8')
  assert folders.table(str(tmp_path / 'd'), '', str(labels))[0].class_names == ('X', 'Y')


@pytest.mark.parametrize('name', ['Nonne', '+', '0', 'null cell', 'A-', 'NADIA'])
def test_a_name_like_a_word_for_no_value_is_a_label(name):
  assert label_csv.of_row('', {'label': name}) == name


def test_a_class_of_the_run_called_none_is_one_in_what_the_review_page_writes():
  row = {'label': 'none', 'human_label': 'B'}
  assert label_csv.of_row('', row) == 'B'
  assert label_csv.of_row('', {**row, 'sha256_16': 'sha256:0123456789abcdef'}) == 'none'


@pytest.mark.parametrize('name', ['1E05', '3e12', '2E001', '1.5E12'])
def test_a_name_like_a_number_without_the_sign_that_spreadsheets_write_is_a_name(tmp_path, name):
  path = tmp_path / 'x.csv'
  path.write_text(f'file;group\na.png;{name}\n')
  assert [row['group'] for _, row in csv_rows.read(str(path), ('file', 'group'), '')] == [name]


@pytest.mark.parametrize('number', ['1E+05', '1.00E+05', '1,00E+05', '1.5E+12', '3e+12', '-2.5e+100'])
def test_a_number_that_a_spreadsheet_made_of_a_name_is_refused(tmp_path, number):
  path = tmp_path / 'x.csv'
  path.write_text(f'file;group\na.png;{number}\n')
  with pytest.raises(types.UserError, match=r'line 2 has .* in the column group, which a spreadsheet wrote'):
    csv_rows.read(str(path), ('file', 'group'), '')


@pytest.mark.parametrize('bad', ['a\0.png', 'a\x0b.png', '"a\nb.png"', 'a\x7f.png'])
def test_control_characters_are_refused_by_line_and_column(tmp_path, bad):
  path = tmp_path / 'x.csv'
  path.write_text(f'file,group\na.png,1\n{bad},2\n', newline='')
  with pytest.raises(
    types.UserError, match=r'line [34] has control characters in the column file; remove them'
  ):
    csv_rows.read(str(path), ('file',), '')


@pytest.mark.parametrize('kind', SOUND)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind):
  generator = np.random.default_rng(0)
  assert victims.read_csv((SOUND[kind], kind)) == 'ok'
  names = list(SOUND)
  for _ in range(150):
    other = SOUND[names[int(generator.integers(len(names)))]]
    message = victims.read_csv((mutation.mutated(SOUND[kind], other, generator), kind))
    assert message == 'ok' or message.startswith('refused: ')
