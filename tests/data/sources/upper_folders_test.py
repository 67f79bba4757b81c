"""Laboratories, days or patients above the classes are not trained on as classes; patients inside classes are read."""

from __future__ import annotations

import re

import pytest
from written import write

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders, names, upper_folders


def grid(uppers, lowers):
  return [f'{upper}/{lower}/{i}.png' for upper in uppers for lower in lowers for i in (1, 2)]


def refused(folder) -> str:
  with pytest.raises(types.UserError) as error:
    folders.read(str(folder), '', '')
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize(
  ('uppers', 'lowers'),
  [
    (('Barcelona', 'Munich'), ('EOS', 'NGS')),
    (('Monday', 'Tuesday'), ('NEU',)),
    (('MON', 'TUE'), ('NEU', 'LYM')),
    (('Berlin', 'Paris'), ('中性', '淋巴')),
    (('клиника А', 'клиника Б'), ('нейтрофилы', 'эозинофилы')),
    (('Mainz', 'Ulm'), ('limfocyty', 'eozynofile')),
    (('Mainz', 'Ulm'), ('CD4', 'CD8')),
    (('site_A', 'site_B'), ('round', 'oval')),
    (('patient 1', 'patient 2'), ('round',)),
  ],
)
@pytest.mark.parametrize('other', ['', '{}/overview.png'])
def test_places_days_and_patients_above_classes_are_refused(tmp_path, uppers, lowers, other):
  files = [*grid(uppers, lowers), *([other.format(uppers[0])] if '{' in other and len(lowers) > 1 else [])]
  said = refused(write(tmp_path, *files))
  assert 'look like data sets of their own, not like classes' in said
  place = re.search(r"--config\.data\.dir=('[^']*'|\S+), or", said)[1].strip("'")
  if len(lowers) > 1:
    assert folders.read(place, '', '').table.class_names == tuple(sorted(lowers))


@pytest.mark.parametrize(
  ('uppers', 'lowers'),
  [
    (('Berlin', 'Paris'), ('Alpha', 'Beta')),
    (('A', 'B', 'C'), ('x',)),
    (('north', 'south'), ('round', 'oval')),
    (('normal cells', 'abnormal cells'), ('Ann', 'Bob')),
  ],
)
def test_where_it_is_unclear_which_folders_are_the_classes_both_ways_are_named(tmp_path, uppers, lowers):
  write(tmp_path, *grid(uppers, lowers))
  said = refused(tmp_path)
  assert 'hold folders of the same names' in said
  assert f'if those outside are, rename those inside to patient_{sorted(lowers)[0]} and so on' in said
  # Done, the upper folders are the classes.
  for upper in uppers:
    for lower in lowers:
      (tmp_path / upper / lower).rename(tmp_path / upper / f'patient_{lower}')
  assert folders.read(str(tmp_path), '', '').table.class_names == tuple(sorted(uppers))


def test_a_folder_deeper_between_places_and_classes_is_seen_through(tmp_path):
  assert 'hold folders of the same names (EOS, NGS)' in refused(
    write(tmp_path, *grid(('Barcelona/2023', 'Munich/2024'), ('EOS', 'NGS')))
  )


def test_folders_of_which_neither_are_named_like_classes_are_refused(tmp_path):
  write(tmp_path, *grid(('Monday', 'Tuesday'), ('slide 1', 'slide 2')))
  assert (
    'not like classes; put the images into folders of their classes, such as NEUTROPHIL/Monday/'
    in refused(tmp_path)
  )
  # Done.
  for name, day in (('NEUTROPHIL', 'Monday'), ('EOSINOPHIL', 'Tuesday')):
    (tmp_path / name).mkdir()
    (tmp_path / day).rename(tmp_path / name / day)
  assert folders.read(str(tmp_path), '', '').table.class_names == ('EOSINOPHIL', 'NEUTROPHIL')


def test_laboratories_are_read_as_such_where_the_line_says_so(tmp_path):
  from bloodcell_jax.data.sources import laboratories

  write(tmp_path, *grid(('Barcelona', 'Munich'), ('EOS', 'NGS')))
  assert f'or set --config.data.source={laboratories.NAME} if they are laboratories' in refused(tmp_path)
  assert laboratories.read(str(tmp_path)).table.class_names == ('EOS', 'NGS')


@pytest.mark.parametrize(
  'uppers', [('A', 'B'), ('healthy', 'leukaemia'), ('EOS', 'NGS'), ('type 1', 'type 2')]
)
@pytest.mark.parametrize(
  'lowers',
  [
    ('patient_1', 'patient_2'), ('p01', 'p02', 'ctrl3'), ('2024-01-05', '2024-01-06'), ('slide3',), ('images',),
    ('patient_Ann', 'patient_Bob'), ('пациент 1',), ('день 1', 'день 2'), ('S1', 'S2'), ('001', '002'), ('rejected',),
  ],
)  # fmt: skip
def test_folders_of_patients_and_slides_inside_classes_are_read(tmp_path, uppers, lowers):
  if names.is_series(uppers) and not names.is_series(lowers):
    pytest.skip('numbered folders above others are data sets')
  found = folders.read(write(tmp_path, *grid(uppers, lowers)), '', '')
  assert found.table.class_names == tuple(sorted(uppers))
  assert 'sub-folder' in '\n'.join(found.remarks)


@pytest.mark.parametrize(
  'files',
  [
    grid(('EOSINOPHIL', 'LYMPHOCYTE'), ('Ann', 'Bob')),
    grid(('EOS', 'NGS'), ('Ann', 'Bob')),
    grid(('中性', '淋巴'), ('甲', '乙')),
    grid(('Berlin', 'Paris'), ('Ann',)) + ['Rome/1.png', 'Oslo/1.png'],  # most are classes
    ['A/x/1.png', 'B/y/1.png', 'C/z/1.png'],  # of no common name
    ['A/x/1.png', 'A/1.png', 'A/2.png', 'B/x/1.png', 'B/1.png', 'B/2.png'],  # with images of their own
  ],
)
def test_folders_inside_classes_of_cells_or_beside_images_are_read(tmp_path, files):
  found = folders.read(write(tmp_path, *files), '', '')
  assert set(found.table.class_names) == {file.split('/')[0] for file in files}


def test_a_name_that_most_share_in_another_case_is_one_name():
  with pytest.raises(types.UserError, match='look like data sets of their own'):
    upper_folders.refuse('x', ['Ulm', 'Bonn'], {'Ulm': ['EOS'], 'Bonn': ['eos ']}, {})
  upper_folders.refuse('x', ['Ulm', 'Bonn'], {'Ulm': ['EOS'], 'Bonn': ['NGS']}, {})
