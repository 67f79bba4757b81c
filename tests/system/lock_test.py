"""One process a folder: the second is refused by the first one's number; nothing stale stands in the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import lock_holder
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic, lock


@pytest.fixture
def holder(tmp_path):
  process = lock_holder.start(tmp_path / 'run')
  with process:
    yield process
    process.kill()


def test_the_second_is_refused_by_the_first_ones_number_until_that_is_killed(holder, tmp_path):
  folder = tmp_path / 'run'
  with pytest.raises(types.UserError, match=f'process {holder.pid} on {socket.gethostname()}') as caught:
    lock.take(folder)
  assert '\n' not in str(caught.value)
  lock.take(tmp_path / 'other')
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  assert (folder / lock.FILE).exists(), 'a killed process cleans nothing up'
  lock.take(folder)
  assert json.loads((folder / lock.FILE).read_text())['pid'] == os.getpid()
  lock.take(folder)  # the same process may ask again


def test_without_kernel_locks_the_file_decides_by_number_host_and_start(holder, tmp_path, monkeypatch):
  def flock(handle, how):
    raise OSError(38, os.strerror(38))

  monkeypatch.setattr(lock.fcntl, 'flock', flock)
  folder = tmp_path / 'run'
  with pytest.raises(types.UserError, match=f'process {holder.pid}'):
    lock.take(folder)
  owner = json.loads((folder / lock.FILE).read_text())
  # The number given to another process since, as after a restart of the machine.
  (folder / lock.FILE).write_text(json.dumps({**owner, 'started': 'another boot 1'}))
  lock.take(folder)


# What Windows has in the place of fcntl: a lock of one byte, which a second process is refused with PermissionError.
WINDOWS = """
import errno, fcntl, os, subprocess, sys, types
def locking(handle, how, num):
  try:
    fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, num, 0, os.SEEK_CUR)
  except OSError:
    raise PermissionError(errno.EACCES, 'Permission denied') from None
import jax
sys.modules['msvcrt'] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
sys.modules['fcntl'] = None
for name in ('pread', 'pwrite', 'O_CLOEXEC'):
  delattr(os, name)
"""


def test_without_fcntl_as_on_windows_the_second_is_refused_by_number_and_a_killed_one_is_not_waited_for(
  tmp_path,
):
  code, env = WINDOWS + lock_holder.HOLD, {**os.environ, 'PYTHONPATH': str(lock_holder.ROOT)}
  command = [sys.executable, '-c', code, str(tmp_path / 'run')]
  with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as first:
    assert first.stdout.readline() == 'held\n'
    second = subprocess.run(command, env=env, capture_output=True, text=True)
    assert f'process {first.pid} on {socket.gethostname()} is writing there' in second.stderr
    first.kill()
  with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as third:
    assert third.stdout.readline() == 'held\n'
    third.kill()


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path):
  folder = tmp_path / 'run'
  (folder / 'figures').mkdir(parents=True)
  for name in ('.a.json.x1y2z3w4.tmp', 'figures/.b.png.abcdefgh.tmp', '.mine.tmp', 'c.tmp'):
    (folder / name).write_text('half')
  # An export that was about to be replaced when the process died.
  (tmp_path / '.run.12345678.tmp' / 'made').mkdir(parents=True)
  lock.take(folder)
  left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file()}
  assert left == {'run/.lock', 'run/.mine.tmp', 'run/c.tmp'}
  assert not (tmp_path / '.run.12345678.tmp').exists()


def test_a_folder_taken_away_to_be_replaced_is_put_back(tmp_path):
  before = tmp_path / '.export.12345678.tmp' / 'before'
  before.mkdir(parents=True)
  (before / 'model.json').write_text('{}')
  lock.take(tmp_path / 'export', beside=True)
  assert (tmp_path / 'export' / 'model.json').read_text() == '{}'
  assert (tmp_path / '.export.lock').exists()


def test_a_file_changed_since_it_was_written_is_seen(tmp_path):
  path = tmp_path / 'a.json'
  atomic.write_json(path, {'threshold': 0.25})
  assert atomic.is_intact(path)
  if not hasattr(os, 'listxattr') or not os.listxattr(path):
    pytest.skip('the file system has no attributes')
  with open(path, 'r+') as file:
    file.write(file.read().replace('5', '4'))
  assert not atomic.is_intact(path)
  with pytest.raises(ValueError, match='changed since it was written'):
    atomic.read_bytes(path)
  atomic.write_json(path, {'threshold': 0.5})
  assert atomic.is_intact(path)
