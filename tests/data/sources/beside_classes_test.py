"""What lies beside class folders, or in their place, is told and is no class without a word."""

from __future__ import annotations

import pytest

from bloodcell_jax.data.sources import folders


def write(folder, *files):
  for name in files:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(name.encode())


def told(folder) -> str:
  return '\n'.join(folders.read(str(folder), '', '').remarks)


def test_what_nobody_unpacked_beside_splits_or_classes_is_told(tmp_path):
  write(tmp_path, 'TRAIN/A/1.png', 'TRAIN/B/2.png', 'TEST.zip', 'loose.png', 'TRAIN/C.tar.gz', 'notes.xlsx')
  problems = list(map(str, folders.read(str(tmp_path), '', '').problems))
  assert 'TEST.zip: is an archive; unpack it and name the folder' in problems
  assert 'TRAIN/C.tar.gz: is an archive; unpack it and name the folder' in problems
  assert any('images outside the split folders: 1, such as loose.png' in each for each in problems)
  # The control: a table beside them is nobody's class.
  assert len(problems) == 3


@pytest.mark.parametrize('name', ['deleted', 'Rejected', 'to_delete', 'unsure'])
def test_a_folder_of_images_that_somebody_took_out_is_told(tmp_path, name):
  write(tmp_path, 'A/1.png', 'B/2.png', f'{name}/3.png')
  assert f'{name}: taken for a class like the others; move it away' in told(tmp_path)


def test_one_kind_of_cell_in_each_class_folder_is_told(tmp_path):
  write(tmp_path, 'granulocyte/neutrophil/1.png', 'agranulocyte/lymphocyte/2.png', 'other/blast/3.png')
  assert 'If lymphocyte is a class of its own, move its folder up' in told(tmp_path)
  # The control: one patient in each class is no kind of cell.
  write(tmp_path / 'next', 'A/P1/1.png', 'B/P2/2.png')
  assert 'move its folder up' not in told(tmp_path / 'next')


def test_the_reduced_slides_that_qupath_keeps_are_no_cells(tmp_path):
  write(tmp_path, 'A/1.png', 'B/2.png', 'B/p/data/1/thumbnail.jpg', 'B/p/project.qpproj', 'B/p/3.png')
  write(tmp_path, 'project.qpproj', 'data/1/thumbnail.jpg', 'classifiers/x.json')
  found = folders.read(str(tmp_path), '', '')
  assert found.table.file.tolist() == ['A/1.png', 'B/2.png', 'B/p/3.png']
  assert '2 data' in '\n'.join(found.remarks)
  # The control: a folder of this name is a class where there is no project.
  (tmp_path / 'project.qpproj').unlink()
  assert 'data' in folders.read(str(tmp_path), '', '').table.class_names


@pytest.mark.parametrize('above', ['', 'TRAIN/'])
@pytest.mark.parametrize(
  ('to', 'says'),
  [('loop', 'a broken link'), ('nothing', 'a broken link'), ('.', 'a link to a folder above it')],
)
def test_a_link_to_itself_to_nothing_or_upwards_is_told_and_the_rest_is_read(tmp_path, above, to, says):
  write(tmp_path, f'{above}A/1.png', f'{above}B/2.png')
  link = tmp_path / above / 'loop'
  link.symlink_to(to)
  found = folders.read(str(tmp_path), '', '')
  assert len(found.table) == 2
  (problem,) = map(str, found.problems)
  assert problem.startswith(f'{above}loop: {says}')
  # The control: a link to a folder of images elsewhere is a class.
  link.unlink()
  write(tmp_path / 'elsewhere', '3.png')
  link.symlink_to((tmp_path / 'elsewhere').rename(tmp_path.with_name(f'{tmp_path.name}-C')))
  found = folders.read(str(tmp_path), '', '')
  assert found.table.class_names == ('A', 'B', 'loop')
  assert found.problems == []
