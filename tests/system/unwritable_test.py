"""A folder that cannot be written: each command names a flag of its own for another one."""

from __future__ import annotations

import errno
import importlib
import os
import re
import shutil

import folder_of_cells
import pytest
import starting

from bloodcell_jax import commands
from bloodcell_jax.commands import command_line
from bloodcell_jax.system import unwritable

# `serve` keeps what it is given in a folder of its own.
WRITING = sorted(set(commands.SUMMARIES) - {'serve'})


@pytest.mark.parametrize('name', WRITING)
def test_a_read_only_folder_is_one_line_with_flags_that_the_command_has(name):
  module = importlib.import_module(f'bloodcell_jax.commands.{name}')
  error = OSError(errno.EROFS, os.strerror(errno.EROFS), '/disk/run/.lock')
  line = command_line._message(error, module.WHERE_ELSE)
  assert line.startswith('/disk/run/.lock: Read-only file system; ')
  flags = re.findall(r'--(\w+)', line)
  with open(module.__file__) as file:
    source = file.read()
  assert flags
  assert all(flag == 'workdir' or f"'{flag}'" in source for flag in flags)


@pytest.mark.parametrize('name', ['ensemble', 'study', 'explain', 'evaluate', 'adapt'])
def test_a_command_that_writes_into_a_folder_it_reads_says_to_copy_that(name):
  module = importlib.import_module(f'bloodcell_jax.commands.{name}')
  error = OSError(errno.EROFS, os.strerror(errno.EROFS), '/disk/run/.lock')
  assert re.search(r'\bcopy (it|the run|the study) to\b', command_line._message(error, module.WHERE_ELSE))


def test_a_folder_without_the_right_to_write_is_told_and_a_file_without_the_right_to_read_is_not(
  tmp_path, monkeypatch
):
  list_of_groups = tmp_path / 'groups.csv'
  list_of_groups.write_text('file,group\n')
  denied = OSError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / 'new' / 'run'))
  assert unwritable.advice(denied, 'elsewhere') == ''
  monkeypatch.setattr(os, 'access', lambda path, mode: False)
  assert unwritable.advice(denied, 'elsewhere') == 'elsewhere'
  unread = OSError(errno.EACCES, os.strerror(errno.EACCES), str(list_of_groups))
  assert unwritable.advice(unread, 'elsewhere') == ''
  assert unwritable.advice(OSError(errno.ENOENT, 'No such file', 'x'), 'elsewhere') == ''


@pytest.mark.parametrize('place', ['link', 'link/x', 'link/x/y'])
def test_a_link_to_nowhere_in_the_place_of_a_folder_is_told(tmp_path, place):
  (tmp_path / 'link').symlink_to(tmp_path / 'gone')
  with pytest.raises(OSError, match='link') as error:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
  said = f'{tmp_path / "link"} is a broken link; elsewhere'
  assert unwritable.advice(error.value, 'elsewhere') == said
  # Negative control.
  (tmp_path / 'gone').mkdir()
  assert unwritable.advice(error.value, 'elsewhere') == ''


def test_a_file_in_the_place_of_a_folder_and_images_that_cannot_be_written_beside(tmp_path):
  data = folder_of_cells.write(tmp_path / 'data' / 'cells')
  (tmp_path / 'file').write_text('mine')
  command = folder_of_cells.flags(data, tmp_path / 'file' / 'run')
  code, _, err = starting.run(*command)
  assert code == 1
  flag = re.search(r'a writable folder with (--\w+)', err)[1]
  before = sorted(path.stat().st_mtime_ns for path in data.rglob('*'))
  try:
    for path in (data, *data.rglob('*/')):
      path.chmod(0o500)
    code, _, err = starting.run(*command, f'{flag}={tmp_path / "run"}', '--config.train.epochs=1')
  finally:
    for path in (data, *data.rglob('*/')):
      path.chmod(0o700)
  assert code == 0, err
  assert sorted(path.stat().st_mtime_ns for path in data.rglob('*')) == before
  shutil.rmtree(tmp_path / 'run')


def test_a_long_dash_is_told_with_two_short_ones():
  code, _, err = starting.run('\u2013config=configs/default.py')
  assert (code, err.strip().endswith('write --config=configs/default.py')) == (2, True)
