"""Read from the code: nothing from disk is run or unpacked by its own paths, nothing is asked of the network."""

from __future__ import annotations

import ast
import os
import pathlib
import stat

import pytest

from bloodcell_jax.system import atomic

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = [
  *sorted((ROOT / 'bloodcell_jax').rglob('*.py')),
  *sorted((ROOT / 'configs').glob('*.py')),
  ROOT / 'main.py',
]
# Functions that run what they are given, and modules that do so when they load a file.
RUNS = ('eval', 'exec', 'compile', '__import__', 'execfile')
LOADERS = ('marshal', 'shelve', 'dill', 'cloudpickle', 'joblib', 'jsonpickle', 'torch', 'yaml')
# Functions of modules, by their last two names, that run, unpack or guess.
CALLS = (
  'pickle.load', 'pickle.loads', 'os.system', 'os.popen', 'tempfile.mktemp', 'shutil.unpack_archive', 'numpy.fromfile',
  'pd.read_pickle', 'keras.load_model', 'models.load_model', 'runpy.run_path', 'np.loadtxt', 'np.genfromtxt',
)  # fmt: skip
METHODS = ('extractall', 'extract')  # of archives
NETWORK = (
  'socket',
  'urllib',
  'http',
  'requests',
  'httpx',
  'aiohttp',
  'ftplib',
  'smtplib',
  'kagglehub',
  'webbrowser',
)
# Where a name of these is needed, and why.
ADMITTED = {
  ('weights/unpickle.py', 'pickle'): 'its Unpickler is restricted to names that are listed',
  ('train/signals.py', 'socket'): 'a pair within the process, which wakes the thread that handles signals',
  (
    'system/rendezvous.py',
    'socket',
  ): 'hosts that are to train together greet one another, where --coordinator is given',
  ('system/host_store.py', 'socket'): 'and there they share values and finished folders',
  ('serving/server.py', 'socket'): 'listens for the browser on this computer alone',
  ('commands/serve.py', 'webbrowser'): 'shows the page, with --open',
  (
    'data/sources/listed_names.py',
    'urllib',
  ): 'its parse reads the names of files in lists; nothing is opened',
  ('serving/app.py', 'urllib'): 'its parse reads the names of files; nothing is opened',
  ('data/sources/kaggle.py', 'kagglehub'): 'downloads, where data.dir is empty',
}


def faults(path: str, source: str) -> list[str]:
  """What a source calls or imports that it must not."""
  found: list[str] = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import | ast.ImportFrom):
      names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or '']
      for name in {name.split('.')[0] for name in names} & {*LOADERS, *NETWORK, 'pickle'}:
        if (path, name) not in ADMITTED:
          found.append(f'import {name}')
    if not isinstance(node, ast.Call):
      continue
    called, options = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
    short = '.'.join(called.split('.')[-2:])
    if called in RUNS or short in CALLS:
      found.append(called)
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
      found.append(called)
    if options.get('allow_pickle', 'False') != 'False' or options.get('shell', 'False') != 'False':
      found.append(f'{called} with allow_pickle or shell')
  return found


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_or_unpacks_what_lies_on_the_disk(path):
  inside = path.relative_to(ROOT).as_posix().removeprefix('bloodcell_jax/')
  assert faults(inside, path.read_text()) == []


@pytest.mark.parametrize(
  'source',
  [
    'eval(text)', 'exec(open(p).read())', 'import pickle', 'from torch import load', 'import yaml', 'compile(a, b, c)',
    'np.load(p, allow_pickle=True)', 'np.load(p, allow_pickle=flag)', 'subprocess.run(x, shell=True)', 'os.system(x)',
    'zipfile.ZipFile(p).extractall(d)', 'a.shutil.unpack_archive(p)', 'tempfile.mktemp()', 'def f():\n  import socket',
    'import urllib.request', 'from http import client',
  ],
)  # fmt: skip
def test_the_check_sees_each_of_them(source):
  assert faults('data/sources/kaggle.py', source)


def test_what_is_admitted_is_still_there():
  for (path, name), _ in ADMITTED.items():
    source = (ROOT / 'bloodcell_jax' / path).read_text()
    assert not faults(path, source)
    assert faults('elsewhere.py', source) == [f'import {name}']


def test_a_file_in_the_making_is_private_and_its_name_not_to_be_guessed(tmp_path, monkeypatch):
  seen: list[tuple[int, str]] = []
  replace = os.replace

  def watched(source, target):
    seen.append((0, pathlib.Path(source).name))
    replace(source, target)

  written = os.fdopen

  def opened(handle, *args, **options):
    seen.append((stat.S_IMODE(os.fstat(handle).st_mode), ''))
    return written(handle, *args, **options)

  monkeypatch.setattr(os, 'fdopen', opened)
  monkeypatch.setattr(os, 'replace', watched)
  for _ in range(2):
    atomic.write_text(tmp_path / 'x', 'text')
  monkeypatch.undo()
  assert [mode for mode, name in seen if not name] == [0o600] * 2
  assert len({name for _, name in seen if name}) == 2
  with atomic.folder(tmp_path / 'made') as made:
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
