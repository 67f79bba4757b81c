"""Labels of another laboratory: what is accepted, and what is refused in one line."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import recoloured

from bloodcell_jax.adaptation import labels
from bloodcell_jax.base import types

KNOWN = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
NOTHING: frozenset[str] = frozenset()


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> tuple[pathlib.Path, list[tuple[str, str, str]]]:
  path = tmp_path_factory.mktemp('other') / 'images'
  return path, recoloured.write(path, 6)


def read(folder, path, rows, num=3, new=(), home=NOTHING) -> types.Table:
  csv = recoloured.labels(path / 'labels.csv', rows, num)
  return labels.read(str(folder), str(csv), '', KNOWN, new, home, str(csv))


def refusal(*arguments, **options) -> str:
  with pytest.raises(types.UserError) as caught:
    read(*arguments, **options)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_the_labels_of_the_review_page_are_read_with_the_classes_of_the_run(folder, tmp_path):
  path, rows = folder
  table = read(path, tmp_path, [row for row in rows if row[1] != 'MONOCYTE'])
  assert table.class_names == KNOWN
  assert np.bincount(table.label).tolist() == [3, 3, 0, 3]
  assert labels.line(table).endswith('none of MONOCYTE, which rest on the old images')


def test_a_name_that_reads_like_a_class_is_that_class(folder, tmp_path):
  path, rows = folder
  table = read(path, tmp_path, [(file, label.capitalize() + ' ', digest) for file, label, digest in rows])
  assert table.class_names == KNOWN


def test_an_unknown_class_is_refused_with_the_nearest_one_and_taken_as_a_new_class_where_asked(
  folder, tmp_path
):
  path, rows = folder
  other = [(file, 'MONOZYT' if label == 'MONOCYTE' else label, digest) for file, label, digest in rows]
  said = refusal(path, tmp_path, other, num=5)
  assert 'knows no class MONOZYT; did you mean MONOCYTE?' in said
  assert '--new_classes=MONOZYT' in said
  table = read(path, tmp_path, other, num=5, new=('MONOZYT',))
  assert table.class_names == tuple(sorted((*KNOWN, 'MONOZYT')))
  assert 'has labels of 3 independent images; label 5 or more' in refusal(
    path, tmp_path, other, 3, ('MONOZYT',)
  )
  assert 'has labels of 0 independent images' in refusal(path, tmp_path, rows, 3, ('BASOPHIL',))
  assert 'the run knows this class' in refusal(path, tmp_path, rows, 3, ('MONOCYTE',))
  assert 'reads like MONOCYTE' in refusal(path, tmp_path, rows, 3, ('monocyte',))


def test_another_class_is_not_said_to_be_a_known_one(folder, tmp_path):
  path, rows = folder
  other = [(file, 'BASOPHIL' if label == 'MONOCYTE' else label, digest) for file, label, digest in rows]
  said = refusal(path, tmp_path, other)
  assert 'knows no class BASOPHIL; it knows' in said
  assert 'Take its images out of the list, or add the class with --new_classes=BASOPHIL' in said
  assert not re.search('did you mean|orrect the label', said)


def test_a_class_that_the_run_knows_is_left_out_of_the_new_ones_as_the_line_says(folder, tmp_path):
  path, rows = folder
  for new, words in (
    (('MONOCYTE',), 'leave it out'),
    (('monocyte ',), 'a class that the run knows; label with that'),
  ):
    assert words in refusal(path, tmp_path, rows, new=new)
  assert read(path, tmp_path, rows).class_names == KNOWN
  other = [(file, 'MONOZYT' if label == 'MONOCYTE' else label, digest) for file, label, digest in rows]
  assert 'Correct the label' in refusal(path, tmp_path, other)
  meant = re.search(r'did you mean (\w+)\?', refusal(path, tmp_path, other))[1]
  corrected = [(file, label.replace('MONOZYT', meant), digest) for file, label, digest in other]
  assert read(path, tmp_path, corrected).class_names == KNOWN


def test_too_few_labels_and_too_few_classes_are_refused(folder, tmp_path):
  path, rows = folder
  assert 'label 2 or more, or take its label out' in refusal(path, tmp_path, rows, num=1)
  only = [row for row in rows if row[1] == 'MONOCYTE']
  assert 'label images of 2 classes or more' in refusal(path, tmp_path, only)


def test_where_groups_are_missing_and_not_images_the_line_asks_for_groups(folder, tmp_path):
  path, rows = folder
  listed = recoloured.labels(tmp_path / 'labels.csv', rows, 5)
  some = [row for name in KNOWN for row in [row for row in rows if row[1] == name][:5]]

  def refused(group_of, new=()) -> str:
    lines = [f'{file},{group_of(i)}' for i, (file, _, _) in enumerate(some)]
    (tmp_path / 'groups.csv').write_text('\n'.join(['file,group', *lines]))
    groups, known = str(tmp_path / 'groups.csv'), [name for name in KNOWN if name not in new]
    try:
      labels.read(str(path), str(listed), groups, known, new, NOTHING, 'labels.csv')
    except types.UserError as error:
      return str(error)
    return ''

  assert refused(lambda i: 'a.png') == (
    'labels.csv: the class EOSINOPHIL has labels of 5 images in 1 group (cells of one photograph are one group); label '
    'it in 2 groups or more, or take its labels out'
  )
  # As it says: each class in two photographs.
  assert refused(lambda i: 'ab'[i % 2]) == ''
  assert 'new class MONOCYTE has labels of 5 images in 2 groups (cells of one' in refused(
    lambda i: 'ab'[i % 2], ('MONOCYTE',)
  )
  assert refused(lambda i: 'abcde'[i % 5], ('MONOCYTE',)) == ''
  # Negative control: where each image is a group, images are what is missing.
  assert 'has labels of 1 independent image; label 2 or more, or take its label out' in refusal(
    path, tmp_path, rows, num=1
  )


def test_nothing_labelled_a_changed_image_and_a_missing_one_are_refused(folder, tmp_path):
  path, rows = folder
  assert 'has no line with a label' in refusal(path, tmp_path, [])
  changed = [(file, label, 'f' * 16) for file, label, _ in rows]
  assert 'has changed since it was labelled' in refusal(path, tmp_path, changed)
  assert 'is not a file in the folder' in refusal(path, tmp_path, [('gone.png', *rows[0][1:]), *rows])


def test_images_of_the_run_itself_are_refused(folder, tmp_path):
  path, rows = folder
  own = read(path, tmp_path, rows)
  said = refusal(path, tmp_path, rows, home=frozenset(own.digest.tolist()))
  assert '12 of 12 labelled images are images of the run itself' in said
  assert len(read(path, tmp_path, rows, home=NOTHING)) == 12
