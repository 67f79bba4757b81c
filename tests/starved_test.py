"""A run without the memory that it needs says so, keeps what it has, and comes to the same end once there is more."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

import pytest
import starting
from soak import comparing

FLAGS = starting.SAVED_OFTEN


def kilobytes(process: subprocess.Popen[str]) -> int:
  """The addresses that a process has taken, which is what `ulimit -v` limits."""
  lines = pathlib.Path(f'/proc/{process.pid}/status').read_text().splitlines()
  return next(int(line.split()[1]) for line in lines if line.startswith('VmSize:'))


def limited(kilobytes: int, folder: pathlib.Path) -> tuple[int, str, str]:
  """Exit code, standard output and error of the run with no more addresses than these."""
  command = ['sh', '-c', f'ulimit -v {kilobytes}; exec "$0" "$@"', sys.executable, 'main.py', *FLAGS]
  done = subprocess.run(
    [*command, f'--workdir={folder}'], cwd=starting.ROOT, capture_output=True, text=True, timeout=120
  )
  return done.returncode, done.stdout, done.stderr


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads what Linux says of a process')
def test_what_runs_out_of_memory_says_so_and_comes_to_the_same_bits_with_more(tmp_path, monkeypatch):
  # Compiled anew by each process, so that each takes the same memory.
  monkeypatch.setenv('JAX_ENABLE_COMPILATION_CACHE', 'false')
  whole, folder = tmp_path / 'whole' / 'run', tmp_path / 'run'
  process = starting.start(*FLAGS, f'--workdir={whole}')
  while process.poll() is None and not (whole / 'checkpoints' / '1').exists():
    time.sleep(0.01)
  enough_for_a_checkpoint = kilobytes(process)
  process.communicate(timeout=300)
  assert process.returncode == 0

  code, out, err = limited(600_000, folder)
  assert code == 1, 'too little for the libraries'
  assert 'out of memory' in err.splitlines()[-1], err
  assert 'Traceback' not in err
  assert not folder.exists()

  code, out, err = limited(enough_for_a_checkpoint + 50_000, folder)
  assert code == 1, (out, err)
  assert 'memory' in err.splitlines()[-1], err
  assert 'the same command continues' in err.splitlines()[-1]
  assert 'Traceback' not in err
  assert list((folder / 'checkpoints').glob('[0-9]')), 'what was saved before is kept'

  monkeypatch.undo()
  code, out, err = starting.run(*FLAGS, f'--workdir={folder}')
  assert code == 0, err
  assert 'continuing after step' in out
  assert comparing.differences(whole, folder) == []
