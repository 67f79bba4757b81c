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


@pytest.fixture(autouse=True)
def released():
  yield
  lock.release()


@pytest.fixture
def holder(tmp_path):
  process = lock_holder.start(tmp_path / 'run')
  with process:
    yield process
    process.kill()


def owner(folder):
  return json.loads((folder / f'{lock.FILE}.owner').read_text())


def test_the_second_is_refused_by_the_first_ones_number_until_that_is_killed(holder, tmp_path):
  folder = tmp_path / 'run'
  for _ in range(2):  # a refusal does not take away whose lock it is
    with pytest.raises(types.UserError, match=f'process {holder.pid} on {socket.gethostname()}') as caught:
      lock.take(folder)
  assert '\n' not in str(caught.value)
  lock.take(tmp_path / 'other')
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  assert (folder / lock.FILE).exists(), 'a killed process cleans nothing up'
  lock.take(folder)
  assert owner(folder)['pid'] == os.getpid()
  lock.take(folder)  # the same process may ask again
  lock.release()
  assert list(folder.iterdir()) == []


# A child that releases what it has of its parent's locks, before the parent holds on.
FORKS = """
import os, sys
from bloodcell_jax.system import lock
lock.take(sys.argv[1])
child = os.fork()
if not child:
  lock.release()
  os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_process_releases_no_lock_of_its_parent(tmp_path):
  env = {**os.environ, 'PYTHONPATH': str(lock_holder.ROOT)}
  command = [sys.executable, '-c', FORKS + lock_holder.HOLD, str(tmp_path / 'run')]
  with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as first:
    assert first.stdout.readline() == 'held\n'
    with pytest.raises(types.UserError, match=f'process {first.pid} on'):
      lock.take(tmp_path / 'run')
    first.kill()


# A file system without locks, and a system without `fcntl`.
NO_LOCKS = """
import errno, fcntl, os
def flock(handle, how):
  raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
fcntl.flock = flock
"""
NO_FCNTL = """
import sys, warnings
warnings.simplefilter('ignore')
for name in ('fcntl', 'termios', 'resource', 'pwd', 'grp'):
  sys.modules[name] = None
"""


@pytest.mark.parametrize('system', [NO_LOCKS, NO_FCNTL], ids=['no locks', 'no fcntl'])
def test_without_kernel_locks_number_host_and_start_decide(tmp_path, system):
  folder, env = tmp_path / 'run', {**os.environ, 'PYTHONPATH': str(lock_holder.ROOT)}
  command = [sys.executable, '-c', system + lock_holder.HOLD, str(folder)]
  with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as first:
    assert first.stdout.readline() == 'held\n'
    second = subprocess.run(command, env=env, capture_output=True, text=True)
    assert f'process {first.pid} on {socket.gethostname()} is writing there' in second.stderr
    first.kill()
  # A killed one is not waited for.
  with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as third:
    assert third.stdout.readline() == 'held\n'
    markers = [folder / lock.FILE, folder / f'{lock.FILE}.soft']
    marker = next(path for path in markers if path.exists() and path.read_text())
    lines = marker.read_text().splitlines()
    assert lines[:2] == [str(third.pid), socket.gethostname()]
    third.kill()
  # The number was given to another process since; then a process on another machine.
  marker.write_text('\n'.join((str(os.getpid()), lines[1], '1')) + '\n')
  with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as fourth:
    assert fourth.stdout.readline() == 'held\n'
    fourth.kill()
  marker.write_text('\n'.join((str(os.getpid()), 'elsewhere', '1')) + '\n')
  fifth = subprocess.run(command, env=env, capture_output=True, text=True)
  assert 'is writing there' in fifth.stderr


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path):
  folder = tmp_path / 'run'
  (folder / 'figures').mkdir(parents=True)
  for name in ('.a.json.x1y2z3w4.tmp', 'figures/.b.png.abcdefgh.tmp', '.mine.tmp', 'c.tmp'):
    (folder / name).write_text('half')
  # An export that was about to be replaced when the process died.
  (tmp_path / '.run.12345678.tmp' / 'made').mkdir(parents=True)
  lock.take(folder)
  left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file()}
  assert left == {'run/.lock', 'run/.lock.owner', 'run/.mine.tmp', 'run/c.tmp'}
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


# What a process may be writing when another takes a lock above it or beside it.
HALF_WRITTEN = """
import pathlib, sys, time
from bloodcell_jax.system import atomic, lock
target, beside = pathlib.Path(sys.argv[1]), sys.argv[2] == 'beside'
lock.take(target, beside)
with atomic.folder(target if beside else target / 'part') as folder:
  (folder / '.inner.abcdefgh.tmp').write_text('x')
  print('held', flush=True)
  time.sleep(120)
"""


@pytest.mark.parametrize('how', ['beside', 'inside'])
def test_what_another_process_is_writing_below_stays_until_that_is_killed(how, tmp_path):
  run = tmp_path / 'run'
  run.mkdir()
  target = run / 'export'
  process = subprocess.Popen(
    [sys.executable, '-c', HALF_WRITTEN, str(target), how],
    env={**os.environ, 'PYTHONPATH': str(lock_holder.ROOT)}, stdout=subprocess.PIPE, text=True,
  )  # fmt: skip
  with process:
    assert process.stdout.readline() == 'held\n'
    lock.take(run)
    assert len(list(run.rglob('made/.inner.*'))) == 1
    lock.release()
    process.kill()
  lock.take(run)
  assert list(run.rglob('*.tmp')) == [], 'nothing of a killed process stays'


def test_a_folder_whose_name_goes_on_after_a_dot_is_another_one(tmp_path):
  other, own = tmp_path / '.a.b.abcdefgh.tmp', tmp_path / '.a.abcdefgh.tmp'
  other.mkdir()
  own.mkdir()
  lock.take(tmp_path / 'a')
  assert other.exists()
  assert not own.exists()
