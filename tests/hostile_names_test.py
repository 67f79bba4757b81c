"""A run on classes and files of hostile names, watched: what it writes, what it asks of the network, its page."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import browser
import html_checker
import matplotlib
import pytest
import starting

from bloodcell_jax.base import tree
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.inference import classifier
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import process
from bloodcell_jax.train import signals

FLAGS = (*starting.TINY, '--config.train.epochs=1')
ATTACK = '"><img src=x onerror="document.title=666">'
CLASSES = {
  'EOSINOPHIL': f'A {ATTACK}',
  'LYMPHOCYTE': "B '$\\frac{$' =cmd|' `id` ${7*7}",
  'MONOCYTE': 'C &lt;b&gt; ..%2f',
}
# Python runs this before main.py: every file opened for writing and every connection goes into a list.
WATCH = """
import atexit, json, os, runpy, sys
found, to = [], sys.argv[1]
def hook(event, args):
  if event == 'open' and isinstance(args[0], (str, bytes)) and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
    found.append(('write', os.path.abspath(os.fsdecode(args[0]))))
  elif event in ('os.mkdir', 'os.rename', 'os.remove', 'os.symlink', 'os.link'):
    # A name relative to an open folder, as a temporary folder is emptied by, says nothing of where; its folder's does.
    inside = any(isinstance(a, int) and a >= 0 for a in args[1:]) and event != 'os.mkdir'
    found.extend(('write', os.path.abspath(os.fsdecode(a))) for a in args if isinstance(a, (str, bytes)) and not inside)
  elif event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'socket.bind', 'urllib.Request'):
    found.append((event, repr(args[1:])))
atexit.register(lambda: os.write(os.open(to, os.O_WRONLY | os.O_CREAT), json.dumps(found).encode()))
sys.addaudithook(hook)
sys.argv = ['main.py', *sys.argv[2:]]
runpy.run_path('main.py', run_name='__main__')
"""


def watched(folder, *arguments):
  """Exit code, error output, and what the process wrote to and asked of the network."""
  events, home = folder / 'home' / 'events.json', folder / 'home'
  home.mkdir(exist_ok=True)
  # Matplotlib's list of the system's fonts, which takes long to make.
  for path in pathlib.Path(matplotlib.get_cachedir()).glob('fontlist*.json'):
    shutil.copy(path, home)
  environment = {
    **os.environ,
    'PYTHONPATH': str(starting.ROOT),
    'XLA_FLAGS': '',
    'PYTHONDONTWRITEBYTECODE': '1',
  }
  environment |= {
    'HOME': str(home),
    'XDG_CACHE_HOME': str(home),
    'MPLCONFIGDIR': str(home),
    'TMPDIR': str(home),
  }
  done = subprocess.run(
    [sys.executable, '-c', WATCH, str(events), *map(str, arguments)],
    cwd=starting.ROOT, env=environment, capture_output=True, text=True, timeout=600,
  )  # fmt: skip
  return done.returncode, done.stderr, json.loads(events.read_text())


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """The folder of all, and what the run did."""
  folder = tmp_path_factory.mktemp('hostile')
  spec = embedded.Spec(num_train=6, num_test=3, num_copies=1, height=60, width=80, seed=5)
  for image in embedded.draw_all(spec):
    if image.class_name in CLASSES:
      split, name = image.split, pathlib.Path(image.file).stem
      path = folder / 'data' / split / CLASSES[image.class_name] / f'{name} {ATTACK} .png'.replace('/', '')
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(image.png)
  source = ('--config.data.source=folders', f'--config.data.dir={folder / "data"}')
  return folder, source, watched(folder, *FLAGS, *source, f'--workdir={folder / "runs" / "a <b>"}')


def outside(folder, events):
  # The cache of compiled programs lies where its variable says.
  cache = os.environ[process.CACHE]
  allowed = (str(folder / 'runs'), str(folder / 'home'), cache, '/dev/', '/proc/', '/sys/')
  return sorted({path for event, path in events if event == 'write' and not path.startswith(allowed)})


@pytest.mark.long
def test_the_run_ends_well_writes_within_its_folder_and_asks_no_network(finished):
  folder, _, (code, err, events) = finished
  assert code == 0, err[-2000:]
  assert outside(folder, events) == []
  assert [event for event in events if event[0] != 'write'] == []
  # The control: it has written, and a path elsewhere is seen.
  assert [path for event, path in events if event == 'write' and path.endswith('report.html')] or len(
    events
  ) > 50
  assert outside(folder, [*events, ('write', '/etc/x')]) == ['/etc/x']


def test_the_watch_sees_a_connection(tmp_path):
  code = WATCH.replace(
    "runpy.run_path('main.py', run_name='__main__')", "import socket; socket.getaddrinfo('', 1)"
  )
  subprocess.run([sys.executable, '-c', code, str(tmp_path / 'e')], check=False, capture_output=True)
  assert json.loads((tmp_path / 'e').read_text())[0][0] == 'socket.getaddrinfo'


@pytest.mark.long
def test_the_report_shows_the_names_as_words(finished):
  folder, _, _ = finished
  page = folder / 'runs' / 'a <b>' / 'report.html'
  assert html_checker.check(page.read_text()) == []
  with browser.opened(page, 1280) as driver:
    assert driver.title != '666'
    assert not driver.execute_script('return [...document.images].some(i => !i.src.startsWith("data:"))')
    text = driver.find_element('tag name', 'body').text
    assert ATTACK in text
    assert driver.execute_script('document.body.innerHTML += arguments[0]; return 1', f'<p>{ATTACK}</p>') == 1
    for _ in range(50):  # the control: as HTML the same name does its work
      if driver.title == '666':
        break
      driver.execute_async_script('setTimeout(arguments[0], 100)')
    assert driver.title == '666'


@pytest.mark.slow
def test_the_same_command_again_gives_the_same_bits(finished):
  folder, source, _ = finished
  again = folder / 'runs' / 'again'
  code, _, err = starting.run(*FLAGS, *source, f'--workdir={again}')
  assert code == 0, err
  first, second = (
    classifier.load(workdir.Workdir(path), signals.Stop()) for path in (folder / 'runs' / 'a <b>', again)
  )
  assert tree.fingerprint(first.params) == tree.fingerprint(second.params)
  for path in (folder / 'runs' / 'a <b>' / 'predictions').glob('*.csv'):
    assert path.read_bytes() == (again / 'predictions' / path.name).read_bytes()
  untimed = [
    [{k: v for k, v in json.loads(line).items() if k not in ('seconds', 'images_per_second', 'wait_share')} for line in
     (path / 'history.jsonl').read_text().splitlines()]
    for path in (folder / 'runs' / 'a <b>', again)
  ]  # fmt: skip
  assert untimed[0] == untimed[1]
