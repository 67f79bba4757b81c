"""Hosts meet at the address of the first, or each says in one line why not."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.system import rendezvous


def free_port() -> int:
  with socket.create_server(('', 0)) as server:
    return server.getsockname()[1]


def meet(*guests: tuple[int, int, str], seconds: float = 20.0) -> list[str]:
  """What is refused to each of these hosts, (number of all, own number, version), which come at the same time."""
  where, said = f'127.0.0.1:{free_port()}', [''] * len(guests)

  def come(place: int, num: int, index: int, about: str) -> None:
    try:
      rendezvous.meet(where, num, index, {'the version': about}, seconds if index == 0 else seconds / 2)
    except types.UserError as error:
      said[place] = str(error)

  threads = [threading.Thread(target=come, args=(place, *guest)) for place, guest in enumerate(guests)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert all(len(line.splitlines()) <= 1 for line in said)
  return said


def test_three_hosts_meet_in_any_order():
  assert meet((3, 2, 'a'), (3, 0, 'a'), (3, 1, 'a')) == ['', '', '']


def test_a_guest_that_is_no_host_is_passed_over():
  port = free_port()
  thread = threading.Thread(target=rendezvous.meet, args=(f'127.0.0.1:{port}', 2, 0, {}, 20.0))
  thread.start()
  while True:
    with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port)) as stray:
      stray.sendall(b'GET / HTTP/1.1\n')
      break
  rendezvous.meet(f'127.0.0.1:{port}', 2, 1, {}, 20.0)
  thread.join(20)
  assert not thread.is_alive()


def test_both_hosts_say_what_differs():
  for line in meet((2, 0, 'a'), (3, 1, 'a'), seconds=4):
    assert line.startswith('--num_processes is 2 on host 0 and 3 on host 1')
  for line in meet((2, 0, '1.0'), (2, 1, '1.1'), seconds=4):
    assert 'is 1.0 on host 0 and 1.1 on host 1' in line


def test_two_hosts_of_one_number_are_refused():
  assert any(
    'two hosts have --process_id=1' in line for line in meet((3, 0, 'a'), (3, 1, 'a'), (3, 1, 'a'), seconds=4)
  )


def test_a_host_that_waits_in_vain_says_for_whom():
  assert 'host 1, 2 did not connect within 0.5 s' in meet((3, 0, 'a'), seconds=0.5)[0]
  assert 'host 0 could not be reached within 0.25 s' in meet((3, 1, 'a'), seconds=0.5)[0]


def test_a_port_in_use_is_named():
  with socket.create_server(('', 0)) as server:
    port = server.getsockname()[1]
    with pytest.raises(types.UserError, match=f'port {port} of this host cannot be used'):
      rendezvous.meet(f'127.0.0.1:{port}', 2, 0, {}, 1.0)


@pytest.mark.parametrize('text', ['', 'a', 'a:', ':1', 'a:b', 'a:0', 'a:65536'])
def test_an_address_without_a_host_or_a_port_is_refused(text):
  with pytest.raises(types.UserError, match='--coordinator is'):
    rendezvous.address(text)
