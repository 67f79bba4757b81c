"""Images as a person names them."""

import pathlib

import pytest

from bloodcell_jax import types
from bloodcell_jax.data import given


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  for name in ('cells/b10.png', 'cells/b9.png', 'cells/inner/c.JPG', 'cells/notes.txt', 'alone.dat'):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'x')
  return tmp_path


def test_files_and_folders_keep_their_order_and_each_image_comes_once(folder):
  cells = folder / 'cells'
  found, problems = given.find([str(folder / 'alone.dat'), str(cells), str(cells / 'b9.png')])
  expected = ['alone.dat', 'cells/b9.png', 'cells/b10.png', 'cells/inner/c.JPG']
  assert found == [str(folder / name) for name in expected]
  assert [problem.file for problem in problems] == [str(cells / 'notes.txt')]
  assert 'left out' not in problems[0].reason
  # Negative control: asked for first, it stands first.
  assert given.find([str(cells / 'b10.png'), str(cells)])[0][0] == str(cells / 'b10.png')


@pytest.mark.parametrize(('path', 'said'), [('none.png', 'no such file or folder'), ('empty', 'no image in')])
def test_what_is_not_there_is_told_by_its_path(folder, path, said):
  (folder / 'empty').mkdir()
  with pytest.raises(types.UserError, match=f'{path}: {said}'):
    given.find([str(folder / 'cells'), str(folder / path)])


def test_nothing_named_is_nothing_found():
  assert given.find([]) == ([], [])
