"""Two processes divide members, folds or rows of a study: killed, stopped, continued, to the bits of one process."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import starting
from several_hosts_test import last_line
from soak import comparing

MEMBERS = 4
# The smallest network, on the smallest images; a checkpoint every second update.
SMALL = (
  *starting.SAVED_OFTEN,
  '--config.model.name=cnn_svr',
  '--config.data.image_size=32',
  '--config.data.validation_fraction=0.5',
  '--config.train.steps_per_epoch=4',
)
FLAGS = (
  *SMALL,
  '--config.ensemble.method=bagging',
  f'--config.ensemble.members={MEMBERS}',
  '--config.train.epochs=4',
)
# main.py whose figures are not drawn, which takes a third of such a run.
UNDRAWN = """
import runpy, sys
sys.path[:0] = ['.', 'tests']
from bloodcell_jax.system import process
process.set_up()
import blank_figure
for each in blank_figure.replacements():
  setattr(*each)
sys.argv[0] = 'main.py'
runpy.run_path('main.py', run_name='__main__')
"""
PATIENCE = 600


def start(
  folder: pathlib.Path, out: pathlib.Path, *flags: str, command: str = 'train'
) -> subprocess.Popen[str]:
  """main.py in a process of its own; what it prints goes to a file."""
  env = {**os.environ, 'PYTHONPATH': str(starting.ROOT), 'XLA_FLAGS': ''}
  with out.open('w') as printed, out.with_suffix('.err').open('w') as errors:
    words = [sys.executable, '-c', UNDRAWN, command, f'--workdir={folder}', *flags]
    return subprocess.Popen(words, cwd=starting.ROOT, env=env, stdout=printed, stderr=errors, text=True)


def start_pair(
  top: pathlib.Path, *places: pathlib.Path, flags: tuple[str, ...] = FLAGS, command: str = 'train'
):
  """Two hosts, each with its own place of the run."""
  with socket.create_server(('', 0)) as server:
    where = f'127.0.0.1:{server.getsockname()[1]}'
  return [
    start(
      place,
      top / f'{k}.out',
      f'--coordinator={where}',
      '--num_processes=2',
      f'--process_id={k}',
      *flags,
      command=command,
    )
    for k, place in enumerate(places)
  ]


def wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
  end = time.monotonic() + PATIENCE
  while not condition():
    assert process.poll() is None, 'it has ended'
    assert time.monotonic() < end
    time.sleep(0.1)


def reports(folder: pathlib.Path) -> dict[str, int]:
  """When the report of each finished member was written."""
  return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob('members/*/report.html')}


@pytest.mark.slow
def test_members_of_two_hosts_of_which_one_is_killed_are_those_of_one_to_the_bit(tmp_path):
  whole, first, second = (tmp_path / name for name in ('whole', 'first', 'second'))
  alone = start(whole, tmp_path / 'whole.out', *FLAGS)
  assert alone.wait(PATIENCE) == 0, (tmp_path / 'whole.err').read_text()

  # Without a common disk. A signal to host 1 stops both.
  pair = start_pair(tmp_path, first, second)
  wait(lambda: 'epoch 1/' in (tmp_path / '1.out').read_text(), pair[1])
  pair[1].send_signal(signal.SIGTERM)
  assert [process.wait(60) for process in pair] == [75, 75]
  assert comparing.newest(next(second.glob('members/*/checkpoints')))

  # The same commands go on, and host 1 is killed with its second member under way.
  pair = start_pair(tmp_path, first, second)
  wait(lambda: (tmp_path / '1.out').read_text().count(f' of {MEMBERS}: ') > 1, pair[1])
  pair[1].kill()
  killed = time.monotonic()
  assert pair[0].wait(60) == 1
  assert time.monotonic() - killed < 60
  assert last_line(tmp_path, 0).startswith('host 1 no longer answers. The newest checkpoint is kept')
  pair[1].wait()
  assert 'continuing after step' in (tmp_path / '1.out').read_text()
  done = reports(first)
  assert done
  assert not (first / 'ensemble.json').exists()
  shutil.copytree(first, tmp_path / 'alone')

  # The same commands once more, and host 0 alone.
  pair = start_pair(tmp_path, first, second)
  assert [process.wait(PATIENCE) for process in pair] == [0, 0], last_line(tmp_path, 1)
  rest = start(tmp_path / 'alone', tmp_path / 'rest.out', *FLAGS)
  assert rest.wait(PATIENCE) == 0, (tmp_path / 'rest.err').read_text()
  for found in (first, tmp_path / 'alone'):
    assert {name: reports(found)[name] for name in done} == done, 'what is finished is not trained again'
    assert comparing.differences(whole, found) == []
    assert (found / 'ensemble.json').read_text() == (whole / 'ensemble.json').read_text()
  # The comparison sees another member.
  assert comparing.differences(whole / 'members' / '1', whole / 'members' / '2')


STACKED = (
  '--config.ensemble.method=average',
  '--config.ensemble.members=2',
  '--config.ensemble.combine=logistic',
  '--config.ensemble.folds=2',
)


@pytest.mark.slow
@pytest.mark.parametrize(('more', 'second'), [(('--config.train.folds=3',), 'first'), (STACKED, 'second')])
def test_folds_on_a_common_disk_and_a_stacked_ensemble_without_one_are_those_of_one_host(
  tmp_path, more, second
):
  flags = (*SMALL, *more)
  whole, first = tmp_path / 'whole', tmp_path / 'first'
  alone = start(whole, tmp_path / 'whole.out', *flags)
  assert alone.wait(PATIENCE) == 0, (tmp_path / 'whole.err').read_text()
  pair = start_pair(tmp_path, first, tmp_path / second, flags=flags)
  assert [process.wait(PATIENCE) for process in pair] == [0, 0], last_line(tmp_path, 1)
  assert 'done on host 1' in (tmp_path / '0.out').read_text()
  assert [n for n in comparing.differences(whole, first) if not n.endswith('config.json')] == []
  if more == STACKED:
    assert (first / 'ensemble.json').read_text() == (whole / 'ensemble.json').read_text()
    assert not list((tmp_path / second).rglob('checkpoints'))


CONFIG = """
import sys
sys.path.insert(0, {folder!r})
import tiny

def get_config():
  return tiny.config()
"""


@pytest.mark.slow
def test_a_study_of_two_hosts_is_that_of_one_and_its_trees_too(tmp_path):
  config = tmp_path / 'tiny_study.py'
  config.write_text(CONFIG.format(folder=str(starting.ROOT / 'tests' / 'study')))
  flags = (f'--config={config}', '--budget=0.5')
  whole, first, second = (tmp_path / name for name in ('whole', 'first', 'second'))
  alone = start(whole, tmp_path / 'whole.out', *flags, command='study')
  assert alone.wait(PATIENCE) == 0, (tmp_path / 'whole.err').read_text()
  pair = start_pair(tmp_path, first, second, flags=flags, command='study')
  assert [process.wait(PATIENCE) for process in pair] == [0, 0], last_line(tmp_path, 1)
  assert 'done on host 1' in (tmp_path / '0.out').read_text()
  assert not list(second.rglob('checkpoints'))
  for row in ('a', 'a-adam'):
    assert comparing.differences(whole / row, first / row) == []
  assert comparing.differences(whole / 'a', first / 'a-adam')
  assert (first / 'a' / 'seed_0' / 'trees' / 'random_forest' / 'trees.json').exists()
  states = [row['state'] for row in json.loads((first / 'study.json').read_text())['rows']]
  assert states == ['complete'] * 3
