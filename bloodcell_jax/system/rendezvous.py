"""Hosts that are to train together meet at the address of the first, before any of them waits for another."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import time
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import types

# Seconds between two tries to reach the first host.
_PAUSE = 0.2


def address(coordinator: str) -> tuple[str, int]:
  """Host and port of HOST:PORT.

  Raises:
    UserError: it is something else.

  Example:
    >>> address('10.0.0.1:12345'), address('[::1]:80')
    (('10.0.0.1', 12345), ('::1', 80))
  """
  host, _, port = coordinator.rpartition(':')
  if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
    raise types.UserError(
      f'--coordinator is {coordinator!r}; give the address of host 0 and a free port there, such as 10.0.0.1:12345'
    )
  return host.strip('[]'), int(port)


def meet(coordinator: str, num: int, index: int, about: Mapping[str, str], seconds: float) -> str:
  """Returns once all hosts are there; the port is free again then.

  Args:
    coordinator: HOST:PORT, of host 0.
    num: hosts in all.
    index: of this one, 0 to num - 1.
    about: by a name for people what must be the same on all of them, such as the version.
    seconds: how long to wait.

  Returns:
    A word that these hosts alone know.

  Raises:
    UserError: the port is in use, not all came in time, or two of them do not fit together.
  """
  where, end = address(coordinator), time.monotonic() + seconds
  greeting = {'num_processes': num, 'process_id': index, 'about': {'--num_processes': str(num), **about}}
  with contextlib.ExitStack() as stack:
    if index:
      return _call(coordinator, where, end, seconds, greeting, stack)
    return _gather(coordinator, end, seconds, greeting, stack)


def listen(coordinator: str) -> socket.socket:
  """A socket that listens at the port of HOST:PORT on this host.

  Raises:
    UserError: the port cannot be used.
  """
  port = address(coordinator)[1]
  try:
    # Dual stack where there is IPv6, as JAX listens after this.
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    return socket.create_server(('', port), family=family, dualstack_ipv6=dual)
  except OSError as error:
    raise types.UserError(
      f'--coordinator={coordinator}: port {port} of this host cannot be used ({error.strerror}); choose another on '
      'all hosts'
    ) from None


def _gather(
  coordinator: str, end: float, seconds: float, own: dict[str, Any], stack: contextlib.ExitStack
) -> str:
  server = stack.enter_context(listen(coordinator))
  guests: dict[int, socket.socket] = {}
  while len(guests) < own['num_processes'] - 1:
    server.settimeout(max(end - time.monotonic(), 0.01))
    try:
      guest, _ = server.accept()
    except TimeoutError:
      missing = [str(k) for k in range(1, own['num_processes']) if k not in guests]
      raise types.UserError(
        f'--coordinator={coordinator}: host {", ".join(missing)} did not connect within {seconds:g} s; start all hosts '
        'with the same command except for --process_id'
      ) from None
    stack.enter_context(guest)
    # One that says nothing is no host.
    guest.settimeout(5.0)
    if not (theirs := _heard(guest)):
      continue
    if complaint := _complaint(own, theirs, guests):
      _say(guest, {'complaint': complaint})
      raise types.UserError(complaint)
    guests[theirs['process_id']] = guest
  server.close()
  token = secrets.token_hex(16)
  for guest in guests.values():
    _say(guest, {'complaint': '', 'token': token})
  return token


def _complaint(own: dict[str, Any], theirs: dict[str, Any], guests: dict[int, Any]) -> str:
  index = theirs['process_id']
  about = theirs['about'] if isinstance(theirs.get('about'), dict) else {}
  for name, value in own['about'].items():
    if value != about.get(name):
      return f'{name} is {value} on host 0 and {about.get(name)} on host {index}; give all hosts the same'
  return f'two hosts have --process_id={index}; give each its own number' if index in guests else ''


def _call(
  coordinator: str,
  where: tuple[str, int],
  end: float,
  seconds: float,
  own: dict[str, Any],
  stack: contextlib.ExitStack,
) -> str:
  refusal = (
    f'--coordinator={coordinator}: host 0 could not be reached within {seconds:g} s; start it, and give all hosts an '
    'address and a port of it that no firewall blocks'
  )
  while True:
    try:
      server = stack.enter_context(socket.create_connection(where, max(end - time.monotonic(), 0.01)))
    except OSError:
      if time.monotonic() + _PAUSE > end:
        raise types.UserError(refusal) from None
      time.sleep(_PAUSE)
      continue
    _say(server, own)
    server.settimeout(max(end - time.monotonic(), 0.01))
    answer = _heard(server)
    if answer and not answer['complaint']:
      return str(answer['token'])
    if answer:
      raise types.UserError(str(answer['complaint']))
    # Something else listens there, or host 0 has given up.
    if time.monotonic() + _PAUSE > end:
      raise types.UserError(refusal)
    time.sleep(_PAUSE)


def _say(to: socket.socket, value: dict[str, Any]) -> None:
  with contextlib.suppress(OSError):
    to.sendall(json.dumps(value).encode() + b'\n')


def _heard(of: socket.socket) -> dict[str, Any]:
  """The line that the other side sends; empty where it sends none that a host would."""
  try:
    with of.makefile('rb') as lines:
      value = json.loads(lines.readline(10_000))
  except (OSError, ValueError):
    return {}
  is_one = isinstance(value, dict) and {'process_id', 'complaint'} & set(value)
  return value if is_one else {}
