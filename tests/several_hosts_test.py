"""Two processes of one machine train a run together: killed, stopped, continued by two and by one."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import starting
from soak import comparing

EPOCHS = 12
TWO = '--xla_force_host_platform_device_count=2'
FLAGS = (
  *starting.TINY,
  f'--config.train.epochs={EPOCHS}',
  '--config.train.parallel=jit',
  '--config.optimizer.name=sgd',
  '--config.optimizer.learning_rate=0.05',
  '--config.train.checkpoint_every=2.',
  '--config.train.checkpoint_unit=steps',
)


def start(folder: pathlib.Path, out: pathlib.Path, *flags: str, xla: str = '') -> subprocess.Popen[str]:
  """main.py in a process of its own; what it prints goes to a file."""
  env = {**os.environ, 'PYTHONPATH': str(starting.ROOT), 'XLA_FLAGS': xla}
  with out.open('w') as printed, out.with_suffix('.err').open('w') as errors:
    command = [sys.executable, 'main.py', *FLAGS, f'--workdir={folder}', *flags]
    return subprocess.Popen(command, cwd=starting.ROOT, env=env, stdout=printed, stderr=errors, text=True)


def start_pair(top: pathlib.Path, *flags: str, last: str = '') -> list[subprocess.Popen[str]]:
  """Two hosts of one run; `last` is a further flag of host 1."""
  with socket.create_server(('', 0)) as server:
    where = f'127.0.0.1:{server.getsockname()[1]}'
  return [
    start(
      top / 'run', top / f'{k}.out', f'--coordinator={where}', '--num_processes=2', f'--process_id={k}', *flags,
      *([last] if last and k else []),
    )
    for k in range(2)
  ]  # fmt: skip


def wait_for(words: str, path: pathlib.Path, process: subprocess.Popen[str]) -> None:
  end = time.monotonic() + 200
  while words not in path.read_text():
    assert process.poll() is None, path.with_suffix('.err').read_text()
    assert time.monotonic() < end, path.read_text()
    time.sleep(0.1)


def last_line(top: pathlib.Path, host: int) -> str:
  return (top / f'{host}.err').read_text().splitlines()[-1]


def gap(one: pathlib.Path, other: pathlib.Path) -> float:
  """The largest difference between the parameters of the newest checkpoints."""
  states = [comparing.read(comparing.newest(folder / 'checkpoints')) for folder in (one, other)]
  differences = [
    np.frombuffer(data, dtype) - np.frombuffer(states[1][name][2], dtype)
    for name, (dtype, _, data) in states[0].items()
    if 'params' in name
  ]
  return float(max(abs(difference).max() for difference in differences))


@pytest.mark.slow
def test_a_pair_of_which_one_is_killed_goes_on_together_and_alone_to_the_parameters_of_one_process(tmp_path):
  # One process with two devices, which nobody disturbs.
  whole = tmp_path / 'whole'
  undisturbed = start(whole, tmp_path / 'whole.out', xla=TWO)
  assert undisturbed.wait(200) == 0, (tmp_path / 'whole.err').read_text()
  for victim, epoch in ((1, 2), (0, 5)):
    pair = start_pair(tmp_path)
    wait_for(f'epoch {epoch}/{EPOCHS}', tmp_path / '0.out', pair[0])
    pair[victim].kill()
    killed = time.monotonic()
    other = 1 - victim
    assert pair[other].wait(60) == 1
    assert time.monotonic() - killed < 60
    assert last_line(tmp_path, other).startswith(
      f'host {victim} no longer answers. The newest checkpoint is kept'
    )
    pair[victim].wait()
    if epoch > 2:
      assert 'continuing after step' in (tmp_path / '0.out').read_text()
    # The comparison sees that the run is not at its end.
    assert gap(whole, tmp_path / 'run') > 1e-3
  # With as many devices as the pair: the number of devices changes last bits, and these grow.
  alone = start(tmp_path / 'run', tmp_path / 'alone.out', xla=TWO)
  assert alone.wait(200) == 0, (tmp_path / 'alone.err').read_text()
  assert 'continuing after step' in (tmp_path / 'alone.out').read_text()
  assert gap(whole, tmp_path / 'run') < 1e-5
  assert (tmp_path / 'run' / 'report.html').exists()


@pytest.mark.slow
def test_a_pair_ends_together_and_is_stopped_together_by_a_signal_to_the_second(tmp_path):
  pair = start_pair(tmp_path)
  wait_for(f'epoch 2/{EPOCHS}', tmp_path / '0.out', pair[0])
  pair[1].send_signal(signal.SIGTERM)
  assert [process.wait(60) for process in pair] == [75, 75]
  stopped = comparing.newest(tmp_path / 'run' / 'checkpoints')
  pair = start_pair(tmp_path)
  assert [process.wait(200) for process in pair] == [0, 0]
  assert 'continuing after step' in (tmp_path / '0.out').read_text()
  assert 'epoch' not in (tmp_path / '1.out').read_text()
  assert comparing.newest(tmp_path / 'run' / 'checkpoints') != stopped


@pytest.mark.slow
def test_hosts_of_different_configs_both_say_which_key(tmp_path):
  pair = start_pair(tmp_path, last='--config.seed=7')
  assert [process.wait(100) for process in pair] == [2, 2]
  for host in range(2):
    assert last_line(tmp_path, host).startswith('the config of hosts 0 and 1 differ: seed is 0 and 7;')
  assert not (tmp_path / 'run' / 'config.json').exists()
