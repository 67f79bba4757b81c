"""Nobody reads the output: a closed pipe, a closed terminal. The run goes on or stops as asked, and keeps its lines."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest
import starting

# Takes the terminal as its own, as a shell's job has it, then becomes the program.
LEADER = 'import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])'


@pytest.mark.long
def test_training_goes_on_when_its_reader_leaves_and_its_lines_are_kept(tmp_path):
  folder = tmp_path / 'run'
  process = starting.start(*starting.TINY, '--config.train.epochs=1', f'--workdir={folder}')
  first = [process.stdout.readline() for _ in range(2)]
  process.stdout.close()
  err = process.stderr.read()
  assert process.wait(timeout=200) == 0, err
  process.stderr.close()
  log = (folder / 'log.txt').read_text()
  assert all(line in log for line in first)
  assert f'report: {folder / "report.html"}' in log
  assert 'standard output was closed; the command goes on' in err
  assert len(err.splitlines()) == 1


@pytest.mark.usefixtures('default_hangup')
@pytest.mark.long
def test_a_closed_terminal_stops_a_run_with_a_checkpoint_and_the_same_command_goes_on(tmp_path):
  folder = tmp_path / 'run'
  long = [*starting.TINY, '--config.train.epochs=500', f'--workdir={folder}']
  master, slave = pty.openpty()
  process = subprocess.Popen(
    [sys.executable, '-c', LEADER, 'main.py', *long],
    cwd=starting.ROOT, env={**os.environ, 'XLA_FLAGS': ''},
    stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
  )  # fmt: skip
  os.close(slave)
  deadline = time.monotonic() + 200
  while not (folder / 'history.jsonl').exists() and time.monotonic() < deadline:
    os.set_blocking(master, False)
    try:
      os.read(master, 65536)
    except BlockingIOError:
      time.sleep(0.05)
  os.close(master)
  assert process.wait(timeout=60) == 75
  log = (folder / 'log.txt').read_text()
  assert 'SIGHUP: stopping at the next safe point' in log
  assert '%|' not in log, 'no bars'
  epochs = log.count('val_loss')
  code, out, err = starting.run(*long[:-2], f'--config.train.epochs={epochs + 1}', long[-1])
  assert code == 0, err
  assert 'continuing after step' in out
  log = (folder / 'log.txt').read_text()
  assert log.count('\n--- 20') == 1
  assert log.startswith('--- 20')
