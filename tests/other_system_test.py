"""The package without what only POSIX has, as on Windows: every module loads, a run trains and answers."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import starting

# Stands between the package and Python's library: its own modules get no POSIX-only module, function or signal. Other
# libraries keep them, because theirs for Windows are other files.
BLOCK = """
import builtins, os, runpy, signal, sys, types
MODULES = {'fcntl', 'resource', 'pwd', 'grp', 'termios', 'tty', 'pty', 'syslog', 'posix'}
LACKING = {
  'os': {'fork', 'getuid', 'geteuid', 'sysconf', 'setxattr', 'getxattr', 'listxattr', 'posix_fallocate', 'pread',
         'pwrite', 'mkfifo', 'O_NOFOLLOW', 'O_DIRECTORY', 'O_CLOEXEC', 'sched_getaffinity', 'uname', 'fchmod'},
  'signal': {'SIGHUP', 'SIGKILL', 'SIGALRM', 'SIGUSR1', 'alarm', 'pthread_kill', 'set_wakeup_fd_of_pipe'},
  'select': {'poll', 'epoll'},
}
plain, used = builtins.__import__, set()
class Lacking(types.ModuleType):
  def __init__(self, module, names):
    super().__init__(module.__name__)
    self.__dict__['_module'], self.__dict__['_names'] = module, names
  def __getattr__(self, name):
    if name in self._names:
      raise AttributeError(name)
    return getattr(self._module, name)
  def __setattr__(self, name, value):
    setattr(self._module, name, value)
def load(name, globals=None, locals=None, fromlist=(), level=0):
  asks = (globals or {}).get('__name__', '')
  ours = asks.startswith(('bloodcell_jax', 'configs'))
  # The library of the lock has the lock of Windows in another file; here it falls back to one without the kernel.
  if (ours or asks.startswith('filelock')) and name in MODULES:
    used.add(name)
    raise ImportError(name)
  module = plain(name, globals, locals, fromlist, level)
  if ours and name in LACKING:
    used.add(name)
    return Lacking(module, LACKING[name])
  return module
builtins.__import__ = load
"""
EVERYTHING = """
import importlib, pathlib
for path in sorted(pathlib.Path('bloodcell_jax').rglob('*.py')):
  name = '.'.join(path.with_suffix('').parts).removesuffix('.__init__')
  if 'tfds_builder' not in name:
    importlib.import_module(name)
print(len(used & MODULES), 'fcntl' in used, 'os' in used)
"""
MAIN = "runpy.run_path('main.py', run_name='__main__')"


def python(code, *arguments):
  return subprocess.run(
    [sys.executable, '-c', BLOCK + code, *map(str, arguments)],
    cwd=starting.ROOT, env={**os.environ, 'XLA_FLAGS': '', 'PYTHONPATH': str(starting.ROOT)},
    capture_output=True, text=True, timeout=280,
  )  # fmt: skip


@pytest.fixture(scope='module')
def done(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], pathlib.Path]:
  """A process that loads every module and then trains, and the folder of the run."""
  folder = tmp_path_factory.mktemp('other') / 'run'
  return python(EVERYTHING + MAIN, *starting.TINY, f'--workdir={folder}'), folder


@pytest.mark.long
def test_every_module_loads_and_asks_for_posix_modules_only_where_it_can_do_without(done):
  process, _ = done
  assert process.stdout, process.stderr[-2000:]
  asked, has_fcntl, has_os = process.stdout.splitlines()[0].split()
  assert int(asked) >= 1, 'the check itself must see a module that is asked for'
  assert (has_fcntl, has_os) == ('True', 'True')


@pytest.mark.long
def test_a_run_trains_and_evaluates(done):
  process, folder = done
  assert process.returncode == 0, process.stderr[-2000:]
  assert (folder / 'report.html').exists()
  assert (folder / 'log.txt').exists()
  # Without attributes the sums lie beside the files.
  assert list(folder.glob('.*.sha256'))


def test_a_module_that_needs_posix_is_seen():
  done = python("exec('import os; os.fork', {'__name__': 'bloodcell_jax.made_up'})")
  assert 'AttributeError: fork' in done.stderr
