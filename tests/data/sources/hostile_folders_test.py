"""Folders as no one would make them: whatever lies there, finding images ends, names each once and says the rest."""

from __future__ import annotations

import glob
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import input_paths

NAMES = (
  b'a.png', b'10.PNG', b'9.jpeg', b'notes.txt', b'.hidden.png', b'Thumbs.db', b'-rf.png', b' .png', b'[x].png',
  b'*.png', b'**', b'a\nb.png', b'\xff.png', b'\x1b[31m.png', '\u202egnp.exe'.encode(),
  'ü€.jpg'.encode(), b'x' * 251 + b'.png',
  b'a,b"c.png', b'$x$.tif', b'%s.bmp', b'{0}.gif', b'~.png', b'png', b'a.png.', b'con.png',
)  # fmt: skip


def plant(folder: bytes, generator: np.random.Generator, depth: int = 0) -> None:
  """Files, pipes, links (to nothing, to themselves, upwards, sideways) and folders of such names."""
  for name in generator.choice(len(NAMES), int(generator.integers(1, 9)), replace=False):
    path = os.path.join(folder, NAMES[name])
    kind = generator.integers(10)
    if kind < 4:
      pathlib.Path(os.fsdecode(path)).write_bytes(bytes(generator.integers(0, 256, 3, np.uint8)))
    elif kind < 7 and depth < 4 and len(path) < 1000:
      os.mkdir(path)
      plant(path, generator, depth + 1)
    elif kind == 7:
      os.mkfifo(path)
    else:
      to = (
        b'nothing',
        NAMES[name],
        b'..',
        b'../..',
        b'.',
        b'/dev/zero',
        NAMES[generator.integers(len(NAMES))],
      )
      os.symlink(to[generator.integers(len(to))], path)


def find(path: str) -> tuple[list[input_paths.Input], list[types.Problem], str]:
  """What was found and left out, or else what was said."""
  try:
    return (*input_paths.find([path]), '')
  except types.UserError as error:
    return [], [], str(error)


@pytest.mark.parametrize('seed', range(150))
def test_each_image_of_any_folder_is_found_once_and_what_is_left_out_can_be_printed(seed, tmp_path):
  # Deep enough that no link leads out of it.
  top = tmp_path / 'deep' / 'enough'
  top.mkdir(parents=True)
  plant(os.fsencode(top), np.random.default_rng(seed))
  began = time.monotonic()
  for path in (str(top), f'{glob.escape(str(top))}/**/*.png', f'{glob.escape(str(top))}/*/*'):
    actual, problems, message = find(path)
    assert message.isprintable()
    real = [os.path.realpath(one.path) for one in actual]
    assert len(set(real)) == len(real), 'each once'
    assert all(os.path.isfile(one) and one.startswith(str(tmp_path)) for one in real)
    assert all(one.shown.isprintable() for one in actual)
    assert all(str(problem).isprintable() for problem in problems)
    assert [one.path for one in actual] == [one.path for one in find(path)[0]], 'in the same order'
  assert time.monotonic() - began < 10


def test_folders_deeper_than_pythons_calls_are_read(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for _ in range(1200):
    os.mkdir('d')
    os.chdir('d')
  pathlib.Path('a.png').write_bytes(b'x')
  os.chdir(tmp_path)
  try:
    assert [one.shown.count('/') for one in input_paths.find(['.'])[0]] == [1200]
    assert len(input_paths.find(['**/*.png'])[0]) == 1
  finally:
    # Deeper than shutil's own recursion.
    os.system('rm -rf d')


def test_a_pattern_ends_where_links_lead_back_in_two_ways(tmp_path):
  # glob.glob would look through 2 ** 40 paths.
  for name in ('left', 'right'):
    (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
  (tmp_path / 'a.png').write_bytes(b'x')
  assert [one.shown for one in input_paths.find([f'{tmp_path}/**/*.png'])[0]] == ['a.png']


@pytest.mark.parametrize(
  'pattern', ['**', '**/*.png', 'a/**', '*/**/*.png', '**/b/*.png', 'a/**/b/**/*.png', '**/b', '*.png', '**/**/*.tif']
)  # fmt: skip
def test_a_pattern_means_what_it_means_in_python(tmp_path, monkeypatch, pattern):
  monkeypatch.chdir(tmp_path)
  for name in ('1.png', 'a/2.png', 'a/b/3.png', 'a/c/b/4.png', 'b/5.tif', 'c/6.png', 'a/b/c/d/7.png'):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_bytes(b'x')
  wanted = set()
  for one in map(pathlib.Path, glob.glob(pattern, recursive=True)):
    wanted |= {str(each) for each in (one.rglob('*') if one.is_dir() else [one]) if each.is_file()}
  assert {os.path.normpath(one.path) for one in input_paths.find([pattern])[0]} == wanted


@pytest.fixture
def powerless() -> Iterator[pathlib.Path]:
  """A folder of one who has no rights elsewhere."""
  folder = pathlib.Path(tempfile.mkdtemp())
  folder.chmod(0o777)
  # What is imported late has to be there before: Python's own files may be closed too.
  image_files.digests([__file__])
  was_root = os.geteuid() == 0
  if was_root:
    os.seteuid(65534)
  yield folder
  if was_root:
    os.seteuid(0)
  for path in folder.iterdir():
    path.chmod(0o700)
  shutil.rmtree(folder)


def test_what_one_may_not_read_is_said_and_the_rest_is_found(powerless):
  for name in ('open', 'closed'):
    (powerless / name).mkdir()
    (powerless / name / 'a.png').write_bytes(b'x')
  (powerless / 'secret.png').write_bytes(b'x')
  (powerless / 'secret.png').chmod(0)
  (powerless / 'closed').chmod(0)
  actual, problems = input_paths.find([str(powerless)])
  assert [one.shown for one in actual] == ['open/a.png', 'secret.png']
  assert [str(one) for one in problems] == ['closed: the folder cannot be read: Permission denied']
  digest, error = image_files.digests([one.path for one in actual])
  assert isinstance(digest, str)
  assert 'Permission denied' in str(error)
  with pytest.raises(types.UserError, match='no such file'):
    input_paths.find([str(powerless / 'closed' / 'a.png')])
