"""Two processes of one machine train together as one does, tell each other values, and stop after the same update."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.system import host_store
from bloodcell_jax.train import batch_part, devices, host_plan, hosts, signals
from tests.train import many_devices

ROOT = pathlib.Path(__file__).parent.parent.parent


def free_port() -> int:
  with socket.create_server(('', 0)) as server:
    return server.getsockname()[1]


@pytest.fixture(scope='module')
def pair() -> list[dict]:
  """What each of two hosts with one device says."""
  coordinator = f'127.0.0.1:{free_port()}'
  env = {**os.environ, 'PYTHONPATH': str(ROOT), 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  processes = [
    subprocess.Popen(
      [sys.executable, '-m', 'tests.train.two_hosts', coordinator, str(k)],
      cwd=ROOT,
      env=env,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for k in range(2)
  ]
  said = [process.communicate(timeout=200) for process in processes]
  assert [process.returncode for process in processes] == [0, 0], said
  return [json.loads(out.splitlines()[-1]) for out, _ in said]


def test_two_hosts_end_at_the_parameters_of_one_with_two_devices(pair):
  """Thirteen images a batch, which two hosts cannot divide evenly, with dropout."""
  alone = many_devices.train(2, 'jit')
  assert pair[0]['right'] == pair[1]['right']
  np.testing.assert_allclose(pair[0]['right'], alone, rtol=0, atol=1e-5)
  # Where a host gives other rows than its own, the comparison fails.
  assert abs(np.array(pair[0]['wrong']) - alone).max() > 1e-3


def test_hosts_get_the_values_of_all_and_those_of_the_first_to_the_bit(pair):
  for said in pair:
    assert said['everyone'] == [{'is': 0}, {'is': 1}]
    assert said['first'] == 'of host 0'
    assert said['zeros'] == [True, False]


def test_a_stop_that_one_host_is_asked_for_is_raised_on_both_after_the_same_update(pair):
  assert pair[0]['stopped_after'] == pair[1]['stopped_after'] == 7


def test_a_stop_that_host_1_is_asked_for_while_host_0_evaluates_is_raised_on_both(pair):
  """The first evaluation, before which nobody was asked, is not stopped."""
  assert pair[0]['evaluated'] == pair[1]['evaluated'] == ['figures', 'stopped']


class OneNetwork(hosts.Hosts):
  """Host 0 of two that train one network, whose values are in a store of its own."""

  client = host_store.Store()


@pytest.mark.parametrize(
  ('asked', 'error', 'words'),
  [(True, signals.Stopped, '^$'), (False, types.RunError, 'host 1 no longer answers')],
)
def test_a_host_that_is_gone_was_stopped_only_where_it_was_asked_to_stop(monkeypatch, asked, error, words):
  monkeypatch.setattr(hosts, '_BEAT', 0.01)
  monkeypatch.setattr(hosts, 'LOST', 0.5)
  monkeypatch.setattr(OneNetwork, 'client', host_store.Store())
  group = OneNetwork(0, 2, None)
  if asked:
    group.client.key_value_set('asked/1', '""')
  watching = threading.Thread(target=group._watch, daemon=True)
  watching.start()
  end = time.monotonic() + 60
  while group.ending is None and time.monotonic() < end:
    time.sleep(0.01)
  # Before anything can fail: else it ends the process.
  group._left.set()
  watching.join()
  with pytest.raises(error, match=words):
    group.check()
  assert group.others_asked == ({1} if asked else set())


def test_a_host_alone_asks_nobody():
  alone = hosts.current()
  assert alone.num == 1
  assert alone.is_first
  assert alone.everyone('a', 3) == [3]
  assert alone.from_first('b', lambda: 4) == 4
  assert alone.broadcast(np.zeros(2, np.uint8)).tolist() == [0, 0]
  with alone.together():
    alone.check()


def test_an_error_of_one_host_alone_stays_what_it_is():
  with pytest.raises(ZeroDivisionError), hosts.current().together():
    raise ZeroDivisionError


def test_what_has_ended_another_host_is_raised_here():
  group = hosts.Hosts(0, 2, None)
  group.check()
  group.ending = 'failed', 'host 1 has ended: no images'
  with pytest.raises(types.RunError, match='host 1 has ended: no images'):
    group.check()


class Device:
  """Looks like a device of some host."""

  platform = 'cpu'

  def __init__(self, number: int, process_index: int):
    self.id, self.process_index = number, process_index


@pytest.mark.parametrize('per_host', [1, 3])
@pytest.mark.parametrize('size', [6, 8, 13])
def test_the_parts_of_all_hosts_are_the_batch_in_order(monkeypatch, per_host, size):
  each = tuple(Device(i, i // per_host) for i in range(2 * per_host))
  rows = []
  for index in range(2):
    monkeypatch.setattr(devices.jax, 'process_index', lambda index=index: index)
    on = devices.Devices(each, 'jit')
    part = batch_part.own(on, size)
    assert part.size == per_host * -(-size // (2 * per_host))
    rows += range(size)[part.rows]
  assert rows == list(range(size))


@pytest.mark.parametrize(('size', 'enough'), [(4, 8), (9, 16)])
def test_a_batch_that_leaves_a_host_without_images_is_refused_with_the_size_that_suffices(
  monkeypatch, size, enough
):
  each = tuple(Device(i, i) for i in range(8))
  monkeypatch.setattr(devices.jax, 'process_index', lambda: 7)
  on = devices.Devices(each, 'jit')
  with pytest.raises(
    types.UserError, match=f'train.batch_size is {size}, .* set it to {enough}, or use fewer'
  ):
    batch_part.own(on, size)
  part = batch_part.own(on, enough)
  assert part.rows == slice(enough - part.size, enough)


def test_flags_name_the_hosts_or_say_what_is_missing(monkeypatch):
  assert host_plan.read('', None, None) is None
  assert host_plan.read('a:1', 1, 0) is None
  plan = host_plan.read('a:1', 3, 2)
  assert (plan.coordinator, plan.num, plan.index, plan.device_ids) == ('a:1', 3, 2, None)
  for arguments, words in (
    (('', 2, None), '--num_processes and --process_id need'),
    (('a:1', None, 0), 'add --num_processes=N'),
    (('a:1', 2, 2), '--process_id is 2 with --num_processes=2'),
    (('a:1', 2, -1), '--process_id is -1'),
    (('a', 2, 0), "--coordinator is 'a'"),
    (('auto', None, None), 'neither SLURM nor Open MPI'),
  ):
    with pytest.raises(types.UserError, match=words):
      host_plan.read(*arguments)


def test_slurm_names_the_hosts_where_that_is_asked_for(monkeypatch):
  for key, value in {
    'SLURM_JOB_ID': '71',
    'SLURM_STEP_NODELIST': 'node[003-004]',
    'SLURM_NTASKS': '2',
    'SLURM_PROCID': '1',
    'SLURM_LOCALID': '0',
  }.items():
    monkeypatch.setenv(key, value)
  plan = host_plan.read('auto', None, None)
  assert (plan.coordinator, plan.num, plan.index, plan.device_ids) == ('node003:61511', 2, 1, (0,))
  # Without being asked, nobody is waited for.
  assert host_plan.read('', None, None) is None
