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
    ('file,label\nb.png,\n', 'line 2 lacks a file or a label'),
    ('file,label\nb.png,A\n./b.png,B\n', 'line 3 names b.png a second time'),
    ('file,label\n../x.png,A\n', 'line 2 names ../x.png, which is not inside'),
    ('file,label\nb.png,../../A\n', 'a label has no slash'),
    ('file,label\nnone.png,A\n', 'none.png is no file'),
    ('file,cell,left,top,right,bottom,label\nb.png,1,0,0,9,9,A\n', 'line 2 labels a part of b.png'),
  ],
)
def test_a_wrong_line_is_named(folder, text, message):
  with pytest.raises(types.UserError) as error:
    folders.table(str(folder), '', listed(folder, text))
  assert message in str(error.value)
  assert 'labels.csv' in str(error.value) or 'none.png' in str(error.value)
  with pytest.raises(types.UserError, match=r'set --config\.data\.labels_csv'):
    label_csv.read(str(folder / 'nowhere.csv'))
